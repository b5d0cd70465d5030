"""From flat records to results, every name made unambiguous by what was stored of its cell."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..answers.distances import Distances
from ..attacks.registry import CHAINS
from .numbers import Estimate
from .results import Result, Results, Subject

Record = Mapping[str, Any]
# What may tell two of one name apart: a text to show, "" for what goes without saying, None for unknown.
Marks = tuple[str | None, ...]
_ANY = Estimate(0.0, 0.0, 0.0, 0)
# The last stage of a chain, which starts from the survivors of all others, holds the accuracy of the whole chain.
_LAST_STAGES = {f"{name.partition('-')[0]}/{stages[-1][0]}": name for name, stages in CHAINS.items()}


def read_results(
    records: Iterable[Record],
    provenance: Iterable[Record] = (),
    distances: Mapping[str, Distances] | None = None,
) -> Results:
    """Typed results of the records that have images.

    Two models of one name but different weights get the start of their hash, and so do data sets; two cells that
    differ in precision or algorithm version say so in their name. The last stage of a chain gets the chain's name,
    and the passes of all stages. Whatever still reads alike gets the start of its cell.

    Args:
        records: as `evaluation.records.records` returns them.
        provenance: as `evaluation.records.provenance` returns it.
        distances: as `evaluation.distances.distances` returns them.
    """
    rows = [row for row in records if row["n"]]
    cells = {row["cell"]: row for row in provenance}
    details = [cells.get(str(row["cell"]).partition("+")[0], {}) for row in rows]
    models = _told_apart(rows, ("model",), [_hash(detail, "weights") for detail in details], "model")
    data = _told_apart(rows, ("data",), [_hash(detail, "data_hash") for detail in details], "data")
    family = ("kind", "perturbation", "norm")
    names = _told_apart(rows, family, [_settings(detail) for detail in details], "perturbation")
    sought = distances or {}
    found = _numbered(
        tuple(
            replace(result, distances=sought[result.cell])
            if result.kind == "attack" and result.cell in sought
            else result
            for result in map(_result, rows, models, data, names)
        )
    )
    return Results(tuple(_whole_chain(result, found) for result in found))


def _whole_chain(result: Result, all_results: Sequence[Result]) -> Result:
    name, space, mark = result.name.partition(" ")
    if name not in _LAST_STAGES:
        return result
    prefix = f"{name.partition('/')[0]}/"
    question = (result.subject, result.kind, result.norm, result.eps)
    passes = [
        other.passes
        for other in all_results
        if other.name.startswith(prefix) and (other.subject, other.kind, other.norm, other.eps) == question
    ]
    total = (sum(forward for forward, _ in passes), sum(backward for _, backward in passes))
    return replace(result, name=_LAST_STAGES[name] + space + mark, passes=total)


def _result(row: Record, model: str, data: str, name: str) -> Result:
    return Result(
        subject=Subject(data, model, row["lambda"]),
        kind=row["kind"],
        name=name,
        estimate=Estimate(
            row["accuracy"],
            row["low"],
            row["high"],
            row["n"],
            untrusted=row["verdict"] == "untrusted",
            transfer=row["kind"] == "transfer",
        ),
        severity=row["severity"],
        norm=row["norm"],
        eps=row["eps"],
        lam_attack=row["lambda_attack"],
        source=row["source"],
        verdict=row["verdict"],
        passes=(row["passes_forward"], row["passes_backward"]),
        cell=row["cell"],
    )


def _told_apart(rows: Sequence[Record], keys: Sequence[str], marks: Sequence[Marks], name: str) -> list[str]:
    """The `name` of every row, with those of its marks that differ among the rows of equal `keys`."""
    seen: dict[tuple[Any, ...], list[set[str]]] = {}
    for row, mark in zip(rows, marks, strict=True):
        sets = seen.setdefault(tuple(row[key] for key in keys), [set() for _ in mark])
        for values, value in zip(sets, mark, strict=True):
            values.update(() if value is None else (value,))
    found = []
    for row, mark in zip(rows, marks, strict=True):
        sets = seen[tuple(row[key] for key in keys)]
        differing = [value for values, value in zip(sets, mark, strict=True) if len(values) > 1 and value]
        found.append(f"{row[name]} [{', '.join(differing)}]" if differing else str(row[name]))
    return found


def _numbered(results: tuple[Result, ...]) -> tuple[Result, ...]:
    """Whatever still answers the same question gets the start of its cell: no answer may hide another."""
    questions = [replace(result, estimate=_ANY, verdict="", passes=(0, 0), cell="") for result in results]
    counts = Counter(questions)
    return tuple(
        replace(result, name=f"{result.name} [cell {result.cell[:6]}]") if counts[question] > 1 else result
        for result, question in zip(results, questions, strict=True)
    )


def _hash(detail: Record, key: str) -> Marks:
    return (str(detail[key])[:8] if detail else None,)


def _settings(detail: Record) -> Marks:
    if not detail:
        return None, None
    return detail["precision"], f"version {detail['parameters'].get('version')}"
