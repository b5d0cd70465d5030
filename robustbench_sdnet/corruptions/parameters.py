"""Which parameters a corruption has for which images: parameter sets, severities and free levels."""

from __future__ import annotations

import math

from ..errors import InputError, unknown
from .member import TABLES, Setting
from .registry import corruption_info

SMALLEST, LARGEST = 8, 512


def setting(name: str, severity: int = 3, level: float | None = None, table: str = "cifar") -> Setting:
    """The parameters of a corruption at a severity, or at a free level.

    Args:
        severity: 1 to 5; not looked at when `level` is given.
        level: the parameter itself, for the corruptions that take one (`Corruption.level`): standard
            deviation (gaussian, speckle), photons of a white pixel (shot), share of values hit (impulse,
            salt_and_pepper).
        table: one of `TABLES`.

    Raises:
        InputError: unknown name or table, severity outside 1 to 5, or a level that makes no sense.
    """
    info = corruption_info(name)
    check_table(table)
    if level is None:
        if isinstance(severity, bool) or severity not in (1, 2, 3, 4, 5):
            raise InputError(f"severity must be 1 to 5, got {severity!r}.")
        return info.at(table)[int(severity) - 1]
    if info.level is None:
        raise InputError(f"{name} takes a severity from 1 to 5, no level, got level {level!r}.")
    lowest, highest = info.level
    if not (math.isfinite(level) and lowest <= level <= highest):
        raise InputError(f"The level of {name} must lie between {lowest:g} and {highest:g}, got {level!r}.")
    return (float(level),)


def check_table(table: str) -> None:
    """Refuse what is no parameter set; an InputError names the nearest."""
    if table not in TABLES:
        raise unknown("table of corruption parameters", table, TABLES)


def table_for(height: int, width: int) -> str:
    """The parameter set for images of a size.

    Square images of 32, 64, 224 and 299 pixels have their own; any other takes the nearest by its shorter side, the
    smaller one of two that are as near.
    """
    side = min(height, width)
    return min(TABLES, key=lambda name: (abs(TABLES[name] - side), TABLES[name]))


def foreign_size(table: str, height: int, width: int) -> str:
    """The size as text, such as "96x96", where a set was made for another; else empty."""
    return "" if height == width == TABLES[table] else f"{height}x{width}"


def size_of(table: str, foreign: str) -> tuple[int, int]:
    """Height and width, from a parameter set and what `foreign_size` says of it."""
    height, _, width = foreign.partition("x")
    return (int(height), int(width)) if foreign else (TABLES[table], TABLES[table])


def check_size(height: int, width: int) -> None:
    """Refuse images with a side below 8 or above 512 pixels with an InputError."""
    if min(height, width) < SMALLEST:
        raise InputError(f"Images must be at least {SMALLEST}x{SMALLEST} pixels, got {height}x{width}.")
    if max(height, width) > LARGEST:
        raise InputError(
            f"Images are corrupted up to {LARGEST}x{LARGEST} pixels, got {height}x{width}. Resize them before."
        )
