"""Lambda from the stem's residual, by a line fitted on corrupted training images (Dai et al. 2022, section 4.3).

Four lines come out of one measurement, the rules in `CALIBRATIONS`: in the residual, chosen for its accuracy
on those images; in the estimated noise level, chosen alike; the published one, through each level's best lambda, where
a flat top counts whole; and through each level's argmax, which is deployed on the test images it was drawn on.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..errors import DataError, InputError, unknown
from ..files import write_whole
from ..specs.lambdas import CALIBRATIONS, DEFAULT_CALIBRATION
from .label_free import noise_variance
from .lines import FitPoint, Line
from .sweep import stem_of

VERSION = 2  # of fitting and of applying a line


@dataclass(frozen=True, slots=True)
class CalibratedFit:
    """Lines to lambda, clipped to the lambdas that were tried, with the points they were fitted to.

    Attributes:
        lines: by rule.
        residual_lambda: the training lambda, at which residuals are measured.
        images: training images used.
        scope: the layers that lambda was tried on, "stem" or "all".
        source: content hash of the training split, or empty.
        weights: hash of the model's weights, or empty.
    """

    lines: Mapping[str, Line]
    lambdas: tuple[float, ...]
    residual_lambda: float
    points: tuple[FitPoint, ...]
    images: int
    seed: int
    scope: str = "stem"
    source: str = ""
    weights: str = ""

    def to_json(self) -> str:
        """The fit with its data."""
        return json.dumps(asdict(self), indent=1, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> CalibratedFit:
        """The fit that `to_json` wrote; DataError for anything else."""
        try:
            raw = json.loads(text)
            points = tuple(map(point_of, raw["points"]))
            lines = {rule: Line(**raw["lines"][rule]) for rule in CALIBRATIONS}
            numbers = [raw["residual_lambda"], min(raw["lambdas"]), max(raw["lambdas"])]
            numbers += [value for line in lines.values() for value in (line.slope, line.intercept)]
            if not all(map(math.isfinite, numbers)):
                raise ValueError("a number is not finite")
            if min(numbers[:2]) < 0:
                raise ValueError("a lambda is negative")
            return cls(**{**raw, "lines": lines, "points": points, "lambdas": tuple(raw["lambdas"])})
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
            raise DataError(f"This is not a lambda fit ({error}). Calibrate again.") from None

    def identity(self, rule: str) -> str:
        """A hash of what lambda depends on: the line, its limits and where residuals are measured."""
        line = self.lines[rule]
        limits = (min(self.lambdas), max(self.lambdas), self.residual_lambda)
        text = json.dumps((VERSION, rule, line.slope, line.intercept, *limits))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def at(self, signal: Tensor, rule: str = DEFAULT_CALIBRATION) -> Tensor:
        """(n,) lambdas by the line of a rule, at its signal (n,): residual energies a pixel value, or noise levels."""
        line = self.lines[rule]
        return (line.intercept + line.slope * signal).clamp(min(self.lambdas), max(self.lambdas))


@dataclass(frozen=True, slots=True)
class Calibrated:
    """The policy of a fit.

    Attributes:
        rule: one of `CALIBRATIONS`.
        per: "sample" for one lambda per image; "batch" for one per batch, from its mean residual. The latter
            makes an answer depend on the other images of its batch.
    """

    fit: CalibratedFit
    rule: str = DEFAULT_CALIBRATION
    per: str = "sample"
    differentiable = True  # between the limits
    passes = 0

    def __post_init__(self) -> None:
        if self.rule not in CALIBRATIONS:
            raise unknown("calibration", self.rule, CALIBRATIONS)
        if self.per not in ("sample", "batch"):
            raise InputError(f"per must be 'sample' or 'batch', got '{self.per}'.")

    @property
    def name(self) -> str:
        """ "calibrated", with the rule where it is another one than the usual."""
        return "calibrated" if self.rule == DEFAULT_CALIBRATION else f"calibrated:{self.rule}"

    def __call__(self, model: nn.Module, images: Tensor) -> Tensor:
        """(n,) lambdas, from one extra pass through the stem at most."""
        if self.rule == "noise":
            signal = noise_level(model, images)
        else:
            signal = mean_energy(model, images, self.fit.residual_lambda)
        if self.per == "batch":
            signal = signal.mean().expand(len(images))
        return self.fit.at(signal, self.rule)

    def identity(self) -> str:
        """The fit's, and whether it is applied a batch."""
        return self.fit.identity(self.rule) + ("" if self.per == "sample" else "-batch")


def point_of(raw: dict[str, Any]) -> FitPoint:
    """The point whose fields JSON held; TypeError for others."""
    fields: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in raw.items()
    }
    return FitPoint(**fields)


def mean_energy(model: nn.Module, images: Tensor, lam: float) -> Tensor:
    """(n,) residual energy |x - A z|^2 of the stem at lambda, per value of x: it does not grow with the image."""
    stem = stem_of(model, images)
    (energy,) = stem.residuals([lam])
    return energy / stem.x.shape[1:].numel()


def noise_level(model: nn.Module, images: Tensor) -> Tensor:
    """(n,) estimated deviation of the noise in the stem's input; kept off zero, where it has no gradient."""
    return noise_variance(stem_of(model, images).x).clamp_min(1e-12).sqrt()


def plot_fit(fit: CalibratedFit, path: str | Path) -> Path:
    """Draw the fit and its data into a file, whose ending (.svg, .png, .pdf) says the format; the path comes back."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4), layout="constrained")
    axes = figure.add_subplot()
    for noise in dict.fromkeys(point.noise for point in fit.points):
        points = [point for point in fit.points if point.noise == noise]
        residuals = [point.residual for point in points]
        best = [point.best(fit.lambdas) for point in points]
        axes.plot(residuals, best, "o", label=noise.replace("_", " "))
    # Where images are, one by one: levels' means lie in the middle of it.
    every_residual = np.concatenate([point.residuals for point in fit.points])
    low, high = np.quantile(every_residual, (0.01, 0.99)).tolist()
    grid = np.linspace(low, high, 100)
    for rule, style, label in (
        ("residual", "k-", "most accurate"),
        ("published", "k:", "through the points"),
    ):
        line = fit.lines[rule]
        lambdas = fit.at(torch.from_numpy(grid), rule)
        axes.plot(grid, lambdas, style, label=f"{label}: {line.intercept:.2f} + {line.slope:.2f} r")
    axes.set_xlabel(f"residual energy a pixel value, at lambda {fit.residual_lambda:g}")
    axes.set_ylabel("best lambda on training images")
    axes.legend(fontsize="small")
    target = Path(path)
    kind = target.suffix.removeprefix(".")
    content = io.BytesIO()
    figure.savefig(content, format=kind, metadata={"Date": None} if kind == "svg" else None)
    return write_whole(target, content.getvalue())
