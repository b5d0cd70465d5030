"""Corrupt batches: draws keyed by (seed, sample id, corruption, severity), then one vectorised function.

Sequences are made alike: their draws are keyed by the frame too, and frame comes after frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from pkgutil import resolve_name
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..data.images import shape_remedy
from ..draws import host_generators
from ..errors import InputError, unknown
from ..wording import shown
from .digital import jpeg_compression
from .members import LARGE, STORED
from .registry import CORRUPTIONS, check_size, setting, table_for
from .sampling import Apply, Draws, Frames, Sample
from .sequences.members import check_sequence_size, sequence_info

Images = TypeVar("Images", NDArray[np.uint8], Tensor)
# A chunk's intermediates should stay in a core's cache: 64 CIFAR images are 196,608 values. Of large images the
# calls weigh more: three of 224 pixels go together, or as many as is said here.
_CHUNK_PIXELS, _LARGE_CHUNK_PIXELS = 64 * 32 * 32, 3 * 224 * 224
_LARGE_CHUNKS = {"gaussian_blur": 1, "zoom_blur": 1, "pixelate": 8, "jpeg_compression": 8}

# Linux's C library gives memory back to the system, and asks for it again page by page, at every pass over a large
# image, until a block of this size was freed once.
np.empty(31 << 20, np.uint8)


def corrupt(
    images: Images,
    name: str,
    severity: int = 3,
    seed: int = 0,
    sample_ids: Sequence[int] | NDArray[np.int64] | Tensor | None = None,
    level: float | None = None,
    table: str | None = None,
    stored_as: str | None = None,
) -> Images:
    """Corrupt images as CIFAR-10-C and ImageNet-C do (Hendrycks & Dietterich 2019, arXiv:1903.12261).

    An image's bytes depend on the image and on (seed, sample id, corruption, severity) alone: not on the
    batch, its order, the number of threads or the machine.

    Args:
        images: (n, h, w, 3) uint8 RGB, NumPy or torch (any device), sides of 8 to 512 pixels. Left as it is.
        name: a name of `CORRUPTIONS`.
        severity: 1 to 5.
        seed: any integer of 64 bits.
        sample_ids: (n,) integers >= 0, stable names of the images; None counts 0, 1, 2, ... anew in every call, so
            that images or batches corrupted one by one would have the same draws.
        level: in place of a severity, the parameter of a noise (see `registry.setting`).
        table: parameter set, one of `TABLES`; None takes the images' own, see `registry.table_for`.
        stored_as: "jpeg85": the result passes through JPEG at quality 85, as the published sets of 64 pixels and
            more did; None: it does not.

    Returns:
        The corrupted images: the same shape, type and device.

    Raises:
        InputError: unknown name, table or storage, or a severity, level, shape, dtype or id outside its range.
    """
    setting(name, severity, level, table or "cifar")  # the name before the images
    if stored_as is not None and stored_as not in STORED:
        raise unknown("storage", stored_as, STORED)
    height, width = checked_images(images)
    ids = ids_of(sample_ids, len(images))
    step = _chunk(name, height * width)
    result = torch.empty(tuple(images.shape), dtype=torch.uint8, device=getattr(images, "device", "cpu"))
    for start in range(0, len(images), step):
        stop = start + step
        draws = sample(seed, ids[start:stop], name, severity, size=(height, width), level=level, table=table)
        found = apply(as_tensor(images[start:stop]), name, severity, draws=draws, level=level, table=table)
        result[start:stop] = found if stored_as is None else jpeg_compression(found, {}, (STORED[stored_as],))
    return like(images, result)


def sample(
    seed: int,
    sample_ids: Sequence[int],
    name: str,
    severity: int = 3,
    *,
    size: tuple[int, int] = (32, 32),
    level: float | None = None,
    table: str | None = None,
) -> Draws:
    """The draws of some images, one row per image: what `corrupt` draws, or the layout to inject others in.

    Args:
        size: height and width of the images; other arguments and the errors are those of `corrupt`.

    Returns:
        Named arrays of n rows; none for a corruption that draws nothing.
    """
    check_size(*size)
    values = setting(name, severity, level, table or table_for(*size))
    ids = ids_of(sample_ids, len(sample_ids))
    if not CORRUPTIONS[name].random:
        return {}
    strength = str(int(severity)) if level is None else f"level={float(level)!r}"
    draw: Sample = _function(CORRUPTIONS[name].draws)
    return draw(host_generators(seed, f"corruption/{name}/{strength}", ids), len(ids), *size, values)


def apply(
    images: Images,
    name: str,
    severity: int = 3,
    *,
    draws: Draws,
    level: float | None = None,
    table: str | None = None,
) -> Images:
    """Corrupt images with given draws; `corrupt` is `sample` and then this, chunk by chunk.

    Args:
        draws: as `sample` returns them; other arguments and the errors are those of `corrupt`.
    """
    values = setting(name, severity, level, table or table_for(*checked_images(images)))
    batch = as_tensor(images)
    moved = {key: torch.from_numpy(value).to(batch.device) for key, value in draws.items()}
    work: Apply = _function(CORRUPTIONS[name].apply)
    return like(images, work(batch, moved, values) if len(batch) else batch)


def sequence(
    images: Images,
    name: str,
    difficulty: int = 1,
    seed: int = 0,
    sample_ids: Sequence[int] | NDArray[np.int64] | Tensor | None = None,
) -> Images:
    """Change images slowly, frame after frame, as CIFAR-10-P does (Hendrycks & Dietterich 2019, arXiv:1903.12261).

    An image's frames depend on the image and on (seed, sample id, sequence, difficulty) alone: not on the batch, its
    order, the number of threads or the machine.

    Args:
        images: (n, 32, 32, 3) uint8 RGB, NumPy or torch (any device). Left as it is.
        name: a name of `SEQUENCES`.
        difficulty: 1 to 3, the strength of a noise; it changes no other sequence.
        seed, sample_ids: as for `corrupt`.

    Returns:
        (n, frames, 32, 32, 3): the same type and device.

    Raises:
        InputError: an unknown name, or a difficulty, shape, dtype or id outside its range.
    """
    return like(images, torch.stack(list(frames(images, name, difficulty, seed, sample_ids)), 1))


def frames(
    images: Images,
    name: str,
    difficulty: int = 1,
    seed: int = 0,
    sample_ids: Sequence[int] | NDArray[np.int64] | Tensor | None = None,
) -> Iterator[Tensor]:
    """The frames of `sequence` one by one, (n, 32, 32, 3) each, so that no sequence has to fit in memory."""
    info = sequence_info(name, difficulty)
    size = checked_images(images)
    check_sequence_size(*size)
    ids = ids_of(sample_ids, len(images))
    batch = as_tensor(images)
    values, strength = info.at(int(difficulty)), int(difficulty) if info.noise else 1

    def draw(sample: Sample, frame: int) -> dict[str, Tensor]:
        generators = host_generators(seed, f"sequence/{name}/{strength}/{frame}", ids)
        found = sample(generators, len(ids), *size, values)
        return {key: torch.from_numpy(value).to(batch.device) for key, value in found.items()}

    work: Frames = _function(f"sequences.{info.apply}")
    return work(batch, draw, values)


def like(images: Images, result: Tensor) -> Images:
    """A result as the images are: NumPy or torch."""
    return result.numpy() if isinstance(images, np.ndarray) else result


_function = lru_cache(lambda place: resolve_name(f"{__package__}.{place}"))


def _chunk(name: str, pixels: int) -> int:
    """How many images to corrupt at once."""
    if pixels <= LARGE:
        return max(1, _CHUNK_PIXELS // pixels)
    return _LARGE_CHUNKS.get(name) or max(1, _LARGE_CHUNK_PIXELS // pixels)


def as_tensor(images: NDArray[np.uint8] | Tensor) -> Tensor:
    """Images as torch has them, copied where they are read-only, of which it warns, or not in the order of memory."""
    if not isinstance(images, np.ndarray):
        return images
    return torch.from_numpy(images if images.flags.writeable and images.flags.c_contiguous else images.copy())


def checked_images(images: Any) -> tuple[int, int]:
    """The height and width of images that can be corrupted."""
    if not isinstance(images, Tensor | np.ndarray) or images.dtype not in (torch.uint8, np.uint8):
        found = getattr(images, "dtype", type(images).__name__)
        remedy = "Scale to 0..255 first." if hasattr(images, "dtype") else "Write numpy.asarray(images)."
        raise InputError(f"Images to corrupt must be uint8 arrays or tensors, got {found}. {remedy}")
    if images.ndim != 4 or images.shape[3] != 3:
        shape = tuple(images.shape)
        remedy = shape_remedy(shape, "permute" if isinstance(images, Tensor) else "transpose")
        raise InputError(f"Images to corrupt must have shape (n, h, w, 3), got {shape}.{remedy}")
    height, width = images.shape[1:3]
    check_size(height, width)
    return height, width


def ids_of(sample_ids: Sequence[int] | NDArray[np.int64] | Tensor | None, n: int) -> list[int]:
    """(n,) the ids that key the draws of n images: those given, else 0 to n - 1; an InputError for no such ids."""
    given = range(n) if sample_ids is None else sample_ids
    try:
        values = list(given)  # once: it may be a generator
        ids = [int(value) for value in values]
    except (TypeError, ValueError):
        raise InputError(f"sample_ids must be whole numbers from 0, got {shown(repr(given))}.") from None
    if len(ids) != n:
        raise InputError(f"sample_ids must name each of the {n} images, got {len(ids)} ids.")
    for sample_id, value in zip(ids, values, strict=True):
        if sample_id != value or not 0 <= sample_id < 2**63:
            raise InputError(f"sample_ids must be whole numbers from 0, got {shown(values)}.")
    return ids
