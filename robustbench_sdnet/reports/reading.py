"""From rows to results, every name made unambiguous by what it stands for."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import fields, replace
from operator import attrgetter

from ..answers.rows import Row, grouped
from ..planning.chains import chain_of, whole_name
from .results import Result, Results, Subject

QUESTION = (
    "subject", "kind", "name", "perturbation.label", "severity", "norm", "eps", "lam_attack", "source",
)  # fmt: skip
_DRAWN = attrgetter("data.label", "source", "perturbation.name")
_PERTURBED = attrgetter("data.label", "source", "kind", "perturbation.label", "norm")

Passes = tuple[float, float]  # forward and backward, an image


def read_results(rows: Iterable[Row]) -> Results:
    """The rows as results.

    Two cells that differ in precision or algorithm version say so in their name. The last stage of a chain gets the
    chain's name, and the passes of all stages. Whatever still reads alike gets the start of its cell.

    Args:
        rows: of a snapshot whose models and data sets are told apart.
    """
    kept = list(rows)
    names, passes = _Names(kept), _passes_by_cell(kept)
    results = []
    for row in kept:
        result = Result(
            **{field.name: getattr(row, field.name) for field in fields(Row)},
            subject=Subject(row.data.label, row.model.name, row.lam),
            name=names.of(row),
            passes=_summed(passes[cell] for cell in row.cells),
        )
        results.append(result)
    return Results(tuple(_with_chain_passes(_numbered(results))))


class _Names:
    """How readers know the perturbations of some rows.

    A corruption at a severity stands without its seed where none of its data set and origin was drawn by another. The
    precision and the algorithm version stand behind the name where those of one perturbation differ on a data set:
    large images have versions of their own.
    """

    def __init__(self, rows: Iterable[Row]) -> None:
        self._seeds: dict[Hashable, set[int]] = defaultdict(set)
        self._precisions: dict[Hashable, set[str]] = defaultdict(set)
        self._versions: dict[Hashable, set[int]] = defaultdict(set)
        for row in rows:
            if row.severity:
                self._seeds[_DRAWN(row)].add(row.perturbation.seed)
            self._precisions[_PERTURBED(row)].add(row.precision)
            self._versions[_PERTURBED(row)].add(row.perturbation.version)

    def of(self, row: Row) -> str:
        """The name of a row's perturbation, such as "pgd [bfloat16, version 2]"."""
        one_seed = row.severity and len(self._seeds[_DRAWN(row)]) == 1
        name = row.perturbation.name if one_seed else whole_name(row.perturbation)
        differing = []
        if len(self._precisions[_PERTURBED(row)]) > 1:
            differing.append(row.precision)
        if len(self._versions[_PERTURBED(row)]) > 1:
            differing.append(f"version {row.perturbation.version}")
        return f"{name} [{', '.join(differing)}]" if differing else name


def _passes_by_cell(rows: Iterable[Row]) -> dict[str, Passes]:
    """Passes an image by the ids of answered cells: a row of several has those of all, on however many images each."""
    return {
        row.cell: (row.cost.forwards / row.n, row.cost.backwards / row.n)
        for row in rows
        if len(row.cells) == 1
    }


def _summed(passes: Iterable[Passes]) -> Passes:
    """Forward and backward passes of several answers together."""
    kept = list(passes)
    return sum(forwards for forwards, _ in kept), sum(backwards for _, backwards in kept)


def _numbered(results: Sequence[Result]) -> list[Result]:
    """Whatever still answers the same question gets the start of its cell: no answer may hide another."""
    question = attrgetter(*QUESTION)
    counts = Counter(map(question, results))
    return [
        r if counts[question(r)] == 1 else replace(r, name=f"{r.name} [cell {r.cell[:6]}]") for r in results
    ]


def _with_chain_passes(results: Sequence[Result]) -> Iterator[Result]:
    """The results, the whole of a chain with the passes of all its stages."""
    chains = grouped(results, _chain)
    for result in results:
        if _chain(result) is not None and not result.is_stage:
            result = replace(result, passes=_summed(stage.passes for stage in chains[_chain(result)]))
        yield result


def _chain(result: Result) -> Hashable | None:
    """What all stages of one chain on one subject share; None outside chains."""
    chain = chain_of(result.perturbation)
    return (result.subject, result.kind, chain, result.norm, result.eps) if chain else None
