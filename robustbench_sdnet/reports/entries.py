"""The rows of a leaderboard, out of its sources: stores, records, and RobustBench's `model_info`, which is quoted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..answers.rows import Row, data_name, lambda_value, rows
from ..answers.snapshot import Snapshot
from ..answers.trust import UNTRUSTED
from ..errors import InputError
from ..planning.chains import chain_of, is_stage
from ..reading.numbers import fraction, number
from ..reading.structured import mapping, read_json
from ..specs import AttackSpec, Perturbation
from ..specs.lambdas import is_upper_bound

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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """One measured accuracy, out of a store or a file of records."""

    who: tuple[str, str, str, str, str]  # model, arch, data, lambda, hash
    kind: str
    origin: str  # of a corruption at a severity, what a mean may be taken over; else empty
    norm: str
    eps: str
    is_autoattack: bool
    by: str
    accuracy: float
    low: float
    high: float
    n: int
    untrusted: bool
    cell: str


def entries_of(source: str) -> Iterator[Entry]:
    if not source.endswith(".json"):
        seen, name = _of_rows(rows(Snapshot.read(source))), source.rpartition("/")[2]
    else:
        path = Path(source)
        raw, name = read_json(path, limit=LARGEST), path.name
        if isinstance(raw, Mapping):
            yield from _quoted(raw, name)
            return
        if not isinstance(raw, list):
            raise InputError(f"{path} is neither records nor RobustBench's model_info.")
        seen = _of_records(raw, name)
    yield from (replace(entry, ran_by=name) for entry in _measured(list(seen)))


def _of_rows(found: Iterable[Row]) -> Iterator[_Seen]:
    for row in found:
        spec = row.perturbation
        lam = lambda_value(row.lam)
        text = "" if lam is None else f"{lam:g}" if isinstance(lam, float) else lam
        low, high = row.interval
        yield _Seen(
            who=(row.model.name, row.model.arch, data_name(row.data), text, row.model.weights),
            kind=row.kind,
            origin="" if row.severity is None else row.source,
            norm=row.norm or "",
            eps=str(row.eps.fraction) if row.eps else "",
            is_autoattack=_is_autoattack(spec),
            by=f"worst case of {spec.label}" if row.kind == "worst_case" else spec.label,
            accuracy=row.accuracy,
            low=low,
            high=high,
            n=row.n,
            untrusted=row.verdict == UNTRUSTED,
            cell=row.cell,
        )


def _of_records(raw: Sequence[Any], where: str) -> Iterator[_Seen]:
    """Records of a file: the result record is a contract, its values are checked."""
    for position, item in enumerate(raw):
        record = mapping(item, f"record {position} of {where}")
        try:
            chain, _, stage = str(record["perturbation"]).rpartition("/")
            lam = record["lambda"]
            yield _Seen(
                who=(
                    *(str(record[key]) for key in ("model", "arch", "data")),  # type: ignore[arg-type]
                    "" if lam is None else f"{lam:g}" if isinstance(lam, int | float) else str(lam),
                    str(record.get("weights", "")),
                ),
                kind=str(record["kind"]),
                origin="" if record["severity"] is None else _origin(record),
                norm=str(record["norm"] or ""),
                eps=""
                if record["eps"] is None
                else str(fraction(str(record["eps"]), "eps must be a number")),
                is_autoattack=_is_autoattack(AttackSpec(name=stage, eps=None, chain=chain)),
                by=str(record["perturbation"]),
                **{
                    key: number(record[key], f"{key} of {where}", 0, 1) for key in ("accuracy", "low", "high")
                },
                n=int(record["n"]),
                untrusted=record["verdict"] == UNTRUSTED,
                cell=str(record["cell"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"Record {position} of {where} is no result record: {error}.") from None


def _origin(record: Mapping[str, Any]) -> str:
    """Where a corruption comes from, with its parameters and storage where they are unusual."""
    return ", ".join(str(record[key]) for key in ("source", "table", "stored_as") if record.get(key))


def _mean_corruption(own: Sequence[_Seen]) -> float | None:
    """Of those of one origin alone: their numbers are never mixed."""
    origins = [one.origin for one in own if one.origin]
    if not origins:
        return None
    most = max(dict.fromkeys(origins), key=origins.count)
    found = [one.accuracy for one in own if one.origin == most]
    return sum(found) / len(found)


def _is_autoattack(spec: Perturbation) -> bool:
    """Whether this is the last stage of AutoAttack, which holds its accuracy."""
    return chain_of(spec).startswith("autoattack") and not is_stage(spec)


def _measured(seen: Sequence[_Seen]) -> Iterator[Entry]:
    groups: dict[tuple[str, ...], list[_Seen]] = {}
    for one in seen:
        if not is_upper_bound(one.who[3]):
            groups.setdefault(one.who, []).append(one)
    for (model, arch, data, lam, weights), own in groups.items():
        clean = next((one.accuracy for one in own if one.kind == "clean"), None)
        attacked = [one for one in own if one.kind in ATTACKS and one.eps]
        for norm, eps in dict.fromkeys((one.norm, one.eps) for one in attacked):
            here = [one for one in attacked if (one.norm, one.eps) == (norm, eps)]
            largest = max(one.n for one in here)
            best = min((one for one in here if one.n == largest), key=lambda one: one.accuracy)
            whole = [one.accuracy for one in here if one.is_autoattack]
            yield Entry(
                model=model,
                arch=arch,
                data=data,
                lam=lam,
                norm=norm,
                eps=eps,
                accuracy=best.accuracy,
                low=best.low,
                high=best.high,
                n=best.n,
                by=best.by,
                autoattack=min(whole, default=None),
                clean=clean,
                corruptions=_mean_corruption(own),
                untrusted=best.untrusted,
                hash=weights,
                cell=best.cell,
            )


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
