"""Lines from a signal of an image (its stem's residual, its noise) to its lambda, by answers on corrupted training
images. Needs no torch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CLEAN = "clean"
_QUANTILES = (0.05, 0.95)  # where candidate lines are pinned: inside nearly all of the images
_STEP, _BEYOND = 0.1, 1.5  # candidates' lambdas at the pins, and how far past the tried ones they go


@dataclass(frozen=True, slots=True)
class Line:
    """lambda = intercept + slope * signal."""

    slope: float
    intercept: float


@dataclass(frozen=True, slots=True)
class FitPoint:
    """One noise at one level, image by image.

    Attributes:
        noise, level: what was put on the training images; "clean" and 0 for none.
        residuals: energy a pixel value of the stem's residual, at the training lambda.
        noise_levels: estimated deviation of the noise, in the units of the normalised image.
        right: for every lambda of the fit, a text with 1 for each image answered rightly and 0 for the others.
    """

    noise: str
    level: float
    residuals: tuple[float, ...]
    noise_levels: tuple[float, ...]
    right: tuple[str, ...]

    @property
    def residual(self) -> float:
        """Mean residual."""
        return float(np.mean(self.residuals))

    @property
    def accuracies(self) -> tuple[float, ...]:
        """At every lambda of the fit."""
        return tuple(text.count("1") / len(text) for text in self.right)

    def best(self, lambdas: Sequence[float]) -> float:
        """The mean of the lambdas within one standard error of the top: a flat top has no meaningful argmax."""
        accuracies = np.asarray(self.accuracies)
        top = float(accuracies.max())
        near = accuracies >= top - np.sqrt(max(top * (1 - top), 0.0) / len(self.residuals))
        return float(np.asarray(lambdas)[near].mean())


def fit_lines(points: Sequence[FitPoint], lambdas: Sequence[float]) -> dict[str, Line]:
    """The line of every rule of `specs.lambdas.CALIBRATIONS`."""
    residuals = [point.residual for point in points]
    argmax = [lambdas[int(np.argmax(point.accuracies))] for point in points]
    return {
        "residual": most_accurate(points, lambdas, [point.residuals for point in points]),
        "noise": most_accurate(points, lambdas, [point.noise_levels for point in points]),
        "published": line_through(residuals, [point.best(lambdas) for point in points]),
        "test-labels": line_through(residuals, argmax),
    }


def most_accurate(
    points: Sequence[FitPoint], lambdas: Sequence[float], signals: Sequence[Sequence[float]]
) -> Line:
    """The rising line that gives the most right answers, clean images and every noise counting the same.

    Levels whose accuracy hardly depends on lambda hardly move it, unlike a line through each level's best lambda.
    Between two lambdas that were tried an answer counts in proportion. Of equals the line with the smallest lambdas
    at the low end stands.

    Args:
        signals: for each point what lambda is read from, a number an image.
    """
    grid = np.asarray(lambdas, dtype=np.float64)
    signal = np.concatenate([np.asarray(values, dtype=np.float64) for values in signals])
    right = np.concatenate([np.array([*map(list, point.right)]) == "1" for point in points], axis=1)
    weight = _weights(points)
    low, high = np.quantile(signal, _QUANTILES)
    if high <= low:
        return Line(0.0, float(grid[(right * weight).sum(1).argmax()]))
    column = np.arange(len(signal))
    best_score, best = -1.0, Line(0.0, float(grid[0]))
    ends = np.arange(grid[0] - _BEYOND, grid[-1] + _BEYOND, _STEP)
    for first in ends:
        for last in ends[ends >= first]:
            slope = (last - first) / (high - low)
            line = Line(float(slope), float(first - slope * low))
            lam = np.clip(line.intercept + line.slope * signal, grid[0], grid[-1])
            position = np.interp(lam, grid, np.arange(len(grid)))
            below = np.minimum(position.astype(np.int64), len(grid) - 2)
            share = position - below
            answers = (1 - share) * right[below, column] + share * right[below + 1, column]
            score = float((answers * weight).sum())
            if score > best_score + 1e-9:  # rounding alone makes no line better
                best_score, best = score, line
    return best


def line_through(x: Iterable[float], y: Iterable[float]) -> Line:
    """The least-squares line; flat through the mean where all x are equal."""
    xs, ys = np.asarray(list(x), dtype=np.float64), np.asarray(list(y), dtype=np.float64)
    if np.ptp(xs) <= 1e-12 * np.abs(xs).max():  # apart by rounding alone, which has no slope
        return Line(0.0, float(ys.mean()))
    spread = ((xs - xs.mean()) ** 2).sum()
    slope = float(((xs - xs.mean()) * (ys - ys.mean())).sum() / spread)
    return Line(slope, float(ys.mean() - slope * xs.mean()))


def _weights(points: Sequence[FitPoint]) -> NDArray[np.float64]:
    """An image's weight: conditions (clean, each noise) count the same, and so do the levels of one."""
    levels = Counter(point.noise for point in points)
    sizes = [len(point.residuals) for point in points]
    shares = [1 / (len(levels) * levels[point.noise] * n) for point, n in zip(points, sizes, strict=True)]
    return np.repeat(shares, sizes)
