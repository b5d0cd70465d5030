"""From logits and attack results to outcomes: what is kept of every sample, of one prediction or of several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..attacks.engine.losses import negative_margin
from ..specs import Repeats, SequenceSpec
from ..store.outcome import Outcome
from .deploy import BatchLogits

if TYPE_CHECKING:
    from ..attacks.engine.result import AttackResult

Prediction = dict[str, NDArray[Any]]
TOP = 5


def prediction(answered: BatchLogits, labels: Tensor, residual: Tensor | None) -> Prediction:
    n, output = len(labels), answered.logits.float()
    return {
        "right": (output.argmax(1) == labels).cpu().numpy(),
        "margin": (-negative_margin(output, labels)).cpu().numpy(),
        "lam": _numbers(answered.lam, n),
        "residual": _numbers(residual, n),
    }


def joined(parts: Sequence[Prediction], ids: NDArray[np.int64]) -> Outcome:
    whole = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
    whole.setdefault("broken_at", np.where(whole["right"], -1, 0).astype(np.int32))
    return Outcome(ids=ids, distance=_numbers(None, len(ids)), **whole)


def along(spec: SequenceSpec, frames: Sequence[tuple[Tensor, Prediction]]) -> Prediction:
    """How steady predictions stay along a sequence; lambda and residual are those of its first frame.

    Flips and top-5 distances are those of Hendrycks & Dietterich 2019 (arXiv:1903.12261), counted as the published
    evaluation counts: noises are compared with the clean first frame, everything else with the frame before, or with
    one further back at a greater difficulty.

    Args:
        frames: the (n, classes) logits of each frame, and the prediction on it.
    """
    # Of equal logits the smaller class comes first.
    orders = [logits.argsort(dim=1, descending=True, stable=True) for logits, _ in frames]
    apart = 1 if spec.first else spec.difficulty
    pairs = [(orders[0 if spec.first else k - apart], orders[k]) for k in range(apart, len(orders))]
    flips = torch.stack([before[:, 0] != after[:, 0] for before, after in pairs]).sum(0)
    shifts = torch.stack([top_distance(before, after) for before, after in pairs]).sum(0)
    right = np.stack([predicted["right"] for _, predicted in frames])
    every = right.all(0)
    return {
        **frames[0][1],
        "right": every,
        "broken_at": np.where(every, -1, right.argmin(0)).astype(np.int32),
        "margin": np.stack([predicted["margin"] for _, predicted in frames]).min(0),
        "flips": flips.int().cpu().numpy(),
        "shifts": shifts.int().cpu().numpy(),
    }


def top_distance(order: Tensor, other: Tensor) -> Tensor:
    """(n,) top-5 distance: over the likeliest five classes of `order`, how far each moved in `other`.

    Ranks count from 0, and from the sixth class on all are 5. Both arguments are (n, classes), the likeliest first.
    """
    top = order[:, :TOP]
    moved = other.argsort(dim=1).gather(1, top).clamp(max=TOP)
    return (moved - torch.arange(top.shape[1], device=order.device)).abs().sum(1)


def attack_outcome(
    result: AttackResult,
    ids: NDArray[np.int64],
    alive: NDArray[np.int64],
    before: Outcome | None,
    lam: Tensor | float | None,
    residual: Tensor | None,
    *,
    minimal: bool,
) -> Outcome:
    """The outcome of a shard of which only the samples at `alive` (m,) were attacked; the others keep their parent's.

    Args:
        lam, residual: one or (m,), at the perturbed images.
        minimal: the smallest perturbation was sought, so that its norm is kept.
    """
    n = len(ids)
    fresh: dict[str, NDArray[Any]] = {
        "right": result.robust.cpu().numpy(),
        "broken_at": result.broken_at.cpu().numpy().astype(np.int32),
        "margin": _numbers(result.margin, len(alive)),
        "distance": _numbers(result.extra.get("distance") if minimal else None, len(alive)),
        "lam": _numbers(lam, len(alive)),
        "residual": _numbers(residual, len(alive)),
    }
    merged: dict[str, NDArray[Any]] = {}
    for key, values in fresh.items():
        merged[key] = np.empty(n, values.dtype) if before is None else getattr(before, key).copy()
        merged[key][alive] = values
    return Outcome(ids=ids, **merged)


def counted(answer: Callable[[], Outcome], repeats: Repeats) -> Outcome:
    """The outcome of images that a randomised model is asked about several times, each a fresh draw."""
    drawn = [answer() for _ in range(repeats.draws)]
    hits = np.stack([one.right for one in drawn]).sum(axis=0, dtype=np.int32)
    right = repeats.right(hits)
    return replace(
        drawn[0],
        hits=hits,
        right=right,
        broken_at=np.where(right, -1, 0).astype(np.int32),
        margin=np.stack([one.margin for one in drawn]).mean(axis=0, dtype=np.float64).astype(np.float32),
    )


def recounted(found: Outcome, final: Outcome) -> Outcome:
    """What an attack found, judged by fresh draws on its final images.

    Where no draw of the search broke an image that these do, step 1 stands for the step that is not known.
    """
    broken_at = np.where(found.broken_at < 0, 1, found.broken_at)
    return replace(
        found,
        hits=final.hits,
        right=final.right,
        broken_at=np.where(final.right, -1, broken_at).astype(np.int32),
        margin=final.margin,
    )


def _numbers(values: Tensor | float | None, n: int) -> NDArray[np.float32]:
    """(n,) numbers as they are stored, NaN where there are none."""
    if isinstance(values, Tensor):
        found: NDArray[np.float32] = values.float().cpu().numpy()
        return found
    return np.full(n, np.nan if values is None else values, np.float32)
