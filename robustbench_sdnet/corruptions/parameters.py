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
