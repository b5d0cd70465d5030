"""Intervals and tests of accuracies: Wilson, exact McNemar, Holm, gains over networks, and the test of a rare rate.

Every accuracy of the suite is a count of right answers on the same images: its interval is binomial, and two
accuracies are compared pair by pair. Needs NumPy and SciPy alone.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import special

from .errors import InputError

CONFIDENCE = 0.95  # of every interval, where no other is asked for
RARE_RATE = 0.002
RARE_ALPHA = 0.01
RARE_MINIMUM = 3


@lru_cache(maxsize=64)
def _quantile(confidence: float) -> float:
    return NormalDist().inv_cdf((1 + confidence) / 2)


_Z = _quantile(CONFIDENCE)


def wilson(right: float, n: int) -> tuple[float, float]:
    """The 95 % score interval of a share (Wilson 1927), inside [0, 1] and sound for shares of 0 and 1.

    Args:
        right: samples that count, 0 to `n`; or the sum of shares, of which the interval is then never too narrow.
        n: samples.

    Returns:
        Both ends as fractions; NaN when there are no samples.

    Raises:
        InputError: `right` lies outside 0 to `n`.
    """
    if not 0 <= right <= n:
        raise InputError(f"wilson: right must lie in 0 to n, got {right} of {n}.")
    if n == 0:
        return math.nan, math.nan
    z = _Z
    share, shrink = right / n, 1 + z * z / n
    centre = (share + z * z / (2 * n)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the edges the exact end is 0 or 1, which rounding would miss by 1e-17.
    return (0.0 if right == 0 else centre - half), (1.0 if right == n else centre + half)


def mcnemar(only_first: int, only_second: int) -> float:
    """Exact two-sided p value of McNemar's test: are the disagreements a fair coin?

    Args:
        only_first, only_second: images that one alone has right.

    Returns:
        min(1, 2 P(X <= smaller)) with X binomial(disagreements, 1/2); 1 without disagreements.

    Raises:
        InputError: a negative count.
    """
    if min(only_first, only_second) < 0:
        raise InputError(f"mcnemar: counts must not be negative, got {only_first} and {only_second}.")
    flips = only_first + only_second
    return min(1.0, 2 * float(special.bdtr(min(only_first, only_second), flips, 0.5)))


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """P values corrected for their number (Holm 1979): reject those below alpha, and errors stay below alpha.

    Args:
        p_values: (m,), each in [0, 1].

    Returns:
        (m,) corrected values in the order given: never below the raw ones, never above 1.

    Raises:
        InputError: a value outside [0, 1], or not a list.
    """
    raw = np.asarray(p_values, dtype=np.float64)
    if raw.ndim != 1 or not ((raw >= 0) & (raw <= 1)).all():
        raise InputError("holm: needs a list of p values in [0, 1].")
    order = np.argsort(raw, kind="stable")
    stepped = np.maximum.accumulate(raw[order] * np.arange(raw.size, 0, -1))
    corrected = np.empty_like(raw)
    corrected[order] = np.minimum(stepped, 1.0)
    return corrected


def difference_interval(
    differences: NDArray[np.float64], confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Interval of a mean of paired differences in [-1, 1]: Wald's with z^2 / 2 images of either sign added, z of 95 %.

    What Agresti and Coull (1998) add to one share. Where nothing differs it ends where the score interval does (Tango
    1998), at z^2 / (n + z^2); where few images change, all the same way, it covers as it should, which Wald's interval
    with half an image of each outcome added (Agresti and Min 2005) does not: 86 % where 2 of 100 images gain.
    """
    return summed_interval(*_sums(differences), confidence)


def summed_interval(
    total: float, squares: float, n: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """The same of `n` differences by their sum and that of their squares; NaN where there are none."""
    if n == 0:
        return math.nan, math.nan
    mean, variance = _smoothed(total, squares, n)
    half = _quantile(confidence) * math.sqrt(variance)
    return max(-1.0, mean - half), min(1.0, mean + half)


def images_needed(square: float, within: float) -> int:
    """Images on which a mean of 0 has a 95 % interval that ends within `within`.

    Args:
        square: the mean square of the paired differences, in [0, 1], as often as answers differ.
    """
    # The half width is z sqrt(square n + z^2) / m with m = n + z^2: within^2 m^2 = z^2 (square n + z^2), solved for m.
    z2 = _Z**2
    m = z2 * (square + math.sqrt(square**2 + 4 * within**2 * (1 - square))) / (2 * within**2)
    return math.ceil(m - z2 - 1e-6)


def difference_p(differences: NDArray[np.float64]) -> float:
    """The p value of a mean of 0: that at which `difference_interval` ends there; 1 without differences."""
    mean, variance = _smoothed(*_sums(differences))
    return 2 * float(special.ndtr(-abs(mean) / math.sqrt(variance)))


def _sums(differences: NDArray[np.float64]) -> tuple[float, float, int]:
    return float(differences.sum()), float((differences**2).sum()), len(differences)


def _smoothed(total: float, squares: float, n: int) -> tuple[float, float]:
    """The mean of paired differences with z^2 / 2 images of either sign added, and its variance."""
    padded = n + _Z**2
    mean = total / padded
    variance = (squares + _Z**2) / padded - mean**2
    return mean, variance / padded


class Gain(NamedTuple):
    """A mean gain in [-1, 1], both ends of its interval, and the p value of a gain of 0."""

    gain: float
    low: float
    high: float
    p: float


def gain_over_networks(
    ours: ArrayLike, theirs: ArrayLike | None = None, *, confidence: float = CONFIDENCE
) -> Gain:
    """A mean gain where networks are a sample as images are: what another seed would give is in the interval.

    The half width is the root of two squared: Student's over the networks' means, with Welch's degrees of freedom for
    two groups, and the normal one over images, as in `difference_interval`. In simulations of crossed effects it covers
    in 95 % or more where both sides have equally many networks, in 90 % of five over two where the two vary three times
    as much. With two networks it is wide, as it must be.

    Args:
        ours: (k, m) gains of k networks on the same m images; with `theirs` accuracies.
        theirs: (l, m) accuracies of l other networks, whose mean is taken off; None where `ours` are gains.
        confidence: of the interval.

    Raises:
        InputError: fewer than two networks on a side, or no images.
    """
    sides = [np.asarray(side, dtype=np.float64) for side in (ours, theirs) if side is not None]
    if any(side.ndim != 2 or len(side) < 2 or not side.shape[1] for side in sides):
        shapes = " and ".join(str(side.shape) for side in sides)
        raise InputError(f"gain_over_networks needs two networks or more a side, and images, got {shapes}.")
    image_means = sides[0].mean(0) - (sides[1].mean(0) if theirs is not None else 0)
    parts = [float(side.mean(1).var(ddof=1)) / len(side) for side in sides]
    spread = sum(part**2 / (len(side) - 1) for part, side in zip(parts, sides, strict=True))
    freedom = sum(parts) ** 2 / spread if spread else 1.0  # of no spread any will do
    networks, images = math.sqrt(sum(parts)), math.sqrt(_smoothed(*_sums(image_means))[1])

    def half(p: float) -> float:
        tail = p / 2  # the quantile of a tail is exact where that of 1 - tail rounds to infinity
        return math.hypot(
            float(special.stdtrit(freedom, tail)) * networks, float(special.ndtri(tail)) * images
        )

    mean, width = float(image_means.mean()), half(1 - confidence)
    small, large = 0.0, 1.0  # the p at which the interval ends at 0, halved down to rounding
    for _ in range(60):
        p = (small + large) / 2
        small, large = (small, p) if half(p) < abs(mean) else (p, large)
    return Gain(mean, max(-1.0, mean - width), min(1.0, mean + width), large)


def binomial_tail(count: int, n: int, rate: float) -> float:
    """P(X >= count) for X binomial(n, rate): how odd so many would be; InputError for no such count or rate."""
    if not (0 <= count <= n and 0 <= rate <= 1):
        raise InputError(
            f"binomial_tail: needs 0 <= count <= n and a rate in [0, 1], got {count}, {n}, {rate}."
        )
    return float(special.bdtrc(count - 1, n, rate))


def exceeds_rare_rate(count: int, n: int, rate: float = RARE_RATE) -> bool:
    """Whether `count` of `n` samples are too many for a rare event: the rule of every verdict that counts.

    Fewer than three samples never are, so that a verdict cannot fire on noise at n = 100.
    """
    return count >= RARE_MINIMUM and binomial_tail(count, n, rate) < RARE_ALPHA


def mean_interval(values: ArrayLike) -> tuple[float, float, float]:
    """The mean of (n,) values with both ends of Student's 95 % t interval, NaN for one; InputError for none."""
    sample = np.asarray(values, dtype=np.float64).ravel()
    if not sample.size:
        raise InputError("mean_interval needs values, got none.")
    mean, n = float(sample.mean()), sample.size
    half = math.nan
    if n > 1:
        half = float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2) * sample.std(ddof=1) / math.sqrt(n))
    return mean, mean - half, mean + half
