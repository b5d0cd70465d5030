"""From rows to results, every name made unambiguous by what it stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from operator import attrgetter

from ..answers.rows import Row, grouped
from ..planning.chains import chain_of, whole_name
from .results import Result, Results, Subject

QUESTION = (
    "subject", "kind", "name", "perturbation.label", "severity", "norm", "eps", "lam_attack", "source",
)  # fmt: skip


def read_results(rows: Iterable[Row]) -> Results:
    """The rows as results.

    Two cells that differ in precision or algorithm version say so in their name. The last stage of a chain gets the
    chain's name, and the passes of all stages. Whatever still reads alike gets the start of its cell.

    Args:
        rows: of a snapshot whose models and data sets are told apart.
    """
    kept, own = list(rows), [field.name for field in fields(Row)]
    found = [
        Result(
            **{field: getattr(row, field) for field in own},
            subject=Subject(row.data.label, row.model.name, row.lam),
            name=name + setting,
            passes=passes,
        )
        for row, name, setting, passes in zip(kept, _names(kept), _settings(kept), _passes(kept), strict=True)
    ]
    return Results(tuple(_with_chain_passes(_numbered(found))))


def _names(rows: Sequence[Row]) -> Iterator[str]:
    """As readers know them; a corruption at a severity without its seed, where none of its origin has another."""
    drawn = attrgetter("data.label", "source", "perturbation.name")
    seeds = Counter(key for key, _ in {(drawn(row), row.perturbation.seed) for row in rows if row.severity})
    for row in rows:
        plain = row.severity and seeds[drawn(row)] == 1
        yield row.perturbation.name if plain else whole_name(row.perturbation)


def _settings(rows: Sequence[Row]) -> Iterator[str]:
    """What to add to the name of each perturbation: precision and version, where those of it differ on a data set.

    Large images have versions of their own.
    """
    named = attrgetter("data.label", "source", "kind", "perturbation.label", "norm")
    marks = [(row.precision, f"version {row.perturbation.version}") for row in rows]
    same = grouped(range(len(rows)), lambda position: named(rows[position]))
    differ = {
        key: [len(set(values)) > 1 for values in zip(*(marks[one] for one in every), strict=True)]
        for key, every in same.items()
    }
    for row, own in zip(rows, marks, strict=True):
        differing = [mark for mark, differs in zip(own, differ[named(row)], strict=True) if differs]
        yield f" [{', '.join(differing)}]" if differing else ""


def _passes(rows: Iterable[Row]) -> Iterator[tuple[float, float]]:
    """Passes an image; of what is made of several answers those of all, on however many images each was given."""
    each = {row.cells: (row.cost.forwards / row.n, row.cost.backwards / row.n) for row in rows}
    for row in rows:
        forwards, backwards = zip(*(each[cell,] for cell in row.cells), strict=True)
        yield sum(forwards), sum(backwards)


def _numbered(results: Sequence[Result]) -> list[Result]:
    """Whatever still answers the same question gets the start of its cell: no answer may hide another."""
    question = attrgetter(*QUESTION)
    counts = Counter(map(question, results))
    return [
        r if counts[question(r)] == 1 else replace(r, name=f"{r.name} [cell {r.cell[:6]}]") for r in results
    ]


def _with_chain_passes(results: Sequence[Result]) -> Iterable[Result]:
    chains = grouped(results, _chain)
    for result in results:
        if _chain(result) is not None and not result.is_stage:
            forwards, backwards = zip(*(one.passes for one in chains[_chain(result)]), strict=True)
            result = replace(result, passes=(sum(forwards), sum(backwards)))
        yield result


def _chain(result: Result) -> Hashable | None:
    """What all stages of one chain on one subject share; None outside chains."""
    chain = chain_of(result.perturbation)
    return (result.subject, result.kind, chain, result.norm, result.eps) if chain else None
