"""The result record: every row as one flat dictionary, what JSON and CSV hold.

Records hold no times, hosts or paths, so that two stores with equal answers give equal reports, byte for byte.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from ..specs import CorruptionSpec
from .per_image import quantile
from .rows import Row, lambda_value, rows
from .snapshot import Snapshot

if TYPE_CHECKING:
    from ..store.store import Store

Record = dict[str, Any]

FIELDS = (
    "model", "arch", "data", "kind", "perturbation", "severity", "norm", "eps", "lambda", "lambda_attack", "n",
    "accuracy", "low", "high", "source", "verdict", "passes_forward", "passes_backward", "cell",
)  # fmt: skip
STABILITY_FIELDS = ("flip_probability", "top5_distance")
REPEATED_FIELDS = ("draws", "protocol")
COST_FIELDS = ("seconds", "memory_mib", "device", "threads", "precision", "versions", "weights")


def records(store: str | Store | Snapshot, *, with_cost: bool = False) -> list[Record]:
    """Every result as a record of `FIELDS`, in an order that depends on the answers alone; errors as `Snapshot.read`.

    Every record has the same fields, and those of `EXTRAS` only where some result needs them; `frames.records`
    describes each. `with_cost` adds `COST_FIELDS`.
    """
    return flat(rows(Snapshot.read(store).told_apart), with_cost)


def flat(found: Iterable[Row], with_cost: bool = False) -> list[Record]:
    """Rows as records."""
    kept = list(found)
    parts = [_record, *(part for needed, part in EXTRAS if any(map(needed, kept)))]
    parts += [_cost] if with_cost else []
    return [{key: value for part in parts for key, value in part(row).items()} for row in kept]


def _record(row: Row) -> Record:
    low, high = row.interval
    return {
        "model": row.model.name,
        "arch": row.model.arch,
        "data": row.data.label,
        "kind": row.kind,
        "perturbation": row.perturbation.label,
        "severity": row.severity,
        "norm": row.norm,
        "eps": row.eps and row.eps.text,
        "lambda": lambda_value(row.lam),
        "lambda_attack": lambda_value(row.lam_attack),
        "n": row.n,
        "accuracy": row.accuracy,
        "low": low,
        "high": high,
        "source": row.perturbation.source if isinstance(row.perturbation, CorruptionSpec) else row.source,
        "verdict": row.verdict,
        "passes_forward": row.cost.forwards,
        "passes_backward": row.cost.backwards,
        "cell": row.cell,
    }


def _table(row: Row) -> str | None:
    return row.perturbation.parameters if isinstance(row.perturbation, CorruptionSpec) else None


def _stored(row: Row) -> str | None:
    return (row.perturbation.stored or None) if isinstance(row.perturbation, CorruptionSpec) else None


def _distance(row: Row) -> Record:
    return {"median_distance": quantile(row.distances) if len(row.distances) else None}


def _stability(row: Row) -> Record:
    found = row.stability
    return {name: found and getattr(found, name).value for name in STABILITY_FIELDS}


def _repeats(row: Row) -> Record:
    """How draws count; a worst case needs a yes or no of every image, which is the majority where the mean is asked."""
    repeats = row.model.repeats
    found = {name: getattr(repeats, name, None) for name in REPEATED_FIELDS}
    majority = row.kind == "worst_case" and found["protocol"] == "mean"
    return found | ({"protocol": "majority"} if majority else {})


def _cost(row: Row) -> Record:
    cost = row.cost
    told: dict[str, Sequence[Any]] = {
        "device": cost.devices,
        "threads": cost.threads,
        "precision": cost.precisions,
        "versions": cost.versions,
    }
    single = {key: values[0] if len(values) == 1 else list(values) for key, values in told.items()}
    return {"seconds": cost.seconds, "memory_mib": cost.memory_mib, **single, "weights": row.model.weights}


# What only some stores need: whether a row does, and the fields that all records then have.
EXTRAS: tuple[tuple[Callable[[Row], object], Callable[[Row], Record]], ...] = (
    (lambda row: len(row.distances), _distance),
    (_table, lambda row: {"table": _table(row)}),
    (_stored, lambda row: {"stored_as": _stored(row)}),
    (lambda row: row.images, lambda row: {"images": row.images or None}),
    (lambda row: row.disputed, lambda row: {"disputed": row.disputed}),
    (lambda row: row.stability, _stability),
    (lambda row: row.model.repeats, _repeats),
)
