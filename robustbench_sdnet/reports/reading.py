"""From rows to results, every name made unambiguous by what it stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import fields, replace
from operator import attrgetter

from ..answers.rows import Row, data_name
from ..planning.chains import chain_of, whole_name
from .results import Result, Results, Subject, grouped, shown_lambda

QUESTION = (
    "subject", "kind", "name", "perturbation.label", "severity", "norm", "eps", "lam_attack", "source",
)  # fmt: skip


def read_results(rows: Iterable[Row]) -> Results:
    """Results of the rows that have images.

    Two models of one name but different weights get the start of their hash, and so do data sets; two cells that
    differ in precision or algorithm version say so in their name. The last stage of a chain gets the chain's name,
    and the passes of all stages. Whatever still reads alike gets the start of its cell.
    """
    kept = [row for row in rows if row.n]
    models = _marks(kept, lambda row: row.model.name, lambda row: (row.model.weights[:8],))
    data = _marks(kept, lambda row: data_name(row.data), lambda row: (row.data.content[:8],))
    settings = _marks(
        kept,
        lambda row: (row.kind, row.perturbation.label, row.norm),
        lambda row: (row.precision, f"version {row.perturbation.version}"),
    )
    found = [
        Result(
            **{field.name: getattr(row, field.name) for field in fields(row)},
            subject=Subject(data_name(row.data) + on, row.model.name + model, shown_lambda(row.lam)),
            name=whole_name(row.perturbation) + setting,
            passes=(row.cost.forwards, row.cost.backwards),
        )
        for row, model, on, setting in zip(kept, models, data, settings, strict=True)
    ]
    return Results(tuple(_with_chain_passes(_numbered(found))))


def _marks(
    rows: Sequence[Row], named: Callable[[Row], Hashable], marks: Callable[[Row], tuple[str, ...]]
) -> list[str]:
    """What to add to the name of every row: those of its marks that differ among the rows of one name."""
    same = {name: list(zip(*map(marks, own), strict=True)) for name, own in grouped(rows, named).items()}
    found = []
    for row in rows:
        pairs = zip(same[named(row)], marks(row), strict=True)
        differing = [value for values, value in pairs if len(set(values)) > 1]
        found.append(f" [{', '.join(differing)}]" if differing else "")
    return found


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
