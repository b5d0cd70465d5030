"""Lambda from the stem's residual, by a line fitted on corrupted training images (Dai et al. 2022, section
4.3).

The published procedure, with its test-set leak removed: noise of several levels is put on *training*
images, the best lambda and the mean residual are found for each level, and a line lambda(residual) is
fitted through them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import DataError, InputError
from .registry import LAMBDAS
from .stem import stem_of, trained_lambda
from .sweep import sweep_lambdas

PUBLISHED_LEVELS: Mapping[str, tuple[float, ...]] = {
    "gaussian_noise": tuple(round(0.02 * k, 2) for k in range(1, 11)),
    "shot_noise": tuple(float(60 - 6 * k) for k in range(10)),
    "speckle_noise": tuple(round(0.1 * k, 1) for k in range(1, 7)),
    "salt_and_pepper": tuple(round(0.03 * k, 2) for k in range(1, 10)),
}
"""The published noise levels, in the units of `corruptions.corrupt(level=...)`."""


@dataclass(frozen=True, slots=True)
class FitPoint:
    """One noise at one level.

    Attributes:
        noise, level: what was put on the training images; "clean" and 0 for none.
        residual: mean energy a pixel value of the stem's residual, at the training lambda.
        best: the lambda that was best, the middle of those within one standard error of the top.
        accuracies: at every lambda of the fit.
    """

    noise: str
    level: float
    residual: float
    best: float
    accuracies: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class CalibratedFit:
    """A line lambda = intercept + slope * residual, cut to the lambdas that were tried, with what it was
    drawn through.

    Attributes:
        residual_lambda: the training lambda, at which residuals are measured.
        images: training images used.
        source: content hash of the training split, or empty.
        weights: hash of the model's weights, or empty.
    """

    slope: float
    intercept: float
    lambdas: tuple[float, ...]
    residual_lambda: float
    points: tuple[FitPoint, ...]
    images: int
    seed: int
    source: str = ""
    weights: str = ""

    def to_json(self) -> str:
        """The fit with its data."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> CalibratedFit:
        """The fit that `to_json` wrote.

        Raises:
            DataError: the text is something else.
        """
        try:
            raw = json.loads(text)
            points = tuple(
                FitPoint(**{**point, "accuracies": tuple(point["accuracies"])}) for point in raw["points"]
            )
            return cls(**{**raw, "points": points, "lambdas": tuple(raw["lambdas"])})
        except (ValueError, TypeError, KeyError) as error:
            raise DataError(f"This is no lambda fit ({error}). Calibrate again.") from None

    def identity(self) -> str:
        """A hash of what lambda depends on: the line, its limits and where residuals are measured."""
        rule = (self.slope, self.intercept, min(self.lambdas), max(self.lambdas), self.residual_lambda)
        return hashlib.sha256(json.dumps(rule).encode()).hexdigest()[:16]

    def at(self, residual: Tensor) -> Tensor:
        """Lambda at residuals a pixel value."""
        line = self.intercept + self.slope * residual
        return line.clamp(min(self.lambdas), max(self.lambdas))


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The policy of a fit.

    Attributes:
        per: "sample" for a lambda an image; "batch" for one a batch, from its mean residual. The latter
            makes an answer depend on the company it keeps.
    """

    fit: CalibratedFit
    per: str = "sample"

    def __post_init__(self) -> None:
        if self.per not in ("sample", "batch"):
            raise InputError(f"per must be 'sample' or 'batch', got '{self.per}'.")

    @property
    def name(self) -> str:
        """ "calibrated"."""
        return "calibrated"

    @property
    def upper_bound(self) -> bool:
        """False: training images alone were used."""
        return False

    @property
    def differentiable(self) -> bool:
        """True, between the limits."""
        return True

    def __call__(self, model: nn.Module, images: Tensor) -> Tensor:
        """(n,) lambdas, from one extra pass through the stem."""
        residual = mean_energy(model, images, self.fit.residual_lambda)
        if self.per == "batch":
            residual = residual.mean().expand(len(images))
        return self.fit.at(residual)

    def identity(self) -> str:
        """The fit's, and whether it is applied a batch."""
        return self.fit.identity() + ("" if self.per == "sample" else "-batch")


def mean_energy(model: nn.Module, images: Tensor, lam: float) -> Tensor:
    """(n,) residual energy of the stem at lambda, a pixel value, so that it does not grow with the image."""
    stem = stem_of(model, images)
    (energy,) = stem.residuals([lam])
    return energy / stem.x[0].numel()


def calibrate(
    model: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    noises: Mapping[str, Sequence[float]] = PUBLISHED_LEVELS,
    lambdas: Sequence[float] = LAMBDAS,
    sample_ids: Sequence[int] | None = None,
    seed: int = 0,
    batch_size: int = 250,
    device: str | torch.device = "cpu",
    source: str = "",
    weights: str = "",
) -> CalibratedFit:
    """Fit lambda(residual) on training images under noise of several levels.

    Args:
        model: in evaluation mode, on `device`.
        images: (n, h, w, 3) uint8 *training* images.
        labels: (n,) their labels.
        noises: corruption name -> levels.
        lambdas: what is tried on the stem.
        sample_ids: (n,) ids that key the noise; None numbers the images.
        source, weights: hashes of data and weights, kept with the fit.

    Raises:
        InputError: no images, no noises, or a model without a sparse coding stem.
    """
    if len(images) == 0 or not noises:
        raise InputError("A calibration needs training images and at least one noise.")
    ids = list(range(len(images))) if sample_ids is None else [int(sample) for sample in sample_ids]
    truth = torch.as_tensor(np.asarray(labels), dtype=torch.int64, device=device)
    grid = tuple(sorted(float(value) for value in lambdas))
    small = stem_of(model, _to_images(images[:1], device))
    at = trained_lambda(small.layer)
    points = []
    for noise, level, noisy in _noisy(images, noises, ids, seed):
        energies, right = [], []
        with torch.no_grad():
            for start in range(0, len(noisy), batch_size):
                batch = _to_images(noisy[start : start + batch_size], device)
                energies.append(mean_energy(model, batch, at))
                answers = truth[start : start + batch_size]
                right.append(
                    torch.stack([found.argmax(1) == answers for found in sweep_lambdas(model, batch, grid)])
                )
        accuracies = torch.cat(right, 1).double().mean(1).cpu().numpy()
        residual = float(torch.cat(energies).double().mean())
        points.append(
            FitPoint(noise, level, residual, _best(accuracies, grid, len(images)), tuple(accuracies.tolist()))
        )
    slope, intercept = line_through([point.residual for point in points], [point.best for point in points])
    return CalibratedFit(slope, intercept, grid, at, tuple(points), len(images), seed, source, weights)


def _noisy(
    images: NDArray[np.uint8], noises: Mapping[str, Sequence[float]], ids: list[int], seed: int
) -> Iterator[tuple[str, float, NDArray[np.uint8]]]:
    from ..corruptions import corrupt

    yield "clean", 0.0, images
    for noise, levels in noises.items():
        for level in levels:
            yield noise, float(level), corrupt(images, noise, level=float(level), seed=seed, sample_ids=ids)


def _best(accuracies: NDArray[np.float64], lambdas: Sequence[float], n: int) -> float:
    """The mean of the lambdas within one standard error of the top: a flat top has no meaningful argmax."""
    top = float(accuracies.max())
    near = accuracies >= top - np.sqrt(max(top * (1 - top), 0.0) / n)
    return float(np.asarray(lambdas)[near].mean())


def line_through(x: Iterable[float], y: Iterable[float]) -> tuple[float, float]:
    """Slope and intercept of the least-squares line; flat through the mean where all x are equal."""
    xs, ys = np.asarray(list(x), dtype=np.float64), np.asarray(list(y), dtype=np.float64)
    spread = float(((xs - xs.mean()) ** 2).sum())
    slope = float(((xs - xs.mean()) * (ys - ys.mean())).sum() / spread) if spread > 0 else 0.0
    return slope, float(ys.mean() - slope * xs.mean())


def _to_images(pixels: NDArray[np.uint8], device: str | torch.device) -> Tensor:
    tensor = torch.from_numpy(np.ascontiguousarray(pixels)).to(device)
    return tensor.permute(0, 3, 1, 2).to(torch.float32).div_(255)
