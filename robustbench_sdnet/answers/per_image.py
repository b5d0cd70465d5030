"""What an answer says image by image: which are right, how far an attack had to go, and how steady predictions stay."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ..specs import AttackSpec, Cell, SequenceSpec
from ..statistics import wilson
from ..store.outcome import Outcome

Numbers = NDArray[np.float64]
Ids = NDArray[np.int64]
MOST = 15.0  # five classes that all leave the first five: 5 + 4 + 3 + 2 + 1


@dataclass(frozen=True, slots=True, eq=False)
class Right:
    """Which of the images `ids` (m,) are answered rightly: (m,) bool, or the share of draws that are; `untrusted` where
    a diagnostic of the attack failed."""

    ids: Ids
    right: NDArray[Any]
    untrusted: bool = False

    def at(self, ids: Ids) -> NDArray[Any]:
        """The answers on `ids`, all of which must be there."""
        return self.right if ids is self.ids else self.right[positions(self.ids, ids)]


def positions(own: Ids, ids: Ids) -> NDArray[np.intp]:
    """Where each of `ids`, all of which must be there, stands among `own`."""
    order = np.argsort(own, kind="stable")
    return order[np.searchsorted(own[order], ids)]


def worst(answers: Iterable[Right]) -> Right:
    """Right under every one, on the images that all of them saw."""
    found = list(answers)
    ids = shared(found)
    right = np.ones(len(ids), bool)
    for answer in found:
        right &= answer.at(ids)
    return Right(ids, right)


def shared(answers: Iterable[Right]) -> Ids:
    """The images that all saw, in order."""
    found = [answer.ids for answer in answers]
    if all(other is found[0] for other in found):
        return found[0]
    ids = np.unique(found[0])
    for other in found[1:]:
        ids = np.intersect1d(ids, other)
    return ids


def places(ids: Ids) -> str:
    """Which images these are, as ranges of their ids ("0-99, 200-249, 300"); empty for the first of the data set."""
    found = np.sort(ids)
    if not len(found) or found[-1] == len(found) - 1:
        return ""
    runs = np.split(found, np.flatnonzero(np.diff(found) > 1) + 1)
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


def is_minimal(cell: Cell) -> bool:
    """Whether a cell asks for smallest perturbations, and not for any inside a budget."""
    spec = cell.perturbation
    return cell.kind == "attack" and isinstance(spec, AttackSpec) and spec.eps is None


def distances(cell: Cell, outcome: Outcome) -> Numbers:
    """The norms of the smallest perturbations found (n,); empty where a cell seeks none, or none were stored.

    0: wrong without any; infinity: nothing was found. Accuracy at a budget eps is the share of distances above eps.
    """
    if not is_minimal(cell) or bool(np.isnan(outcome.distance).any()):
        return np.empty(0)
    return np.where(outcome.right, np.inf, outcome.distance).astype(np.float64)


def quantile(found: Numbers, share: float = 0.5) -> float | None:
    """The budget that breaks a share (0, 1] of images by their sorted distances (n,); None where fewer broke."""
    return _finite(found[math.ceil(share * len(found)) - 1])


def quantile_interval(found: Numbers, share: float) -> tuple[float, float | None]:
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


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over images, and both ends of its 95 % interval.

    It is Wilson's, as if each image were wholly steady or not at all: never too narrow, since what lies between spreads
    less.
    """

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Numbers, most: float) -> Mean:
        """The mean of (n,) values from 0 to `most`."""
        low, high = wilson(float(values.sum()) / most, len(values))
        return cls(float(values.mean()), low * most, high * most)


@dataclass(frozen=True, slots=True)
class Stability:
    """Flip probability, 0 to 1, and top-5 distance, 0 to 15, of a sequence: of two compared frames on average."""

    flip_probability: Mean
    top5_distance: Mean


def stability(cell: Cell, outcome: Outcome) -> Stability | None:
    """How steady predictions are along a sequence; None where a cell asks for none."""
    spec, flips, shifts = cell.perturbation, outcome.flips, outcome.shifts
    if not isinstance(spec, SequenceSpec) or flips is None or shifts is None or not len(outcome):
        return None
    return Stability(Mean.of(flips / spec.pairs, 1.0), Mean.of(shifts / spec.pairs, MOST))
