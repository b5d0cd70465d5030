"""The corruptions by name. Torch-free, for the command line and the planner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from ..errors import InputError, unknown
from .member import Corruption
from .members import BAR_TABLES, MEMBERS

CATEGORIES = ("noise", "blur", "weather", "digital")
GROUPS = ("all", "main", "extra", "c-bar", *CATEGORIES)
CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType({info.name: info for info in MEMBERS})


def corruption_info(name: str) -> Corruption:
    """The entry of a corruption; an InputError names the nearest."""
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
    return named(names, CORRUPTIONS, groups, "corruption")


def named(
    names: str | Iterable[str], known: Iterable[str], groups: Mapping[str, Iterable[str]], kind: str
) -> tuple[str, ...]:
    """Names, each once, of names, comma lists of names, and groups; InputError for any other, and for none at all."""
    found: dict[str, None] = {}
    for text in [names] if isinstance(names, str) else names:
        for part in (part.strip() for part in text.split(",")):
            if not part:
                raise InputError(f"{kind} must not be empty. Write a name, a list of names, or all.")
            if part not in groups and part not in known:
                raise unknown(kind, part, (*known, *groups))
            found.update(dict.fromkeys(groups.get(part, (part,))))
    return tuple(found)


def _in_group(info: Corruption, group: str, table: str | None) -> bool:
    if group == "c-bar":
        return info.family == group and (table is None or BAR_TABLES[table] in info.settings)
    return info.published and group in ("all", info.family, info.category)
