"""A leaderboard over several stores: one row a model, lambda and budget, the best known accuracy first, doubts last.

Sources are stores, records as `report to json` writes them, and RobustBench's `model_info` JSON, whose rows are quoted:
nobody here measured them.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..answers.rows import grouped
from ..errors import InputError
from ..files import write_whole
from ..reading.numbers import fraction
from ..specs import NORMS
from ..wording import brief, counted, share_text
from ..zoo.files.cards import read_card
from ..zoo.shelf import index
from .document import Document, Item, Table
from .entries import Entry, budget, entries_of
from .numbers import Estimate, Missing
from .writers import html
from .writers.records import as_record, to_json

# Model, data, norm, eps as a fraction, and lambda as text, empty without one.
Key = tuple[str, str, str, str, str]
Claim = tuple[float, str]  # accuracy, and where it is claimed
# What stands beside an answer, each with what is told of it.
BESIDE = {
    "autoattack": ("autoattack_untrusted",),
    "clean": (),
    "corruptions": ("corruptions_over",),
    "hash": (),
}


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
    found = list(_once(entry for source in sources for entry in entries_of(source)))
    if not found:
        raise InputError("No source holds an accuracy under attack, so there is nothing to rank.")
    ranked = sorted(
        _with_claims(found),
        key=lambda e: (e.data, e.norm, float(fraction(e.eps, "eps")), e.untrusted, -e.accuracy, e.model),
    )
    target = Path(output)
    write_whole(target.with_suffix(".json"), to_json([as_record(entry) for entry in ranked]))
    page = Document("Leaderboard", (), lead=(_summary(ranked),), everything=_table(ranked))
    return write_whole(target, html.render(page, lambda figure: ""))


def _once(found: Iterable[Entry]) -> Iterator[Entry]:
    """Each answer once, then each model, lambda and budget, whose weights are known, by the answer that says most."""
    answers = map(_answer, grouped(found, lambda one: one.cell or id(one)).values())
    for same in grouped(answers, _asked).values():
        yield _with_beside(sorted(same, key=lambda one: (-(one.n or 0), one.accuracy)))


def _answer(same: Iterable[Entry]) -> Entry:
    """One answer, whatever sources call it, on the most images, with what any of them has beside it and every doubt."""
    ranked = sorted(same, key=_worth, reverse=True)
    likewise = {one.accuracy for one in ranked if one.n == ranked[0].n and not one.drawn}
    return replace(
        _with_beside(ranked),
        untrusted=any(one.untrusted for one in ranked),
        disputed=len(likewise) > 1 or any(one.disputed for one in ranked),
    )


def _asked(entry: Entry) -> Hashable:
    """What a row is of; nobody knows whether it is another's where it has no hash."""
    known = entry.hash and not entry.quoted
    return (*_key(entry), entry.arch, entry.lam, entry.hash) if known else id(entry)


def _with_beside(ranked: Sequence[Entry]) -> Entry:
    """The first, with what the next that has it holds beside."""
    known: dict[str, Any] = {}
    for part, told in BESIDE.items():
        source = next((one for one in ranked if _holds(one, part)), ranked[0])
        known |= {name: getattr(source, name) for name in (part, *told)}
    return replace(ranked[0], **known)


def _worth(entry: Entry) -> tuple[int, int]:
    return entry.n or 0, sum(_holds(entry, part) for part in BESIDE)


def _holds(entry: Entry, part: str) -> bool:
    return getattr(entry, part) not in (None, "")  # 0 is a number as any


def _with_claims(found: Sequence[Entry]) -> Iterator[Entry]:
    """Measured rows with what an author claims of them: a list at any lambda, the zoo's index at the training one."""
    shipped = {one.name: one for one in index.entries()}
    who = {(entry.model, entry.hash) for entry in found if entry.model in shipped}
    ours = {(name, weights): zoo_claims(shipped[name], weights) for name, weights in who}
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
    path = index.local_path(entry)
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
                yield norm, budget(eps, "eps")


def _key(entry: Entry) -> tuple[str, str, str, str]:
    return entry.model, entry.data, entry.norm, entry.eps


def _summary(ranked: Sequence[Entry]) -> str:
    measured = sum(not entry.quoted for entry in ranked)
    return (
        f"{counted(len(ranked), 'row')}, {measured:,} of them measured; {len(ranked) - measured:,} are quoted from "
        "lists. Compare only rows of the same data, norm and eps, and mind the intervals. Accuracy is the lowest that "
        "any attack at that budget left, of those on the most images. Autoattack % and clean % may be over fewer "
        "images. Corruptions % is a mean: compare it only where it is over the same corruptions (in lists the 15 at "
        "severities 1 to 5)."
    )


def _table(ranked: Sequence[Entry]) -> Table:
    columns = (
        "model", "lambda", "data", "norm", "eps", "accuracy", "by", "autoattack %", "clean %", "corruptions %",
        "over", "reported %", "source", "flags", "hash", "answer", "ran by",
    )  # fmt: skip
    return Table(
        columns,
        tuple(map(_line, ranked)),
        left=(0, 2, 3, 6, 10, 12, 13, 14, 15, 16),
        filters=(0, 2, 3, 4, 13),
    )


def _line(entry: Entry) -> tuple[Item, ...]:
    value: Item = _percent(entry.accuracy)
    if entry.low is not None and entry.high is not None and entry.n is not None:
        value = Estimate(entry.accuracy, entry.low, entry.high, entry.n, entry.untrusted)
    flags = ", ".join(flag for flag in ("untrusted", "disputed", "quoted") if getattr(entry, flag))
    asked = entry.model, entry.lam or "-", entry.data, entry.norm, entry.eps
    known = _percent(entry.autoattack, doubt=entry.autoattack_untrusted), _percent(entry.clean)
    mean, reported = (_percent(entry.corruptions), entry.corruptions_over), _percent(entry.reported)
    found = entry.source, flags, entry.hash[:16], entry.cell[:16], entry.ran_by
    return (*asked, value, entry.by, *known, *mean, reported, *found)


def _percent(share: float | None, *, doubt: bool = False) -> Item:
    """With a second decimal where it says something: it may be of many images."""
    if share is None:
        return Missing("not known")
    return f"{float(share_text(share, 2))}{' untrusted' if doubt else ''}"
