"""The parameters of CIFAR-10-C (Hendrycks & Dietterich 2019, arXiv:1903.12261), severities 1 to 5."""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType

from ..errors import InputError
from .registry import corruption_info

Setting = tuple[float, ...]
SMALLEST, LARGEST = 8, 64

CIFAR: Mapping[str, tuple[Setting, ...]] = MappingProxyType(
    {
        "gaussian_noise": ((0.04,), (0.06,), (0.08,), (0.09,), (0.10,)),  # standard deviation
        "shot_noise": ((500,), (250,), (100,), (75,), (50,)),  # photons of a white pixel
        "impulse_noise": ((0.01,), (0.02,), (0.03,), (0.05,), (0.07,)),  # share of values hit
        "speckle_noise": ((0.06,), (0.1,), (0.12,), (0.16,), (0.2,)),  # standard deviation, relative
        # Not of CIFAR-10-C: five of the nine levels of SDNet's protocol, share of values hit.
        "salt_and_pepper": ((0.03,), (0.09,), (0.15,), (0.21,), (0.27,)),
        "brightness": ((0.05,), (0.1,), (0.15,), (0.2,), (0.3,)),  # added to HSV value
        "contrast": ((0.75,), (0.5,), (0.4,), (0.3,), (0.15,)),  # factor around the mean
        "saturate": ((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2)),  # HSV saturation: factor, offset
        "gaussian_blur": ((0.4,), (0.6,), (0.7,), (0.8,), (1,)),  # standard deviation, pixels
        # standard deviation, reach of a swap, iterations
        "glass_blur": ((0.05, 1, 1), (0.25, 1, 1), (0.4, 1, 1), (0.25, 1, 2), (0.4, 1, 2)),
        "defocus_blur": ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1)),  # radius, smoothing
        "motion_blur": ((6, 1), (6, 1.5), (6, 2), (8, 2), (9, 2.5)),  # radius, standard deviation
        "zoom_blur": ((1.06,), (1.11,), (1.16,), (1.21,), (1.26,)),  # end of the factors, steps of 0.01
        "fog": ((0.2, 3), (0.5, 3), (0.75, 2.5), (1, 2), (1.5, 1.75)),  # amount, decay
        "frost": ((1, 0.2), (1, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45)),  # share of image, of frost
        # mean, standard deviation, zoom, threshold, radius and width of the streaks, share of image
        "snow": (
            (0.1, 0.2, 1, 0.6, 8, 3, 0.95),
            (0.1, 0.2, 1, 0.5, 10, 4, 0.9),
            (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9),
            (0.25, 0.3, 2.25, 0.6, 12, 6, 0.85),
            (0.3, 0.3, 1.25, 0.65, 14, 12, 0.8),
        ),
        # mean, standard deviation, width, threshold, strength of water or width of mud, mud
        "spatter": (
            (0.62, 0.1, 0.7, 0.7, 0.5, 0),
            (0.65, 0.1, 0.8, 0.7, 0.5, 0),
            (0.65, 0.3, 1, 0.69, 0.5, 0),
            (0.65, 0.1, 0.7, 0.69, 0.6, 1),
            (0.65, 0.1, 0.5, 0.68, 0.6, 1),
        ),
        # displacement, its width and the affine shift, in sides of the image
        "elastic_transform": (
            (0, 0, 0.08),
            (0.05, 0.2, 0.07),
            (0.08, 0.06, 0.06),
            (0.1, 0.04, 0.05),
            (0.1, 0.03, 0.03),
        ),
        "pixelate": ((0.95,), (0.9,), (0.85,), (0.75,), (0.65,)),  # share of pixels kept along a side
        "jpeg_compression": ((80,), (65,), (58,), (50,), (40,)),  # quality
    }
)


def setting(name: str, severity: int = 3, level: float | None = None) -> Setting:
    """The parameters of a corruption at a severity, or at a free level.

    Args:
        name: a corruption.
        severity: 1 to 5; not looked at when `level` is given.
        level: the parameter itself, for the corruptions that take one (`CorruptionInfo.levels`): standard
            deviation (gaussian, speckle), photons of a white pixel (shot), share of values hit (impulse,
            salt_and_pepper).

    Raises:
        InputError: unknown name, severity outside 1 to 5, or a level that makes no sense.
    """
    info = corruption_info(name)
    if level is None:
        if isinstance(severity, bool) or severity not in (1, 2, 3, 4, 5):
            raise InputError(f"severity must be 1 to 5, got {severity!r}.")
        return CIFAR[name][int(severity) - 1]
    if not info.levels:
        raise InputError(f"{name} takes a severity from 1 to 5, no level, got level {level!r}.")
    highest = 1.0 if name in ("impulse_noise", "salt_and_pepper") else 1e4 if name == "shot_noise" else 10.0
    lowest = 0.01 if name == "shot_noise" else 0.0
    if not (math.isfinite(level) and lowest <= level <= highest):
        raise InputError(f"The level of {name} must lie between {lowest:g} and {highest:g}, got {level!r}.")
    return (float(level),)


def check_size(height: int, width: int) -> None:
    """Refuse image sizes for which no parameters are established.

    Raises:
        InputError: a side below 8 or above 64 pixels.
    """
    if min(height, width) < SMALLEST:
        raise InputError(f"Images must be at least {SMALLEST}x{SMALLEST} pixels, got {height}x{width}.")
    if max(height, width) > LARGEST:
        raise InputError(
            f"The parameters of CIFAR-10-C hold up to {LARGEST}x{LARGEST} pixels, got {height}x{width}."
            " Resize the images before corrupting them."
        )
