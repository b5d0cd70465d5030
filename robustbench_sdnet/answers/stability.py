"""How steady predictions are along a sequence: flip probability and top-5 distance, the mean over images."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..specs import Cell, SequenceSpec
from ..statistics import wilson
from ..store.outcome import Outcome


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
    def of(cls, values: NDArray[np.float64], most: float) -> Mean:
        """The mean of (n,) values from 0 to `most`."""
        low, high = wilson(float(values.sum()) / most, len(values))
        return cls(float(values.mean()), low * most, high * most)


@dataclass(frozen=True, slots=True)
class Stability:
    """Flip probability, 0 to 1, and top-5 distance, 0 to 15, of a sequence: of two compared frames on average."""

    flip_probability: Mean
    top5_distance: Mean


MOST = 15.0  # five classes that all leave the first five: 5 + 4 + 3 + 2 + 1


def of_outcome(cell: Cell, outcome: Outcome) -> Stability | None:
    """The stability that a cell's answer shows; None where it asks for none."""
    spec = cell.perturbation
    if (
        not isinstance(spec, SequenceSpec)
        or outcome.flips is None
        or outcome.shifts is None
        or not len(outcome)
    ):
        return None
    return Stability(Mean.of(outcome.flips / spec.pairs, 1.0), Mean.of(outcome.shifts / spec.pairs, MOST))
