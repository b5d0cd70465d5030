"""The chapter on sequences: how steady predictions are while an image slowly changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial

from matplotlib.figure import Figure as Drawing

from .document import Figure, Section, slug
from .plots import dots
from .results import Results
from .tables import stability as tables

MANY = 8  # subjects in a figure


def stability(results: Results, data: str, baseline: str | None) -> Iterator[Section]:
    """A section a difficulty that was run; mFR and mT5D are relative to the baseline."""
    main = set(results.main_subjects(data))
    base = results.subject_named(data, baseline) if baseline else None
    for difficulty in tables.difficulties(results, data):
        every = tables.steady(results, data, difficulty)
        found = {subject: own for subject, own in every.items() if subject in main or subject == base}
        harder = "" if difficulty == 1 else f" (difficulty {difficulty})"
        shown = {subject.label: own for subject, own in list(found.items())[:MANY]}
        figure = Figure(
            f"stability-{slug(data)}-{difficulty}",
            "Predictions that flip along a sequence, %",
            f"Flip probability along each sequence: {', '.join(shown)}. Its numbers are in the tables.",
            partial(_draw, shown),
            tuple(tables.flip_tables(found)),
        )
        title = f"Prediction stability{harder}"
        yield Section(title, (tables.summary_table(found, base), figure))


def _draw(shown: Mapping[str, tables.Steady]) -> Drawing:
    shares = {
        label: {name: tables.flips(result) for name, result in own.items()} for label, own in shown.items()
    }
    return dots.draw(shares, "frames whose prediction flips, %")
