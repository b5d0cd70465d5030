"""The rows of a leaderboard, out of its sources: stores, records, and RobustBench's `model_info`, which is quoted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from statistics import fmean
from typing import Any

from ..answers.records import records
from ..answers.trust import UNTRUSTED
from ..attacks.registry import last_stages
from ..errors import InputError
from ..planning.chains import is_stage, whole_name
from ..reading.numbers import fraction, number
from ..reading.structured import mapping, read_json
from ..specs import NORMS, AttackSpec
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
            rows the lowest that is stated, without interval.
        autoattack, clean, corruptions: accuracies; corruptions is the mean over all that were run at a severity, of the
            origin (generated or published, with parameters and storage) and number of images that most were run of.
            None: not run.
        reported: what an author claims, with its `source`: a list that names the model, or the zoo's index.
        untrusted: a diagnostic failed, or the list calls it unreliable.
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
    """One measured accuracy as an entry of its own.

    Attributes:
        attack: what its name says of it.
        origin: of a corruption at a severity, what a mean may be over: how many images, where from, and which.
    """

    entry: Entry
    kind: str
    attack: AttackSpec
    origin: tuple[int, str] | None

    @property
    def strength(self) -> tuple[Any, ...]:
        """What comes first says most of a budget, as in tables: of those on the most images the lowest."""
        whole = self.kind != "worst_case", is_stage(self.attack)
        return -(self.entry.n or 0), self.entry.accuracy, *whole, self.entry.by


def entries_of(source: str) -> Iterator[Entry]:
    """Rows of a store, which is read as the records it would write, or of a JSON file."""
    raw: Any
    if source.endswith(".json"):
        raw, name = read_json(Path(source), limit=LARGEST), Path(source).name
    else:
        raw, name = records(source, with_cost=True), source.rpartition("/")[2]
    if isinstance(raw, Mapping):
        yield from _quoted(raw, name, Path(source).absolute().parent.name)
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
            kind, attack = str(record["kind"]), _attack(str(record["perturbation"]))
            name, n = whole_name(attack), int(record["n"])
            entry = Entry(
                **known,
                lam=brief(record["lambda"]),
                norm=str(record["norm"] or ""),
                eps="" if eps is None else str(fraction(str(eps), "eps must be a number")),
                n=n,
                by=f"worst case of {name}" if kind == "worst_case" else name,
                untrusted=record["verdict"] == UNTRUSTED,
                hash=str(record.get("weights", "")),
            )
            told = ", ".join(
                str(record[key]) for key in ("source", "table", "stored_as", "images") if record.get(key)
            )
            yield _Seen(entry, kind, attack, None if record["severity"] is None else (n, told))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"Record {position} of {where} is no result record: {str(error).rstrip('.')}."
            ) from None


def _mean_corruption(own: Sequence[_Seen]) -> float | None:
    """Of those of one origin alone: their numbers are never mixed."""
    origins = grouped((one for one in own if one.origin), lambda one: one.origin)
    _, found = max(origins.items(), key=lambda pair: (len(pair[1]), pair[0]), default=(None, ()))
    return fmean(one.entry.accuracy for one in found) if found else None


def _attack(asked: str) -> AttackSpec:
    """An attack by its name in records: a stage of a chain is the last part of it."""
    chain, _, stage = asked.rpartition("/")
    if last_stages(chain.partition("(")[0]):
        return AttackSpec(name=stage, eps=None, chain=chain)
    return AttackSpec(name=asked, eps=None)


def _measured(raw: Sequence[Any], where: str) -> Iterator[Entry]:
    seen = (one for one in _seen(raw, where) if not is_upper_bound(one.entry.lam))
    who = attrgetter(*(f"entry.{name}" for name in ("model", "arch", "data", "lam", "hash")))
    for own in grouped(seen, who).values():
        clean = next((one.entry.accuracy for one in own if one.kind == "clean"), None)
        attacked = [one for one in own if one.kind in ATTACKS and one.entry.eps]
        for here in grouped(attacked, lambda one: (one.entry.norm, one.entry.eps)).values():
            ranked = sorted(here, key=attrgetter("strength"))
            whole = (one for one in ranked if whole_name(one.attack).startswith("autoattack"))
            standard = next((one.entry.accuracy for one in whole if not is_stage(one.attack)), None)
            corrupted = _mean_corruption(own)
            yield replace(ranked[0].entry, autoattack=standard, clean=clean, corruptions=corrupted)


def _quoted(raw: Mapping[str, Any], where: str, folder: str) -> Iterator[Entry]:
    """Rows of RobustBench's model_info: one model, or several by name; there the folder alone says the norm."""
    models = {where: raw} if "name" in raw else raw
    for key, item in models.items():
        info = mapping(item, f"'{key}' of {where}")
        attacked = (_share(info, key, where) for key in ("autoattack_acc", "external"))
        known = [share for share in attacked if share is not None]
        stated = min(known, default=_share(info, "reported", where))
        if stated is None or info.get("eps") is None:
            continue  # a model of the corruptions list
        norm = str(info.get("norm", info.get("threat_model", folder))).lower()
        yield Entry(
            model=str(info.get("name", key)),
            arch=str(info.get("architecture", "")),
            data=str(info.get("dataset", "")),
            lam="",
            norm=norm if norm in NORMS else "linf",
            eps=str(fraction(str(info["eps"]), "eps must be a number")),
            accuracy=stated,
            by="as stated",
            autoattack=_share(info, "autoattack_acc", where),
            clean=_share(info, "clean_acc", where),
            corruptions=_share(info, "corruptions_acc", where),
            reported=_share(info, "reported", where),
            source=str(info.get("link", "")),
            untrusted=info.get("unreliable") is True,
            quoted=True,
            ran_by=where,
        )


def _share(info: Mapping[str, Any], key: str, where: str) -> float | None:
    value = info.get(key)
    return None if value in (None, "") else round(number(value, f"{key} of {where}", 0, 100) / 100, 8)
