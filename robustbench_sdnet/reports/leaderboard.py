"""A leaderboard over several stores: one row a model, lambda and budget, the best known accuracy first, doubts last.

Sources are stores, records as `report to json` writes them, and RobustBench's `model_info` JSON, whose rows are quoted:
nobody here measured them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path

from ..errors import InputError
from ..files import write_whole
from ..reading.numbers import fraction
from ..specs import NORMS
from ..wording import brief, counted
from ..zoo.files.cards import read_card
from ..zoo.shelf import index
from ..zoo.shelf.index import entries, local_path
from .document import Document, Item, Table
from .entries import Entry, entries_of
from .numbers import Estimate, Missing
from .writers import html
from .writers.records import to_json

# Model, data, norm, eps as a fraction, and lambda as text, empty without one.
Key = tuple[str, str, str, str, str]
Claim = tuple[float, str]  # accuracy, and where it is claimed


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
        key=lambda e: (e.data, e.norm, float(fraction(e.eps, "eps")), e.untrusted, -e.accuracy, e.model),
    )
    target = Path(output)
    write_whole(target.with_suffix(".json"), to_json([asdict(entry) for entry in ranked]))
    page = Document("Leaderboard", (), lead=(_summary(ranked),), everything=_table(ranked))
    return write_whole(target, html.render(page, lambda figure: ""))


def _with_claims(found: Sequence[Entry]) -> Iterator[Entry]:
    """Measured rows with what an author claims of them: a list at any lambda, the zoo's index at the training one."""
    measured = {(entry.model, entry.hash) for entry in found if not entry.quoted}
    shipped = {one.name: one for one in entries()}
    ours = {who: zoo_claims(shipped[who[0]], who[1]) for who in measured if who[0] in shipped}
    known: dict[tuple[str, ...], Claim] = {}
    for entry in found:
        if entry.quoted:
            share = entry.accuracy if entry.reported is None else entry.reported
            listed = share, entry.source or entry.ran_by
            known[_key(entry)] = min(known.get(_key(entry), listed), listed)
    for entry in found:
        key = _key(entry)
        claim = None
        if not entry.quoted:
            claim = known.get(key) or ours.get((entry.model, entry.hash), {}).get((*key, entry.lam))
        yield replace(entry, reported=claim[0], source=claim[1]) if claim else entry


def zoo_claims(entry: index.Entry, weights: str) -> Mapping[Key, Claim]:
    """The lowest robust accuracy that the zoo's index states of a model at each budget and its training lambda; nothing
    of what bears its name with weights of another hash (empty: not known)."""
    path = local_path(entry)
    card = None if path is None else read_card(path)
    if card is not None and weights not in ("", card.weights_hash):
        return {}
    lam = "" if card is None else brief(card.lam)
    found: dict[Key, Claim] = {}
    for text, share in entry.robust.items():
        for norm, eps in _budgets(text):
            key, claim = (entry.name, entry.data, norm, eps, lam), (share, f"the zoo's index: {text}")
            found[key] = min(found.get(key, claim), claim)
    return found


def _budgets(text: str) -> Iterator[tuple[str, str]]:
    """Norms with the eps behind them, as in "pgd-20 linf 8/255 on 1000 images"."""
    for norm, eps in pairwise(text.replace(",", " ").split()):
        if norm in NORMS:
            with suppress(InputError):
                yield norm, str(fraction(eps, "eps"))


def _key(entry: Entry) -> tuple[str, str, str, str]:
    return entry.model, entry.data, entry.norm, entry.eps


def _summary(ranked: Sequence[Entry]) -> str:
    measured = sum(not entry.quoted for entry in ranked)
    return (
        f"{counted(len(ranked), 'row')}, {measured:,} of them measured; {len(ranked) - measured:,} are quoted from "
        "lists. Compare only rows of the same data, norm and eps, and mind the intervals. Accuracy is the lowest that "
        "any attack on the budget left, of those on the most images. Autoattack % and clean % may be over fewer "
        "images, and corruptions % is the mean over what a row was run on (in lists the 15 at all five severities): "
        "compare it where that is the same."
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
    found = entry.source, flags, entry.hash[:16], entry.cell[:16], entry.ran_by
    return (*asked, value, entry.by, *shares, *found)
