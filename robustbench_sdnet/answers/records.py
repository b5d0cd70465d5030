"""The result record: one flat dictionary an answer, recomputed from per-sample outcomes.

Records hold no times, hosts or paths, so that two stores with equal answers give equal reports, byte for byte.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import StoreError
from ..specs import AttackSpec, Cell, CorruptionSpec, Eps, LambdaSpec, canonical
from ..statistics import wilson
from ..store.outcome import Outcome
from ..store.store import Shard, Store
from .distances import of_outcome, quantile
from .trust import first_gradients, judged, with_parents

FIELDS = (
    "model",
    "arch",
    "data",
    "kind",
    "perturbation",
    "severity",
    "norm",
    "eps",
    "lambda",
    "lambda_attack",
    "n",
    "accuracy",
    "low",
    "high",
    "source",
    "verdict",
    "passes_forward",
    "passes_backward",
    "cell",
)
DISTANCE_FIELDS = ("median_distance",)  # only in stores that hold a minimal-norm attack
COST_FIELDS = ("seconds", "memory_mib", "device", "precision", "versions")
KINDS = ("clean", "corruption", "noise", "attack", "worst_case", "transfer")

ORACLE_CHOICES = 3  # fewer lambdas are no sweep, and their best is no bound worth naming

Record = dict[str, Any]


def records(
    store: Store | str,
    *,
    with_cost: bool = False,
    only: Container[str] | None = None,
    limit: int | None = None,
) -> list[Record]:
    """Every answered cell as a record of `FIELDS`, in an order that depends on the answers alone.

    Where a minimal-norm attack is among them, every record also has `DISTANCE_FIELDS`: the median distance in the
    units of eps, None for everything else and where less than half of the images were broken.

    Args:
        store: an open store or its URL.
        with_cost: add `COST_FIELDS`.
        only: ids of the cells to look at; None for all.
        limit: look at the first `limit` images alone, whatever more is stored.

    Raises:
        StoreError: the store does not exist, is damaged, or holds nothing.
    """
    if isinstance(store, str):
        with Store(store, must_exist=True) as opened:
            return records(opened, with_cost=with_cost, only=only, limit=limit)
    found: list[Record] = []
    answered: list[tuple[Cell, Outcome]] = []
    verdicts, signs = store.verdicts(), {}
    seen = {cell_id: n if limit is None else min(n, limit) for cell_id, (_, n, _) in store.progress().items()}
    cells = {cell_id: cell for cell_id, cell in store.cells().items() if only is None or cell_id in only}
    for cell_id, cell in answered_exactly(cells, seen).items():
        shards = list(store.shards(cell_id, limit))
        outcome = Outcome.join(shard.outcome for shard in shards)
        answered.append((cell, outcome))
        signs[cell_id] = first_gradients(shards)
        found.append(_record(cell, outcome, shards, "unchecked", with_cost))
    for row, (gradients, silent) in zip(
        found, with_parents((cell for cell, _ in answered), signs).values(), strict=True
    ):
        row["verdict"] = judged(verdicts.get(row["cell"], ()), gradients, silent)
    if not found:
        raise StoreError(
            f"The store {store.url.render_as_string()} holds no results. "
            "Run 'sdnet-bench corrupt' or 'sdnet-bench attack' first."
        )
    answered, found = _distinct_questions(answered, found)
    _add_distances(answered, found)
    found += _worst_cases(answered, found, with_cost) + _oracles(answered, found, with_cost)
    return sorted(found, key=_order)


def answered_exactly(cells: Mapping[str, Cell], samples: Mapping[str, int]) -> dict[str, Cell]:
    """The answered cells, without screened ones that float32 answered on as many samples.

    Args:
        samples: how many samples of each cell are stored; cells without any are left out.
    """
    exact = {
        cell.asked_in("float32"): samples[cell_id]
        for cell_id, cell in cells.items()
        if cell_id in samples and cell.precision == "float32"
    }
    return {
        cell_id: cell
        for cell_id, cell in cells.items()
        if cell_id in samples
        and (
            cell.precision == "float32"
            or not isinstance(cell.perturbation, CorruptionSpec)
            or exact.get(cell.asked_in("float32"), 0) < samples[cell_id]
        )
    }


def provenance(store: Store | str) -> list[dict[str, Any]]:
    """What exactly was run: per answered cell its id, every parameter, the hashes, and how many samples.

    Raises:
        StoreError: the store does not exist or is damaged.
    """
    if isinstance(store, str):
        with Store(store, must_exist=True) as opened:
            return provenance(opened)
    found = []
    for cell_id, cell in store.cells().items():
        shards = list(store.shards(cell_id))
        if shards:
            found.append(_provenance(cell_id, cell, shards))
    return sorted(found, key=lambda row: (row["model"], row["data"], str(row["perturbation"]), row["cell"]))


def _record(cell: Cell, outcome: Outcome, shards: Sequence[Shard], verdict: str, with_cost: bool) -> Record:
    right, n = int(outcome.right.sum()), len(outcome)
    low, high = wilson(right, n)
    found: Record = {
        **_question(cell),
        "n": n,
        "accuracy": right / n,
        "low": low,
        "high": high,
        "verdict": verdict,
        "passes_forward": sum(shard.cost["forwards"] for shard in shards),
        "passes_backward": sum(shard.cost["backwards"] for shard in shards),
        "cell": cell.id,
    }
    found = {key: found[key] for key in FIELDS}
    if with_cost:
        found["seconds"] = round(sum(shard.cost["seconds"] for shard in shards), 3)
        found["memory_mib"] = max(shard.cost["memory_mib"] for shard in shards)
        for key in COST_FIELDS[2:]:
            found[key] = _distinct(shard.cost[key] for shard in shards)
    return found


def _question(cell: Cell) -> Record:
    spec = cell.perturbation
    corruption = spec if isinstance(spec, CorruptionSpec) else None
    attack = spec if isinstance(spec, AttackSpec) else None
    return {
        "model": cell.model.name,
        "arch": cell.model.arch,
        "data": cell.data.name if cell.data.split == "test" else f"{cell.data.name} ({cell.data.split})",
        "kind": cell.kind,
        "perturbation": spec.label,
        "severity": corruption.severity if corruption else None,
        "norm": attack.norm if attack else None,
        "eps": attack.eps.text if attack and attack.eps else None,
        "lambda": lambda_value(cell.lam),
        "lambda_attack": lambda_value(cell.lam_attack) if attack else None,
        "source": corruption.source if corruption else "generated",
    }


def lambda_value(lam: LambdaSpec | None) -> float | str | None:
    """Lambda as records hold it: a number, the name of a policy, or None; other scopes than the stem are named."""
    if lam is None:
        return None
    if lam.scope != "stem":
        return f"{lam.scope}:{lam.text}"
    return lam.text if lam.fixed is None else lam.fixed


def _worst_cases(
    answered: Iterable[tuple[Cell, Outcome]], rows: Sequence[Record], with_cost: bool
) -> list[Record]:
    """Per-sample worst case over all attack lambdas, wherever a deployed lambda was attacked at two or more."""
    groups: dict[tuple[Any, ...], list[tuple[Cell, Outcome, Record]]] = {}
    for (cell, outcome), row in zip(answered, rows, strict=True):
        if cell.kind in ("attack", "transfer"):
            key = canonical([cell.model.identity(), cell.data.identity(), cell.perturbation.identity()])
            groups.setdefault((key, cell.lam), []).append((cell, outcome, row))
    return [_worst_case(group, with_cost) for group in groups.values() if len(group) > 1]


def _add_distances(answered: Iterable[tuple[Cell, Outcome]], rows: Sequence[Record]) -> None:
    """Give every record its median distance, where any of them has distances."""
    sought = [of_outcome(cell, outcome) for cell, outcome in answered]
    if any(distances is not None for distances in sought):
        for row, distances in zip(rows, sought, strict=True):
            row["median_distance"] = None if distances is None else quantile(distances)


def _worst_case(group: Sequence[tuple[Cell, Outcome, Record]], with_cost: bool) -> Record:
    group = sorted(group, key=lambda item: item[0].id)
    ids = group[0][1].ids
    for _, outcome, _ in group[1:]:
        ids = np.intersect1d(ids, outcome.ids)
    right = np.ones(len(ids), bool)
    for _, outcome, _ in group:
        right &= outcome.right[np.isin(outcome.ids, ids)]
    n = len(ids)
    low, high = wilson(int(right.sum()), n) if n else (float("nan"), float("nan"))
    found = {
        **group[0][2],
        "kind": "worst_case",
        "lambda_attack": None,
        "n": n,
        "accuracy": int(right.sum()) / n if n else float("nan"),
        "low": low,
        "high": high,
        "verdict": "untrusted" if any(row["verdict"] == "untrusted" for _, _, row in group) else "unchecked",
        **{key: None for key in DISTANCE_FIELDS if key in group[0][2]},
        **_summed([row for _, _, row in group], with_cost),
    }
    return found


def _distinct_questions(
    answered: list[tuple[Cell, Outcome]], rows: list[Record]
) -> tuple[list[tuple[Cell, Outcome]], list[Record]]:
    """One record a question: an attack from scratch and on survivors ask the same; the larger n, then the lower
    accuracy, which is the tighter bound, stands."""
    best: dict[tuple[Any, ...], int] = {}
    key_fields = FIELDS[: FIELDS.index("n")]
    for index, row in enumerate(rows):
        cell = answered[index][0]
        key = (_who(cell), *(row[name] for name in key_fields))
        standing = best.get(key)
        if standing is None or _strength(row) > _strength(rows[standing]):
            best[key] = index
    kept = sorted(best.values())
    return [answered[index] for index in kept], [rows[index] for index in kept]


def _who(cell: Cell) -> str:
    """Model, images and the fits of lambda policies, by what they are and not by what they are called."""
    lams = [lam and lam.fit for lam in (cell.lam, cell.lam_attack)]
    return canonical([cell.model.identity(), cell.data.identity(), lams])


def _strength(row: Record) -> tuple[int, float, str]:
    return row["n"], -row["accuracy"], row["cell"]


def _oracles(
    answered: Iterable[tuple[Cell, Outcome]], rows: Sequence[Record], with_cost: bool
) -> list[Record]:
    """The best lambda in hindsight, per corruption and severity: chosen on test labels, so an upper bound."""
    groups: dict[tuple[Any, ...], list[tuple[float, LambdaSpec, Record]]] = {}
    for (cell, _), row in zip(answered, rows, strict=True):
        if row["kind"] == "corruption" and cell.lam is not None and cell.lam.fixed is not None:
            key = tuple(row[name] for name in ("model", "data", "perturbation", "severity", "source", "n"))
            groups.setdefault((*key, cell.lam.scope), []).append((cell.lam.fixed, cell.lam, row))
    found = []
    for group in groups.values():
        if len(group) >= ORACLE_CHOICES:
            _, lam, best = max(group, key=lambda choice: (choice[2]["accuracy"], -choice[0]))
            oracle = lambda_value(LambdaSpec("oracle", lam.scope))
            found.append({**best, "lambda": oracle, **_summed([row for _, _, row in group], with_cost)})
    return found


def _summed(group: Sequence[Record], with_cost: bool) -> Record:
    """What an answer made of several cells cost, and which they were."""
    found: Record = {key: sum(row[key] for row in group) for key in ("passes_forward", "passes_backward")}
    found["cell"] = "+".join(sorted(row["cell"] for row in group))
    if with_cost:
        found["seconds"] = round(sum(row["seconds"] for row in group), 3)
    return found


def _provenance(cell_id: str, cell: Cell, shards: Sequence[Shard]) -> dict[str, Any]:
    spec = cell.perturbation
    details: dict[str, Any] = {"seed": spec.seed, "version": spec.version}
    if isinstance(spec, AttackSpec):
        details.update(norm=spec.norm, eps=spec.eps and str(spec.eps.fraction), **dict(spec.params))
    else:
        details.update(severity=spec.severity, level=spec.level, source=spec.source)
    return {
        "cell": cell_id,
        "model": cell.model.name,
        "arch": cell.model.arch,
        "weights": cell.model.weights,
        "data": _question(cell)["data"],
        "data_hash": cell.data.content,
        "kind": cell.kind,
        "perturbation": spec.label,
        "parameters": {key: value for key, value in details.items() if value is not None},
        "lambda": lambda_value(cell.lam),
        "lambda_attack": lambda_value(cell.lam_attack),
        "precision": cell.precision,
        "parents": list(cell.parents),
        "n": sum(shard.stop - shard.start for shard in shards),
        "versions": _distinct(shard.cost["versions"] for shard in shards),
    }


def _distinct(values: Iterable[Any]) -> Any:
    """The one value of all, or a list of the different ones."""
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return found[0] if len(found) == 1 else found


def _order(row: Record) -> tuple[Any, ...]:
    return (
        row["model"],
        row["data"],
        KINDS.index(row["kind"]),
        row["perturbation"],
        row["severity"] or 0,
        row["norm"] or "",
        _number(row["eps"]),
        _lambda_order(row["lambda"]),
        _lambda_order(row["lambda_attack"]),
        row["cell"],
    )


def _number(eps: str | None) -> float:
    return -1.0 if eps is None else float(Eps.parse(eps, "l2"))


def _lambda_order(value: float | str | None) -> tuple[int, float, str]:
    if value is None:
        return (0, 0.0, "")
    return (1, value, "") if isinstance(value, float) else (2, 0.0, str(value))
