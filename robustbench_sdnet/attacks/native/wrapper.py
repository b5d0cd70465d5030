"""From a search to a checked result: arguments in, post-conditions out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import GradientWarning, InputError, unknown
from ..engine.active import Outcome, run_search
from ..engine.balls import NORMS, lengths, outside
from ..engine.guards import frozen, tracked, usable
from ..engine.passes import Classifier, Passes, wants_low_precision
from ..engine.result import AttackResult
from ..engine.search import Search
from ..signs import stands_still

TOLERANCE = 1e-6
"""How far rounding may carry an image out of its ball or out of [0, 1]."""

DEFAULT_BATCH_SIZE = 100


@torch.inference_mode(False)
def run_native(
    search: Search,
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None,
    norm: str,
    precision: str,
    sample_ids: Tensor | Sequence[int] | None,
    batch_size: int | None,
    early_stop: bool,
    repeats: int = 1,
) -> AttackResult:
    """Run a search on the active set and check what it found; see `pgd` for the arguments."""
    ids = checked(images, labels, eps=eps, norm=norm, sample_ids=sample_ids)
    images, labels = usable(images), usable(labels)
    passes = Passes(
        tracked(model),
        # Without early leaving nothing is confirmed on the way, so that `auto` searches in full precision.
        low_precision=wants_low_precision(_for_search(search, precision, early_stop=early_stop), images),
        batch_size=positive("batch_size", DEFAULT_BATCH_SIZE if batch_size is None else batch_size),
        repeats=positive("repeats", repeats),
    )
    if len(images) == 0:
        return nothing(images)
    with frozen(passes.model):
        outcome = run_search(search, passes, images, labels, ids, early_stop=early_stop)
    assert_inside(outcome.images, images, eps, norm)
    warn_of_silence(outcome.gradients, outcome.silent)
    return AttackResult(
        images=outcome.images,
        clean=outcome.clean,
        robust=outcome.clean & (outcome.margin >= 0),
        broken_at=outcome.broken_at,
        margin=outcome.margin.float(),
        forwards=passes.forwards,
        backwards=passes.backwards,
        gradients=outcome.gradients,
        silent=outcome.silent,
        extra=_extra(search, outcome, images, norm, early_stop=early_stop),
    )


def warn_of_silence(gradients: int, silent: int) -> None:
    """Warn where more first gradients were zero or not finite than chance explains."""
    found = stands_still(gradients, silent)
    if found:
        warnings.warn(found, GradientWarning, stacklevel=4)


def _for_search(search: Search, precision: str, *, early_stop: bool) -> str:
    """`auto` means full precision where successes on the way go unconfirmed."""
    full = not early_stop or search.minimal
    return "float32" if precision == "auto" and full else precision


def _extra(
    search: Search, outcome: Outcome, images: Tensor, norm: str, *, early_stop: bool
) -> dict[str, Tensor]:
    if search.minimal:
        distance = lengths(outcome.images - images, norm)
        distance = torch.where(outcome.margin < 0, distance, torch.inf)
        return {"distance": torch.where(outcome.clean, distance, 0.0)}
    return {} if early_stop else {"lost_success": outcome.lost}


def checked(
    images: Tensor,
    labels: Tensor,
    *,
    eps: float | None,
    norm: str,
    sample_ids: Tensor | Sequence[int] | None,
    norms: Sequence[str] = NORMS,
) -> Tensor:
    """The sample ids (n,) int64 on the device of `images`, once every argument has been found in order."""
    if norm not in norms:
        raise unknown("norm", norm, norms)
    if eps is not None and not eps >= 0:
        raise InputError(f"eps must be 0 or more, got {eps}.")
    if images.dim() != 4 or images.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"images must be float32 or float64 (n, c, h, w), got {images.dtype} {tuple(images.shape)}."
        )
    if labels.shape != (len(images),) or labels.dtype != torch.int64:
        raise InputError(f"labels must be int64 ({len(images)},), got {labels.dtype} {tuple(labels.shape)}.")
    if len(images) and not (float(images.min()) >= 0 and float(images.max()) <= 1):
        raise InputError("images must lie in [0, 1]: normalisation belongs into the model.")
    if sample_ids is None:
        return torch.arange(len(images), device=images.device)
    ids = torch.as_tensor(sample_ids, dtype=torch.int64, device=images.device)
    if ids.shape != labels.shape:
        raise InputError(f"sample_ids must be ({len(images)},), got {tuple(ids.shape)}.")
    return ids


def positive(name: str, value: int) -> int:
    """The value, which must be at least 1."""
    if value < 1:
        raise InputError(f"{name} must be at least 1, got {value}.")
    return value


def assert_inside(points: Tensor, images: Tensor, eps: float | None, norm: str) -> None:
    """Raise if any point left its ball or [0, 1]: a defect of the attack, never of its input."""
    beyond, box = outside(points, images, eps, norm)
    if not (beyond <= TOLERANCE * max(1.0, eps or 0.0) and box <= TOLERANCE):
        raise AssertionError(
            f"Attack left the {norm} ball of radius {eps} by {beyond:.2e}, or [0, 1] by {box:.2e}."
        )


def nothing(images: Tensor) -> AttackResult:
    """The result of attacking no samples."""
    flags = torch.zeros(0, dtype=torch.bool, device=images.device)
    return AttackResult(
        images=images.clone(), clean=flags, robust=flags, broken_at=flags.long(), margin=flags.float(),
        forwards=0, backwards=0,
    )  # fmt: skip
