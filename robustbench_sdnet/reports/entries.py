"""The rows of a leaderboard, out of its sources: stores, records, and RobustBench's `model_info`, which is quoted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Any

from ..answers.records import records
from ..answers.trust import UNTRUSTED
from ..errors import InputError
from ..planning.chains import is_stage
from ..reading.numbers import fraction, number
from ..reading.structured import mapping, read_json
from ..specs import AttackSpec
from ..specs.lambdas import is_upper_bound
from ..wording import brief
from .results import grouped

LARGEST = 256 * 2**20  # bytes of a file of records
ATTACKS = ("attack", "worst_case")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One row.

    Attributes:
        lam: the deployed lambda as text; empty without CSC layers.
        accuracy, low, high, n, by: the best known (lowest) accuracy at the budget, and which attack left it; for quoted
            rows the number that is stated, without interval.
        autoattack, clean, corruptions: accuracies; corruptions is the mean over all that were run at a severity, of the
            origin that most were run of (generated or published, with their parameters and storage). None: not run.
        reported: what an author claims, with its `source`: a list that names the model, or the zoo's index.
        untrusted: a diagnostic failed.
        quoted: taken from a list, not measured here.
        hash: of the weights; empty where records do not hold it.
        cell: id of the answer that `accuracy` is of, which hashes the model and all that it was asked.
        ran_by: the source that it was read from.
    """

    model: str
    arch: str
    data: str
    lam: str
    norm: str
    eps: str
    accuracy: float
    low: float | None = None
    high: float | None = None
    n: int | None = None
    by: str = ""
    autoattack: float | None = None
    clean: float | None = None
    corruptions: float | None = None
    reported: float | None = None
    source: str = ""
    untrusted: bool = False
    quoted: bool = False
    hash: str = ""
    cell: str = ""
    ran_by: str = ""


@dataclass(frozen=True, slots=True)
class _Seen:
    """One measured accuracy as an entry of its own."""

    entry: Entry
    kind: str
    origin: str  # of a corruption at a severity, with unusual parameters and storage: what a mean may be over
    is_autoattack: bool


def entries_of(source: str) -> Iterator[Entry]:
    """Rows of a store, which is read as the records it would write, or of a JSON file."""
    raw: Any
    if source.endswith(".json"):
        raw, name = read_json(Path(source), limit=LARGEST), Path(source).name
    else:
        raw, name = records(source, with_cost=True), source.rpartition("/")[2]
    if isinstance(raw, Mapping):
        yield from _quoted(raw, name)
    elif isinstance(raw, list):
        yield from (replace(entry, ran_by=name) for entry in _measured(raw, name))
    else:
        raise InputError(f"{Path(source)} is neither records nor RobustBench's model_info.")


def _seen(raw: Sequence[Any], where: str) -> Iterator[_Seen]:
    """The result record is a contract, its values are checked."""
    for position, item in enumerate(raw):
        record = mapping(item, f"record {position} of {where}")
        try:
            eps = record["eps"]
            known: dict[str, Any] = {key: str(record[key]) for key in ("model", "arch", "data", "cell")}
            for key in ("accuracy", "low", "high"):
                known[key] = number(record[key], f"{key} must lie in 0 to 1", 0, 1)
            kind, asked = str(record["kind"]), str(record["perturbation"])
            entry = Entry(
                **known,
                lam=brief(record["lambda"]),
                norm=str(record["norm"] or ""),
                eps="" if eps is None else str(fraction(str(eps), "eps must be a number")),
                n=int(record["n"]),
                by=f"worst case of {asked}" if kind == "worst_case" else asked,
                untrusted=record["verdict"] == UNTRUSTED,
                hash=str(record.get("weights", "")),
            )
            told = () if record["severity"] is None else ("source", "table", "stored_as")
            origin = ", ".join(str(record[key]) for key in told if record.get(key))
            yield _Seen(entry, kind, origin, _is_autoattack(asked))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"Record {position} of {where} is no result record: {str(error).rstrip('.')}."
            ) from None


def _mean_corruption(own: Sequence[_Seen]) -> float | None:
    """Of those of one origin alone: their numbers are never mixed."""
    origins = [one.origin for one in own if one.origin]
    if not origins:
        return None
    most = max(dict.fromkeys(origins), key=origins.count)
    found = [one.entry.accuracy for one in own if one.origin == most]
    return sum(found) / len(found)


def _is_autoattack(asked: str) -> bool:
    """Whether this is the last stage of AutoAttack, which holds its accuracy."""
    chain, _, stage = asked.rpartition("/")
    return chain.startswith("autoattack") and not is_stage(AttackSpec(name=stage, eps=None, chain=chain))


def _measured(raw: Sequence[Any], where: str) -> Iterator[Entry]:
    seen = (one for one in _seen(raw, where) if not is_upper_bound(one.entry.lam))
    for own in grouped(
        seen, lambda one: attrgetter("model", "arch", "data", "lam", "hash")(one.entry)
    ).values():
        clean = next((one.entry.accuracy for one in own if one.kind == "clean"), None)
        attacked = [one for one in own if one.kind in ATTACKS and one.entry.eps]
        for here in grouped(attacked, lambda one: (one.entry.norm, one.entry.eps)).values():
            best = max((one.entry for one in here), key=lambda entry: (entry.n or 0, -entry.accuracy))
            whole = min((one.entry.accuracy for one in here if one.is_autoattack), default=None)
            yield replace(best, autoattack=whole, clean=clean, corruptions=_mean_corruption(own))


def _quoted(raw: Mapping[str, Any], where: str) -> Iterator[Entry]:
    """Rows of RobustBench's model_info: one model, or several by name."""
    models = {where: raw} if "name" in raw else raw
    for key, item in models.items():
        info = mapping(item, f"'{key}' of {where}")
        stated = _share(info, "autoattack_acc", where)
        if stated is None:
            stated = _share(info, "reported", where)
        if stated is None or "eps" not in info:
            continue  # a model of the corruptions list
        yield Entry(
            model=str(info.get("name", key)),
            arch=str(info.get("architecture", "")),
            data=str(info.get("dataset", "")),
            lam="",
            norm="l2" if str(info.get("norm", info.get("threat_model", "linf"))).lower() == "l2" else "linf",
            eps=str(fraction(str(info["eps"]), "eps must be a number")),
            accuracy=stated,
            by="as stated",
            autoattack=_share(info, "autoattack_acc", where),
            clean=_share(info, "clean_acc", where),
            corruptions=_share(info, "corruptions_acc", where),
            reported=_share(info, "reported", where),
            source=str(info.get("link", "")),
            quoted=True,
            ran_by=where,
        )


def _share(info: Mapping[str, Any], key: str, where: str) -> float | None:
    value = info.get(key)
    return None if value in (None, "") else round(number(value, f"{key} of {where}", 0, 100) / 100, 8)
