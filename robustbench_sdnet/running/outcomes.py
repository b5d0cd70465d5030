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
"""What is kept of predictions on n images: arrays (n,) by the names of `Outcome`'s fields."""

TOP = 5


def prediction(batch: BatchLogits, labels: Tensor, residual: Tensor | None) -> Prediction:
    """What is kept of the predictions on one batch; `residual` (n,) is None without CSC layers."""
    n, logits = len(labels), batch.logits.float()
    return {
        "right": (logits.argmax(1) == labels).cpu().numpy(),
        "margin": (-negative_margin(logits, labels)).cpu().numpy(),
        "lam": _numbers(batch.lam, n),
        "residual": _numbers(residual, n),
    }


def outcome_of(predictions: Sequence[Prediction], ids: NDArray[np.int64]) -> Outcome:
    """The outcome of the samples `ids` (n,), from the predictions on one batch of them after the other."""
    arrays = {key: np.concatenate([batch[key] for batch in predictions]) for key in predictions[0]}
    arrays.setdefault("broken_at", np.where(arrays["right"], -1, 0).astype(np.int32))
    return Outcome(ids=ids, distance=_numbers(None, len(ids)), **arrays)


def along_sequence(spec: SequenceSpec, frames: Sequence[tuple[Tensor, Prediction]]) -> Prediction:
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
    always = right.all(0)
    return {
        **frames[0][1],
        "right": always,
        "broken_at": np.where(always, -1, right.argmin(0)).astype(np.int32),
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
    parent: Outcome | None,
    lam: Tensor | float | None,
    residual: Tensor | None,
    *,
    minimal: bool,
) -> Outcome:
    """The outcome of a shard of which only the samples at `alive` (m,) were attacked; the others keep the parent's.

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
        merged[key] = np.empty(n, values.dtype) if parent is None else getattr(parent, key).copy()
        merged[key][alive] = values
    return Outcome(ids=ids, **merged)


def over_draws(answer: Callable[[], Outcome], repeats: Repeats) -> Outcome:
    """The outcome of images that a randomised model is asked about several times, each a fresh draw."""
    draws = [answer() for _ in range(repeats.draws)]
    hits = np.stack([draw.right for draw in draws]).sum(axis=0, dtype=np.int32)
    right = repeats.right(hits)
    return replace(
        draws[0],
        hits=hits,
        right=right,
        broken_at=np.where(right, -1, 0).astype(np.int32),
        margin=np.stack([draw.margin for draw in draws]).mean(axis=0, dtype=np.float64).astype(np.float32),
    )


def judged_by_draws(searched: Outcome, final: Outcome) -> Outcome:
    """The outcome of an attack's search, judged by fresh draws on its final images, whose outcome is `final`.

    Where no draw of the search broke an image that these do, step 1 stands for the step that is not known.
    """
    broken_at = np.where(searched.broken_at < 0, 1, searched.broken_at)
    return replace(
        searched,
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
