"""The corruptions by name, and their parameters for which images. Torch-free, for the command line and the planner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from ..errors import InputError, unknown
from ..reading.numbers import number
from ..specs import SEVERITIES
from .members import MEMBERS, TABLES, Corruption, Setting, nearest

CATEGORIES = ("noise", "blur", "weather", "digital")
GROUPS = ("all", "main", "extra", "c-bar", *CATEGORIES)
BAR_TABLES = ("cifar", "imagenet")  # what C-bar was published for
SMALLEST, LARGEST = 8, 512  # pixels a side
CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType({info.name: info for info in MEMBERS})


def corruption_info(name: str) -> Corruption:
    """The entry of a corruption; an InputError names the nearest."""
    if name in GROUPS:
        raise InputError(f"One corruption is wanted, and '{name}' is a group: {', '.join(expand(name))}.")
    if name not in CORRUPTIONS:
        raise unknown("corruption", name, CORRUPTIONS)
    return CORRUPTIONS[name]


def expand(names: str | Iterable[str], table: str | None = None) -> tuple[str, ...]:
    """Corruption names, each once, from names and groups.

    Args:
        names: names, comma lists of names, and groups: "all" (19), "main" (15), "extra" (4) or a category
            (with its extra one, as SDNet's four noises are), and "c-bar" (10 a data set).
        table: parameter set; of c-bar the ten that were published for it, or for the nearest; None means all 15.

    Raises:
        InputError: an unknown name, or none at all.
    """
    groups = {
        group: [info.name for info in CORRUPTIONS.values() if _in_group(info, group, table)]
        for group in GROUPS
    }
    return names_of(names, CORRUPTIONS, groups, "corruption")


def names_of(
    names: str | Iterable[str], known: Iterable[str], groups: Mapping[str, Iterable[str]], kind: str
) -> tuple[str, ...]:
    """Names, each once, of names, comma lists of names, and groups; InputError for any other, and for none at all."""
    empty = InputError(f"{kind} must not be empty. Write a name, a list of names, or all.")
    members: dict[str, None] = {}
    for text in [names] if isinstance(names, str) else names:
        for part in text.split(","):
            name = part.strip()
            if not name:
                raise empty
            if name not in groups and name not in known:
                raise unknown(kind, name, (*known, *groups))
            members.update(dict.fromkeys(groups.get(name, (name,))))
    if not members:
        raise empty
    return tuple(members)


def _in_group(info: Corruption, group: str, table: str | None) -> bool:
    if group != "c-bar":
        return info.published and group in ("all", info.family, info.category)
    return info.family == group and (table is None or nearest(TABLES[table], BAR_TABLES) in info.settings)


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
        if isinstance(severity, bool) or severity not in SEVERITIES:
            raise InputError(f"severity must be 1 to 5, got {severity!r}.")
        return info.at(table)[int(severity) - 1]
    if info.level is None:
        noises = ", ".join(other for other, row in CORRUPTIONS.items() if row.level)
        raise InputError(
            f"{name} takes a severity from 1 to 5, no level, got level {level!r}. Levels are of {noises}: name one."
        )
    lowest, highest = info.level
    return (
        number(level, f"The level of {name} must lie between {lowest:g} and {highest:g}", lowest, highest),
    )


def check_table(table: str) -> None:
    """Refuse what is no parameter set; an InputError names the nearest."""
    if table not in TABLES:
        raise unknown("table of corruption parameters", table, TABLES)


def table_for(height: int, width: int) -> str:
    """The parameter set for images of a size: the one whose own size is `nearest` to the shorter side."""
    return nearest(min(height, width))


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
            f"Images are corrupted up to {LARGEST}x{LARGEST} pixels, got {height}x{width}. Resize them first."
        )
