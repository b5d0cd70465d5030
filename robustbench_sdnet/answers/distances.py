"""How far minimal-norm attacks had to go, image by image: the median, and with it the whole curve against eps.

A distance is the norm of the smallest perturbation found: 0 where the image is wrong without any, infinity where
nothing was found. Accuracy at a budget eps is the share of distances above eps. Needs no torch.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..specs import AttackSpec, Cell
from ..store.outcome import Outcome

Distances = NDArray[np.float64]


def is_minimal(cell: Cell) -> bool:
    """Whether a cell asks for smallest perturbations, and not for any inside a budget."""
    return (
        cell.kind == "attack" and isinstance(cell.perturbation, AttackSpec) and cell.perturbation.eps is None
    )


def of_outcome(cell: Cell, outcome: Outcome) -> Distances:
    """The sorted distances of a cell's answer, (n,); empty where it seeks none, or none were stored."""
    if not is_minimal(cell) or bool(np.isnan(outcome.distance).any()):
        return np.empty(0)
    return np.sort(np.where(outcome.right, np.inf, outcome.distance).astype(np.float64))


def quantile(found: Distances, share: float = 0.5) -> float | None:
    """The budget that breaks a share (0, 1] of images by their sorted distances (n,); None where fewer broke."""
    return _finite(found[math.ceil(share * len(found)) - 1])


def quantile_interval(found: Distances, share: float) -> tuple[float, float | None]:
    """Both ends of the exact (order-statistic) 95 % interval of the distance within which a share of images breaks.

    Args:
        found: (n,) sorted, n >= 1.
        share: between 0 and 1; 0.5 for the median.

    Returns:
        The ends; 0 or None (no end) where there are too few images.
    """
    n, tail = len(found), 0.025
    below = special.bdtr(np.arange(n + 1), n, share)  # P(at most so many of the images lie within it)
    low, high = int(np.searchsorted(below, tail)), int(np.searchsorted(below, 1 - tail)) + 1
    return (float(found[low - 1]) if low else 0.0), (_finite(found[high - 1]) if high <= n else None)


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
