"""A leaderboard over several stores: one row a model, lambda and budget, the best known accuracy first.

Sources are stores, records as `report to json` writes them, and RobustBench's `model_info` JSON, whose rows are quoted:
nobody here measured them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from ..errors import InputError
from ..files import write_whole
from ..reading.numbers import fraction
from .claims import Claim, of_zoo
from .document import Document, Item, Table
from .entries import Entry, entries_of
from .numbers import Estimate, Missing
from .writers import html, json


def leaderboard(sources: Sequence[str], output: str | Path) -> Path:
    """Write the page, and beside it its rows as JSON.

    Args:
        sources: URLs of stores, and JSON files of records or of RobustBench's model_info.
        output: the page; the rows go to the same name with the ending .json.

    Raises:
        InputError: a file that is none of these, or no accuracy under attack in any of them.
        StoreError: a store does not exist or is damaged.
        WriteError: a file cannot be written.
    """
    found = [entry for source in sources for entry in entries_of(source)]
    if not found:
        raise InputError("No source holds an accuracy under attack, so there is nothing to rank.")
    ranked = sorted(
        _with_claims(found),
        key=lambda e: (e.data, e.norm, float(fraction(e.eps, "eps")), -e.accuracy, e.model),
    )
    target = Path(output)
    write_whole(target.with_suffix(".json"), json.render([asdict(entry) for entry in ranked]))
    page = Document("Leaderboard", (), lead=(_summary(ranked),), everything=_table(ranked))
    return write_whole(target, html.render(page, lambda figure: ""))


def _with_claims(found: Sequence[Entry]) -> Iterator[Entry]:
    """Measured rows with what an author claims of them: a list at any lambda, the zoo's index at the training one."""
    ours = of_zoo({entry.model: entry.hash for entry in found if not entry.quoted})
    known: dict[tuple[str, ...], Claim] = {}
    for entry in found:
        if entry.quoted:
            share = entry.accuracy if entry.reported is None else entry.reported
            known[_key(entry)] = share, entry.source or entry.ran_by
    for entry in found:
        key = _key(entry)
        claim = None if entry.quoted else known.get(key) or ours.get((*key, entry.lam))
        yield replace(entry, reported=claim[0], source=claim[1]) if claim else entry


def _key(entry: Entry) -> tuple[str, str, str, str]:
    return entry.model, entry.data, entry.norm, entry.eps


def _summary(ranked: Sequence[Entry]) -> str:
    measured = sum(not entry.quoted for entry in ranked)
    return (
        f"{len(ranked):,} rows, {measured:,} of them measured; {len(ranked) - measured:,} are quoted from lists. "
        "Compare only rows of the same data, norm and eps, and mind the intervals. Accuracy is the lowest that any "
        "attack left, of those on the most images."
    )


def _table(ranked: Sequence[Entry]) -> Table:
    columns = (
        "model", "lambda", "data", "norm", "eps", "accuracy", "by", "autoattack %", "clean %", "corruptions %",
        "reported %", "source", "flags", "hash", "answer", "ran by",
    )  # fmt: skip
    return Table(
        columns, tuple(map(_line, ranked)), left=(0, 2, 3, 6, 11, 12, 13, 14, 15), filters=(0, 2, 3, 4, 12)
    )


def _line(entry: Entry) -> tuple[Item, ...]:
    value: Item = f"{100 * entry.accuracy:.1f}"
    if entry.low is not None and entry.high is not None and entry.n is not None:
        value = Estimate(entry.accuracy, entry.low, entry.high, entry.n, entry.untrusted)
    flags = ", ".join(flag for flag in ("untrusted", "quoted") if getattr(entry, flag))
    parts = (entry.autoattack, entry.clean, entry.corruptions, entry.reported)
    shares = (Missing("not known") if part is None else f"{100 * part:.1f}" for part in parts)
    asked = entry.model, entry.lam or "-", entry.data, entry.norm, entry.eps
    return (
        *asked,
        value,
        entry.by,
        *shares,
        entry.source,
        flags,
        entry.hash[:16],
        entry.cell[:16],
        entry.ran_by,
    )
