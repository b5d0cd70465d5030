"""How large a difference of logits is: by what rounding is measured, and how far two answers lie apart."""

from __future__ import annotations

import torch
from torch import Tensor

MASKED = 100  # a class is masked out whose logit is so many times the size of the two largest


def size_of(logits: Tensor) -> Tensor:
    """(n,) the size of an image's logits, by which rounding is measured: the largest, without masked classes.

    Of a model that masks classes out with -1e9, as for a part of ImageNet, any error would be small beside those.
    """
    leading = logits.topk(min(2, logits.shape[1]), dim=1).values.abs().amax(1, keepdim=True)
    size = logits.abs()
    return size.where(size <= MASKED * leading, 0).amax(1)


def disagreement(first: Tensor, second: Tensor, least: float = 0.0) -> float:
    """The largest difference between two answers (n, classes) to the same images, as a share of the first one's size.

    Args:
        least: what a size counts as where it is smaller.
    """
    size = torch.maximum(first.abs(), size_of(first)[:, None]).clamp_min(least)
    apart = (first - second).abs()
    return float(torch.where(apart > 0, apart / size, 0).max())
