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
# What an entry lacks may come from another of the same model; each field with those that say more of it.
BORROWED = {
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
    entries = list(_merged(entry for source in sources for entry in entries_of(source)))
    if not entries:
        raise InputError("No source holds an accuracy under attack, so there is nothing to rank.")
    ranked = sorted(
        _with_claims(entries),
        key=lambda e: (e.data, e.norm, float(fraction(e.eps, "eps")), e.untrusted, -e.accuracy, e.model),
    )
    target = Path(output)
    write_whole(target.with_suffix(".json"), to_json([as_record(entry) for entry in ranked]))
    page = Document("Leaderboard", (), lead=(_summary(ranked),), everything=_table(ranked))
    return write_whole(target, html.render(page, lambda figure: ""))


def _merged(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Each answer once, then one entry for each model (by its hash), lambda and budget: that on the most images, of
    several such the lowest accuracy. An entry without a hash, and a quoted one, stays as it is."""
    answers = [
        _merged_answer(same) for same in grouped(entries, lambda entry: entry.cell or id(entry)).values()
    ]
    for same in grouped(answers, _row_key).values():
        yield _completed(sorted(same, key=lambda entry: (-(entry.n or 0), entry.accuracy)))


def _merged_answer(same: Iterable[Entry]) -> Entry:
    """One answer that several sources hold: that on the most images, with every source's doubts."""
    ranked = sorted(same, key=_completeness, reverse=True)
    accuracies = {entry.accuracy for entry in ranked if entry.n == ranked[0].n and not entry.drawn}
    return replace(
        _completed(ranked),
        untrusted=any(entry.untrusted for entry in ranked),
        disputed=len(accuracies) > 1 or any(entry.disputed for entry in ranked),
    )


def _row_key(entry: Entry) -> Hashable:
    """What entries of one row have in common; without a hash nobody knows whether two are of one model."""
    identified = entry.hash and not entry.quoted
    return (*_budget_key(entry), entry.arch, entry.lam, entry.hash) if identified else id(entry)


def _completed(ranked: Sequence[Entry]) -> Entry:
    """The first entry; each of `BORROWED` that it lacks is taken from the first that has it."""
    borrowed: dict[str, Any] = {}
    for name, details in BORROWED.items():
        source = next((entry for entry in ranked if _has(entry, name)), ranked[0])
        borrowed |= {field: getattr(source, field) for field in (name, *details)}
    return replace(ranked[0], **borrowed)


def _completeness(entry: Entry) -> tuple[int, int]:
    return entry.n or 0, sum(_has(entry, name) for name in BORROWED)


def _has(entry: Entry, name: str) -> bool:
    return getattr(entry, name) not in (None, "")  # an accuracy of 0 is there


def _with_claims(entries: Sequence[Entry]) -> Iterator[Entry]:
    """Measured rows with what an author claims of them: a list at any lambda, the zoo's index at the training one."""
    in_zoo = {entry.name: entry for entry in index.entries()}
    zoo_models = {(entry.model, entry.hash) for entry in entries if entry.model in in_zoo}
    by_zoo = {(name, weights): zoo_claims(in_zoo[name], weights) for name, weights in zoo_models}
    by_lists: dict[tuple[str, ...], Claim] = {}
    for entry in entries:
        if entry.quoted:
            share = entry.accuracy if entry.reported is None else entry.reported
            claim = share, entry.source or entry.ran_by
            by_lists[_budget_key(entry)] = min(by_lists.get(_budget_key(entry), claim), claim)
    for entry in entries:
        key = _budget_key(entry)
        found = None
        if not entry.quoted:
            found = by_lists.get(key) or by_zoo.get((entry.model, entry.hash), {}).get((*key, entry.lam))
        yield replace(entry, reported=found[0], source=found[1]) if found else entry


def zoo_claims(entry: index.Entry, weights: str) -> Mapping[Key, Claim]:
    """The lowest robust accuracy that the zoo's index states of a model at each budget and its training lambda; nothing
    of what bears its name with weights of another hash (empty: not known)."""
    path = index.local_path(entry)
    card = None if path is None else read_card(path)
    if card is not None and weights not in ("", card.weights_hash):
        return {}
    lam = "" if card is None else brief(card.lam)
    claims: dict[Key, Claim] = {}
    for text, share in entry.robust.items():
        for norm, eps in _budgets(text):
            key, claim = (entry.name, entry.data, norm, eps, lam), (share, f"the zoo's index: {text}")
            claims[key] = min(claims.get(key, claim), claim)
    return claims


def _budgets(text: str) -> Iterator[tuple[str, str]]:
    """Norms with the eps behind them, as in "pgd-20 linf 8/255 on 1000 images"."""
    for norm, eps in pairwise(text.replace(",", " ").split()):
        if norm in NORMS:
            with suppress(InputError):
                yield norm, budget(eps, "eps")


def _budget_key(entry: Entry) -> tuple[str, str, str, str]:
    return entry.model, entry.data, entry.norm, entry.eps


def _summary(ranked: Sequence[Entry]) -> str:
    quoted = sum(entry.quoted for entry in ranked)
    of_lists = f"{len(ranked) - quoted:,} of them measured and {quoted:,} quoted from lists"
    return (
        f"{counted(len(ranked), 'row')}, {of_lists if quoted else 'all measured'}. Compare only rows of the same data, "
        "norm and eps, and mind the intervals. Accuracy is the lowest that any attack at that budget left, of those on "
        "the most images. Autoattack % and clean % may be over fewer images. Corruptions % is a mean: compare it only "
        "where it is over the same corruptions (in lists the 15 at severities 1 to 5)."
    )


def _table(ranked: Sequence[Entry]) -> Table:
    columns = (
        "model", "lambda", "data", "norm", "eps", "accuracy", "by", "autoattack %", "clean %", "corruptions %",
        "over", "reported %", "source", "flags", "hash", "answer", "ran by",
    )  # fmt: skip
    return Table(
        columns,
        tuple(map(_row, ranked)),
        left=(0, 2, 3, 6, 10, 12, 13, 14, 15, 16),
        filters=(0, 2, 3, 4, 13),
    )


def _row(entry: Entry) -> tuple[Item, ...]:
    accuracy: Item = _percent(entry.accuracy)
    if entry.low is not None and entry.high is not None and entry.n is not None:
        accuracy = Estimate(entry.accuracy, entry.low, entry.high, entry.n, entry.untrusted)
    flags = ", ".join(flag for flag in ("untrusted", "disputed", "quoted") if getattr(entry, flag))
    return (
        entry.model,
        entry.lam or "-",
        entry.data,
        entry.norm,
        entry.eps,
        accuracy,
        entry.by,
        _percent(entry.autoattack, doubt=entry.autoattack_untrusted),
        _percent(entry.clean),
        _percent(entry.corruptions),
        entry.corruptions_over,
        _percent(entry.reported),
        entry.source,
        flags,
        entry.hash[:16],
        entry.cell[:16],
        entry.ran_by,
    )


def _percent(share: float | None, *, doubt: bool = False) -> Item:
    """With a second decimal where it says something: it may be of many images."""
    if share is None:
        return Missing("not known")
    return f"{float(share_text(share, 2))}{' untrusted' if doubt else ''}"
