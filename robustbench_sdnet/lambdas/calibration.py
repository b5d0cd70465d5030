"""The measurement behind a calibrated lambda: corrupted training images, answered at many lambdas.

The published procedure, with its test-set leak removed (Dai et al. 2022, section 4.3): noise of several levels is put
on *training* images, and residuals and answers at every lambda are recorded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.images import check_labels
from ..data.tensors import to_images
from ..devices import full_float32
from ..errors import InputError
from ..reading.numbers import whole
from ..specs.lambdas import LAMBDAS, ON_TEST_LABELS, PUBLISHED_LEVELS
from ..zoo.nets.control import check_evaluated
from .calibrated import VERSION, Calibrated, CalibratedFit, mean_energy, noise_level, plot_fit
from .lines import CLEAN, FitPoint, fit_lines
from .policy import Fitting, Measure, T
from .sweep import stem_of, sweep_lambdas

TRIED = (*LAMBDAS[::2], LAMBDAS[-1])
"""Half of the published lambdas: answers in between are interpolated, and lines come out as well."""

# Neighbouring levels look at different halves of the images, which measures as well as twice the passes would.
_SHARES = 2


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
        InputError: no images or others, not one label per image, no noises, fewer than two lambdas, training mode, or
            no sparse coding stem.
        DataError: labels that are no class numbers from 0.
    """
    check_evaluated(model)

    def measure(ask: Callable[..., T], arguments: Sequence[Callable[[], tuple[Any, ...]]]) -> list[T]:
        found = list[T]()
        on_level(0, len(arguments))
        for make in arguments:
            found.append(ask(model, device, *make()))
            on_level(len(found), len(arguments))
        return found

    ids = np.arange(len(images)) if sample_ids is None else np.asarray(sample_ids, dtype=np.int64)
    return _fit(
        measure,
        images,
        labels,
        ids,
        noises,
        lambdas=lambdas,
        scope=scope,
        seed=seed,
        batch_size=batch_size,
        source=source,
        weights=weights,
    )


def _fit(
    measure: Measure,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    ids: NDArray[np.int64],
    noises: Mapping[str, Sequence[float]] = PUBLISHED_LEVELS,
    *,
    lambdas: Sequence[float],
    scope: str,
    seed: int = 0,
    batch_size: int = 250,
    source: str,
    weights: str,
) -> CalibratedFit:
    """The lines through what `measure` finds at every level; see `calibrate`."""
    targets = _checked(images, labels, ids, noises)
    size = whole(batch_size, "batch_size must be a whole number", 1)
    grid = tuple(sorted({float(value) for value in lambdas}))
    if len(grid) < 2:
        raise InputError(f"A calibration needs at least two lambdas to choose from, got {list(lambdas)}.")

    def asked(noise: str, level: float, chosen: NDArray[np.int64]) -> tuple[Any, ...]:
        noisy = _under(noise, level, images[chosen], seed, ids[chosen])
        return noise, level, noisy, targets[chosen], grid, scope, size

    found = measure(_point, [partial(asked, *level) for level in _levels(len(images), noises)])
    points = tuple(point for point, _ in found)
    return CalibratedFit(
        lines=fit_lines(points, grid),
        lambdas=grid,
        residual_lambda=found[0][1],
        points=points,
        images=len(images),
        seed=seed,
        scope=scope,
        source=source,
        weights=weights,
    )


@full_float32()
def _point(
    model: nn.Module,
    device: str | torch.device,
    noise: str,
    level: float,
    noisy: NDArray[np.uint8],
    labels: NDArray[np.int64],
    lambdas: Sequence[float],
    scope: str,
    size: int,
) -> tuple[FitPoint, float]:
    """What a network answers under one level of noise, and the training lambda that residuals are measured at."""
    trained = stem_of(model, to_images(noisy[:1], device)).trained_lambda
    targets = torch.as_tensor(labels, device=device)
    residuals, levels, right = [], [], []
    for start in range(0, len(noisy), size):
        batch = to_images(noisy[start : start + size], device)
        expected = targets[start : start + size]
        with torch.no_grad():
            residuals.append(mean_energy(model, batch, trained))
            levels.append(noise_level(model, batch))
            swept = sweep_lambdas(model, batch, lambdas, scope=scope)
            right.append(torch.stack([logits.argmax(1) == expected for logits in swept]))
    texts = tuple("".join("1" if hit else "0" for hit in row) for row in torch.cat(right, 1).tolist())
    return FitPoint(noise, level, _numbers(residuals), _numbers(levels), texts), trained


def _checked(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    ids: NDArray[np.int64],
    noises: Mapping[str, Sequence[float]],
) -> NDArray[np.int64]:
    """The labels (n,), once everything is found in order; errors are those of `calibrate`."""
    from ..corruptions.pipeline import checked_images

    if not (len(images) == len(labels) == len(ids) > 0 and noises):
        given = f"{len(images)} images, {len(labels)} labels, {len(ids)} ids and {len(noises)} noises"
        raise InputError(f"A calibration needs training images with labels and ids, and noises: got {given}.")
    checked_images(images)
    return check_labels(np.asarray(labels), None, "labels")


def deploy(rule: str, fitting: Fitting) -> Calibrated:
    """The policy of a rule for a model; its fit is measured once, for all rules of the same images, and kept."""
    tried = LAMBDAS if rule == ON_TEST_LABELS else TRIED
    more = {} if tried == TRIED else {"lambdas": tried}
    name = fitting.kept_as("calibrated", scope=fitting.scope, version=VERSION, **more)
    fit = fitting.once(name, CalibratedFit.from_json, lambda: _measured(fitting, name, tried))
    return Calibrated(fit, rule)


def _measured(fitting: Fitting, name: str, lambdas: Sequence[float]) -> CalibratedFit:
    """Measure a fit, and keep it under that name."""
    data = fitting.data
    positions = data.positions(fitting.count)
    fit = _fit(
        fitting.measure,
        data.pixels.read(positions),
        data.labels[positions],
        data.ids[positions],
        lambdas=lambdas,
        scope=fitting.scope,
        source=data.content_hash,
        weights=fitting.model.weights,
    )
    fitting.kept.keep(name, fit.to_json(), lambda path: plot_fit(fit, path))
    return fit


def _levels(
    count: int, noises: Mapping[str, Sequence[float]]
) -> Iterator[tuple[str, float, NDArray[np.int64]]]:
    """Noise, level, and the positions of the images to put under it."""
    positions = np.arange(count)
    yield CLEAN, 0.0, positions
    for noise, levels in noises.items():
        for index, level in enumerate(levels):
            chosen = positions[index % _SHARES :: _SHARES] if count > 1 else positions
            yield noise, float(level), chosen


def _under(
    noise: str, level: float, images: NDArray[np.uint8], seed: int, ids: NDArray[np.int64]
) -> NDArray[np.uint8]:
    from ..corruptions import corrupt

    if noise == CLEAN:
        return images
    return corrupt(images, noise, level=level, seed=seed, sample_ids=ids.tolist())


def _numbers(parts: Sequence[Tensor]) -> tuple[float, ...]:
    """Rounded, so that a stored fit holds exactly what its lines were drawn through."""
    return tuple(round(value, 6) for value in torch.cat(list(parts)).tolist())
