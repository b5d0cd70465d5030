"""The measurement behind a calibrated lambda: corrupted training images, answered at many lambdas.

The published procedure, with its test-set leak removed (Dai et al. 2022, section 4.3): noise of several levels is put
on *training* images, and residuals and answers at every lambda are recorded.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.images import check_labels
from ..data.tensors import to_images
from ..devices import full_float32
from ..errors import DataError, InputError
from ..reading.numbers import number, seed_of, whole
from ..reading.options import several
from ..specs.lambdas import LAMBDAS, ON_TEST_LABELS, PUBLISHED_LEVELS
from ..wording import counted, shown
from ..zoo.nets.control import check_evaluated
from .calibrated import VERSION, Calibrated, CalibratedFit, mean_energy, noise_level, plot_fit, point_of
from .lines import CLEAN, FitPoint, fit_lines
from .policy import Fitting
from .sweep import stem_of, sweep_lambdas

TRIED = (*LAMBDAS[::2], LAMBDAS[-1])
"""Half of the published lambdas: answers in between are interpolated, and lines come out as well."""

# Neighbouring levels look at different halves of the images, which measures as well as twice the passes would.
_SHARES = 2


@full_float32()
def calibrate(
    model: nn.Module,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    *,
    noises: Mapping[str, Sequence[float]] = PUBLISHED_LEVELS,
    lambdas: Sequence[float] = TRIED,
    scope: str = "stem",
    sample_ids: Sequence[int] | None = None,
    seed: int = 0,
    batch_size: int = 250,
    device: str | torch.device = "cpu",
    source: str = "",
    weights: str = "",
    on_level: Callable[[int, int], None] = lambda done, levels: None,
) -> CalibratedFit:
    """Fit lambda(residual) on training images under noise of several levels.

    Args:
        model: in evaluation mode, on `device`.
        images: (n, h, w, 3) uint8 *training* images.
        labels: (n,) their labels.
        noises: corruption name -> levels.
        lambdas: the numbers to try, at least two.
        scope: the layers they are tried on, "stem" or "all"; the residual is the stem's in any case.
        sample_ids: (n,) ids that key the noise; None numbers the images.
        source, weights: hashes of data and weights, kept with the fit.
        on_level: called with the levels done and all levels, before the first and after each.

    Raises:
        InputError: no images or others, not one label or id per image, no level of noise, no numbers, fewer than two
            lambdas, training mode, or no sparse coding stem.
        DataError: labels that are no class numbers from 0.
    """
    check_evaluated(model)
    seed = seed_of(seed, -(2**63))
    levels = _levels(images, labels, sample_ids, noises, seed)
    size = whole(batch_size, "batch_size must be a whole number", 1)
    grid = {number(value, "lambda must be finite and not negative", 0) for value in several(lambdas)}
    if len(grid) < 2:
        raise InputError(f"A calibration needs at least two lambdas to choose from, got {several(lambdas)}.")
    trained = stem_of(model, to_images(images[:1], device)).trained_lambda
    tried, points = Tried(tuple(sorted(grid)), trained, scope, size), list[FitPoint]()
    on_level(0, len(levels))
    for make in levels:
        points.append(_point(model, device, *make(), tried=tried))
        on_level(len(points), len(levels))
    return _fit(points, tried, images=len(images), seed=seed, source=source, weights=weights)


@dataclass(frozen=True, slots=True)
class Tried:
    """What is tried on every image.

    Attributes:
        lambdas: increasing.
        trained: the training lambda, which residuals are measured at.
        scope: the layers that lambdas are tried on, "stem" or "all".
    """

    lambdas: tuple[float, ...]
    trained: float
    scope: str
    batch_size: int


@dataclass(frozen=True, slots=True, eq=False)
class Level:
    """Training images under one level of noise: uint8 (n, h, w, 3), with their labels (n,)."""

    noise: str
    level: float
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]


def _levels(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    sample_ids: Sequence[int] | NDArray[np.int64] | None,
    noises: Mapping[str, Sequence[float]],
    seed: int = 0,
) -> list[Callable[[], tuple[Level]]]:
    """What makes the images of each level, clean ones first; errors are those of `calibrate`."""
    from ..corruptions import corrupt
    from ..corruptions.pipeline import checked_images, ids_of

    if not isinstance(noises, Mapping):
        raise InputError(f"noises must map names of corruptions to levels, got {shown(repr(noises))}.")
    checked_images(images)
    classes = np.atleast_1d(np.asarray(labels))
    asked = {noise: several(levels) for noise, levels in noises.items()}
    count = sum(map(len, asked.values()))
    if not (len(images) == len(classes) > 0 and count):
        given = f"{counted(len(images), 'image')}, {counted(len(classes), 'label')}, noise at {counted(count, 'level')}"
        raise InputError(f"A calibration needs training images, labels and levels of noise: got {given}.")
    ids = ids_of(sample_ids, len(images))
    targets = check_labels(classes, None, "labels")

    def under(noise: str, level: float, start: int) -> tuple[Level]:
        part = slice(start, None, _SHARES) if len(images) > 1 else slice(None)
        noisy = corrupt(images[part], noise, level=level, seed=seed, sample_ids=ids[part])
        return (Level(noise, level, noisy, targets[part]),)

    found: list[Callable[[], tuple[Level]]] = [lambda: (Level(CLEAN, 0.0, images, targets),)]
    for noise, levels in asked.items():
        for index, given in enumerate(levels):
            level = number(given, f"A level of {noise} must be a number")
            found.append(partial(under, noise, level, index % _SHARES))
    return found


@full_float32()
def _point(model: nn.Module, device: str | torch.device, noisy: Level, *, tried: Tried) -> FitPoint:
    """What a network answers under one level of noise."""
    targets = torch.as_tensor(noisy.labels, device=device)
    residuals, levels, right = [], [], []
    for start in range(0, len(noisy.images), tried.batch_size):
        part = slice(start, start + tried.batch_size)
        batch = to_images(noisy.images[part], device)
        with torch.no_grad():
            residuals.append(mean_energy(model, batch, tried.trained))
            levels.append(noise_level(model, batch))
            swept = sweep_lambdas(model, batch, tried.lambdas, scope=tried.scope)
            right.append(torch.stack([logits.argmax(1) == targets[part] for logits in swept]))
    texts = tuple("".join("1" if hit else "0" for hit in row) for row in torch.cat(right, 1).tolist())
    return FitPoint(noisy.noise, noisy.level, _numbers(residuals), _numbers(levels), texts)


def _fit(
    points: Sequence[FitPoint], tried: Tried, *, images: int, seed: int = 0, source: str, weights: str
) -> CalibratedFit:
    """The lines through what was found at every level."""
    return CalibratedFit(
        lines=fit_lines(points, tried.lambdas),
        lambdas=tried.lambdas,
        residual_lambda=tried.trained,
        points=tuple(points),
        images=images,
        seed=seed,
        scope=tried.scope,
        source=source,
        weights=weights,
    )


def deploy(rule: str, fitting: Fitting) -> Calibrated:
    """The policy of a rule for a model; its fit is measured once, for all rules of the same images, and kept."""
    tried = LAMBDAS if rule == ON_TEST_LABELS else TRIED
    more = {} if tried == TRIED else {"lambdas": tried}
    name = fitting.kept_as("calibrated", scope=fitting.scope, version=VERSION, **more)
    fit = fitting.once(name, CalibratedFit.from_json, lambda: _measured(fitting, name, tried))
    return Calibrated(fit, rule)


def _measured(fitting: Fitting, name: str, lambdas: tuple[float, ...]) -> CalibratedFit:
    """Measure a fit, and keep it under that name."""
    data, model = fitting.data, fitting.model
    positions = data.positions(fitting.count)
    assert model.training_lambda is not None  # narrows the type: a model without any has no policy
    images = data.pixels.read(positions)
    levels = _levels(images, data.labels[positions], data.ids[positions], PUBLISHED_LEVELS)
    tried = Tried(lambdas, float(model.training_lambda), fitting.scope, fitting.batch_size)
    points = _measured_points(fitting, f"{name}-begun", levels, tried)
    fit = _fit(points, tried, images=len(images), source=data.content_hash, weights=model.weights)
    fitting.kept.keep(name, fit.to_json(), lambda path: plot_fit(fit, path))
    fitting.kept.forget(f"{name}-begun")
    return fit


def _measured_points(
    fitting: Fitting, begun: str, levels: Sequence[Callable[[], tuple[Level]]], tried: Tried
) -> list[FitPoint]:
    """What a network answers at every level; each is kept at once, so that a fit that was stopped goes on."""
    found = fitting.at_hand(begun, partial(_points_by_place, lambdas=len(tried.lambdas))) or {}
    missing = [place for place in range(len(levels)) if place not in found]
    for index, point in fitting.measure(partial(_point, tried=tried), [levels[place] for place in missing]):
        found[missing[index]] = point
        fitting.kept.keep(begun, json.dumps({place: asdict(known) for place, known in found.items()}))
    return [found[place] for place in range(len(levels))]


def _points_by_place(text: str, *, lambdas: int) -> dict[int, FitPoint]:
    try:
        found = {int(place): point_of(raw) for place, raw in json.loads(text).items()}
        if not all(_is_whole(point, lambdas) for point in found.values()):
            raise ValueError("a level is not whole")
        return found
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(f"This is no fit that was begun ({error}).") from None


def _is_whole(point: FitPoint, lambdas: int) -> bool:
    """Whether lines can be drawn through a point: as many numbers and answers as images, at every lambda."""
    sizes = {len(point.noise_levels), *map(len, point.right)}
    numbers = (*point.residuals, *point.noise_levels)
    return (
        sizes == {len(point.residuals)} != {0}
        and len(point.right) == lambdas
        and all(map(math.isfinite, numbers))
    )


def _numbers(parts: Sequence[Tensor]) -> tuple[float, ...]:
    """Rounded, so that a stored fit holds exactly what its lines were drawn through."""
    return tuple(round(value, 6) for value in torch.cat(list(parts)).tolist())
