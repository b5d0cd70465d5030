"""Corrupt batches: draws keyed by (seed, sample id, corruption, severity), then one vectorised function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..draws import host_generators
from ..errors import InputError
from . import blur, colour, digital, elastic, motion, noise, precipitation, weather
from .parameters import Setting, check_size, setting

HostDraws = dict[str, NDArray[Any]]
# A chunk's intermediates should stay in a core's cache: 64 CIFAR images are 196,608 values.
_CHUNK_PIXELS = 64 * 32 * 32


@dataclass(frozen=True, slots=True)
class Corruption:
    """A corruption's two halves.

    Attributes:
        apply: (images (n, h, w, 3) uint8, draws, setting) -> images of the same shape and type.
        sample: (one generator a sample, n, h, w, setting) -> arrays of n rows; None draws nothing.
    """

    apply: Callable[[Tensor, dict[str, Tensor], Setting], Tensor]
    sample: (
        Callable[[Iterator[np.random.Generator], int, int, int, Setting], Mapping[str, NDArray[Any]]] | None
    ) = None


IMPLEMENTATIONS: Mapping[str, Corruption] = MappingProxyType(
    {
        "gaussian_noise": Corruption(noise.gaussian_noise, noise.sample_normal),
        "shot_noise": Corruption(noise.shot_noise, noise.sample_words),
        "impulse_noise": Corruption(noise.impulse_noise, noise.sample_uniform),
        "speckle_noise": Corruption(noise.speckle_noise, noise.sample_normal),
        "salt_and_pepper": Corruption(noise.impulse_noise, noise.sample_uniform),
        "gaussian_blur": Corruption(blur.gaussian_blur),
        "glass_blur": Corruption(blur.glass_blur, blur.sample_glass),
        "defocus_blur": Corruption(blur.defocus_blur),
        "motion_blur": Corruption(motion.motion_blur, motion.sample_motion),
        "zoom_blur": Corruption(blur.zoom_blur),
        "snow": Corruption(precipitation.snow, precipitation.sample_snow),
        "frost": Corruption(weather.frost, weather.sample_frost),
        "fog": Corruption(weather.fog, weather.sample_fog),
        "spatter": Corruption(precipitation.spatter, precipitation.sample_spatter),
        "elastic_transform": Corruption(elastic.elastic_transform, elastic.sample_elastic),
        "pixelate": Corruption(digital.pixelate),
        "brightness": Corruption(colour.brightness),
        "contrast": Corruption(colour.contrast),
        "saturate": Corruption(colour.saturate),
        "jpeg_compression": Corruption(digital.jpeg_compression),
    }
)


def corrupt(
    images: NDArray[np.uint8] | Tensor,
    name: str,
    severity: int = 3,
    seed: int = 0,
    sample_ids: Sequence[int] | NDArray[np.int64] | Tensor | None = None,
    level: float | None = None,
) -> Any:
    """Corrupt images as CIFAR-10-C does (Hendrycks & Dietterich 2019, arXiv:1903.12261).

    An image's bytes depend on the image and on (seed, sample id, corruption, severity) alone: not on the
    batch, its order, the number of threads or the machine.

    Args:
        images: (n, h, w, 3) uint8 RGB, NumPy or torch (any device), sides of 8 to 64 pixels. Left as it is.
        name: a name of `CORRUPTIONS`.
        severity: 1 to 5.
        seed: any integer.
        sample_ids: (n,) integers >= 0, stable names of the images; None counts 0, 1, 2, ...
        level: in place of a severity, the parameter of a noise (see `parameters.setting`).

    Returns:
        The corrupted images: the same shape, type and device.

    Raises:
        InputError: unknown name, or a severity, level, shape, dtype or id outside its range.
    """
    values = setting(name, severity, level)
    height, width = _check_images(images)
    ids = _ids(sample_ids, len(images))
    step = max(1, _CHUNK_PIXELS // (height * width))
    result = torch.empty(tuple(images.shape), dtype=torch.uint8, device=getattr(images, "device", "cpu"))
    key = _key(name, severity, level)
    for start in range(0, len(images), step):
        stop = start + step
        draws = _sample(name, values, seed, ids[start:stop], (height, width), key)
        result[start:stop] = _apply(images[start:stop], name, values, draws)
    return result.numpy() if isinstance(images, np.ndarray) else result


def sample(
    seed: int,
    sample_ids: Sequence[int],
    name: str,
    severity: int = 3,
    *,
    size: tuple[int, int] = (32, 32),
    level: float | None = None,
) -> HostDraws:
    """The draws of some images, one row an image: what `corrupt` draws, or the layout to inject others in.

    Args:
        seed: any integer.
        sample_ids: (n,) integers >= 0.
        name: a corruption.
        severity: 1 to 5.
        size: height and width of the images.
        level: see `corrupt`.

    Returns:
        Named arrays of n rows; none for a corruption that draws nothing.

    Raises:
        InputError: see `corrupt`.
    """
    check_size(*size)
    values = setting(name, severity, level)
    return _sample(name, values, seed, _ids(sample_ids, len(sample_ids)), size, _key(name, severity, level))


def apply(images: Any, name: str, severity: int = 3, *, draws: HostDraws, level: float | None = None) -> Any:
    """Corrupt images with given draws; `corrupt` is `sample` and then this, chunk by chunk.

    Args:
        images: (n, h, w, 3) uint8, NumPy or torch.
        name: a corruption.
        severity: 1 to 5.
        draws: as `sample` returns them.
        level: see `corrupt`.

    Raises:
        InputError: see `corrupt`.
    """
    _check_images(images)
    result = _apply(images, name, setting(name, severity, level), draws)
    return result.numpy() if isinstance(images, np.ndarray) else result


def _key(name: str, severity: int, level: float | None) -> str:
    return (
        f"corruption/{name}/{int(severity)}" if level is None else f"corruption/{name}/level={float(level)!r}"
    )


def _sample(
    name: str, values: Setting, seed: int, ids: list[int], size: tuple[int, int], key: str
) -> HostDraws:
    draw = IMPLEMENTATIONS[name].sample
    return {} if draw is None else dict(draw(host_generators(seed, key, ids), len(ids), *size, values))


def _apply(images: Any, name: str, values: Setting, draws: HostDraws) -> Tensor:
    # NumPy images are copied: they may be read-only or memory-mapped, which torch warns of.
    batch = torch.from_numpy(np.array(images)) if isinstance(images, np.ndarray) else images
    moved = {key: torch.from_numpy(value).to(batch.device) for key, value in draws.items()}
    return IMPLEMENTATIONS[name].apply(batch, moved, values)


def _check_images(images: Any) -> tuple[int, int]:
    """The height and width of images that can be corrupted."""
    if not isinstance(images, Tensor | np.ndarray) or images.dtype not in (torch.uint8, np.uint8):
        found = getattr(images, "dtype", type(images).__name__)
        raise InputError(
            f"Images to corrupt must be uint8 arrays or tensors, got {found}. Scale to 0..255 first."
        )
    if images.ndim != 4 or images.shape[3] != 3:
        raise InputError(f"Images to corrupt must have shape (n, h, w, 3), got {tuple(images.shape)}.")
    height, width = images.shape[1:3]
    check_size(height, width)
    return height, width


def _ids(sample_ids: Sequence[int] | NDArray[np.int64] | Tensor | None, n: int) -> list[int]:
    ids = list(range(n)) if sample_ids is None else [int(value) for value in sample_ids]
    if len(ids) != n:
        raise InputError(f"sample_ids must name each of the {n} images, got {len(ids)} ids.")
    if any(value < 0 for value in ids):
        raise InputError("sample_ids must not be negative.")
    return ids
