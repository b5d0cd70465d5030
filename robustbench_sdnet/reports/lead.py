"""The first words of a report: the highest numbers, and whether another lambda helps, in a sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..answers.comparisons import Comparison
from ..answers.rows import eps_order, lambda_text
from ..wording import counted
from .conclusion import answer, interval_text
from .evidence import Evidence
from .numbers import Estimate, images_text, percent, points
from .results import Results, distinct
from .tables.attacks import at_budget, display_name
from .tables.corruptions import place
from .tables.overview import headline_budget, is_usual, overview

NAMED = 3  # models that a sentence names


def lead(results: Results, known: Sequence[Evidence]) -> Iterator[str]:
    """At most one sentence for each data set, one on noise and one on attacks."""
    for data in results.data:
        yield from _highest(results, data)
    yield from _helps("Under noise", [(evidence, evidence.means) for evidence in known])
    attacked = [(evidence, _worst(evidence)) for evidence in known]
    balls = distinct(one.question.ball for _, compared in attacked for one in compared)
    yield from _helps(f"Against an adversary who knows lambda ({', '.join(balls)})", attacked)


def _worst(evidence: Evidence) -> list[Comparison]:
    """Worst cases at one budget: the usual one where it was run, else the largest."""
    budgets = distinct((one.question.norm, one.question.eps) for one in evidence.worst)
    chosen = max(budgets, key=lambda b: (is_usual(*b), eps_order(b[1])), default=None)
    return [one for one in evidence.worst if (one.question.norm, one.question.eps) == chosen]


def _helps(
    question: str, compared_by_model: Sequence[tuple[Evidence, Sequence[Comparison]]]
) -> Iterator[str]:
    """Which models another lambda helps, which it does not, and of which that cannot be told."""
    groups: dict[str, list[str]] = {}
    for evidence, compared in compared_by_model:
        if compared:
            # What the verdict rests on, not a larger difference that chance or a weak attack may have made.
            best = max(compared, key=evidence.standing)
            # Means and worst cases are of the images that all of it was asked on, often fewer than elsewhere.
            base = f"{percent(best.accuracy_b)} of {counted(best.n, 'image')} at the training lambda"
            base += f" {lambda_text(best.b.lam)}"
            if best.question.kind == "mean" and len({one.question for one in compared}) > 1:
                base += f" under {place(best.question.perturbation, best.question.source)}"
            change = f"{points(best.gain, signed=True)} at {lambda_text(best.a.lam)}"
            change += f", {interval_text(best, len(compared))}"
            _, verdict = answer(evidence, compared)
            groups.setdefault(verdict, []).append(f"{evidence.name} ({base}, {change})")
    if groups:
        yield f"{question}, {'; '.join(f'{said} {_some(names)}' for said, names in groups.items())}."


def _highest(results: Results, data: str) -> Iterator[str]:
    """The highest accuracy in each column of the overview."""
    table = overview(results, data)
    lambdas = [subject.lam for subject in results.subjects(data)]
    bounds = [lambda_text(lam) for lam in lambdas if lam is not None and lam.upper_bound]
    budget = headline_budget(results, data) or (None, None)
    met = {
        frozenset(map(display_name, at_budget(results, who, *budget))) for who in results.main_subjects(data)
    }
    uneven = len(met - {frozenset()}) > 1
    parts = []
    for column, name in enumerate(table.columns):
        found = [(row[column], row) for row in table.rows]
        numbers = [
            (value, row) for value, row in found if isinstance(value, Estimate) and row[1] not in bounds
        ]
        if numbers:
            best, row = max(numbers, key=lambda pair: pair[0].accuracy)
            others = sum(value.accuracy == best.accuracy for value, _ in numbers) - 1
            lam = "" if row[1] == "-" else f" @ {row[1]}"
            lam += f" and {others} more" if others else ""
            if table.columns[column + 1 :] == ("by",):
                by = str(row[-1]).replace("worst case of", "the worst case of")
                lam += f", by {by}" if uneven or len({other[-1] for _, other in numbers}) > 1 else ""
                lam += "; others faced other attacks" if uneven else ""
            lam += "" if best.image_set == table.usual_image_set else f", {images_text(best.image_set)}"
            doubt = " (untrusted)" if best.untrusted else ""
            where = name if name == "clean" or name.startswith("at ") else f"under {name}"
            parts.append(f"{best.percent} %{doubt} {where} ({row[0]}{lam})")
    if parts:
        images = f", {table.images}" if table.images else ""
        yield f"Highest accuracies on {data}{images}: {'; '.join(parts)}."


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
