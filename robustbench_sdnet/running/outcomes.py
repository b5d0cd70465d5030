"""From logits and attack results to outcomes: what is kept of every sample."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..attacks.engine.losses import negative_margin
from ..store.outcome import Outcome
from .deploy import Answered

if TYPE_CHECKING:
    from ..attacks.engine.result import AttackResult

Prediction = dict[str, NDArray[Any]]
_NOTHING = np.float32(np.nan)


def prediction(answered: Answered, labels: Tensor, residual: Tensor | None) -> Prediction:
    n, output, lam = len(labels), answered.logits.float(), answered.lam
    lam_values = (
        lam.float().cpu().numpy() if isinstance(lam, Tensor) else np.full(n, _NOTHING if lam is None else lam)
    )
    return {
        "right": (output.argmax(1) == labels).cpu().numpy(),
        "margin": (-negative_margin(output, labels)).cpu().numpy(),
        "lam": lam_values.astype(np.float32),
        "residual": np.full(n, _NOTHING) if residual is None else residual.float().cpu().numpy(),
    }


def joined(parts: Sequence[Prediction], ids: NDArray[np.int64]) -> Outcome:
    whole = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    whole.setdefault("broken_at", np.where(whole["right"], -1, 0).astype(np.int32))
    return Outcome(ids=ids, distance=np.full(len(ids), _NOTHING), **whole)


def attack_outcome(
    result: AttackResult,
    ids: NDArray[np.int64],
    alive: NDArray[np.int64],
    before: Outcome | None,
    lam: float | None,
    residual: Tensor | None,
) -> Outcome:
    """The outcome of a shard of which only the samples at `alive` were attacked; the others keep their parent's."""
    n = len(ids)
    distance = result.extra.get("distance")
    fresh: dict[str, NDArray[Any]] = {
        "right": result.robust.cpu().numpy(),
        "broken_at": result.broken_at.cpu().numpy().astype(np.int32),
        "margin": result.margin.float().cpu().numpy(),
        "distance": np.full(len(alive), _NOTHING) if distance is None else distance.float().cpu().numpy(),
    }
    merged: dict[str, NDArray[Any]] = {}
    for key, values in fresh.items():
        merged[key] = np.empty(n, values.dtype) if before is None else getattr(before, key).copy()
        merged[key][alive] = values
    return Outcome(
        ids=ids,
        lam=np.full(n, _NOTHING if lam is None else lam, np.float32),
        residual=np.full(n, _NOTHING) if residual is None else residual.float().cpu().numpy(),
        **merged,
    )
