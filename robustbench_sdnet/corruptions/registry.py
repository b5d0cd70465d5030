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
    texts = [names] if isinstance(names, str) else list(names)
    found: dict[str, None] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        if part in GROUPS:
            found.update((info.name, None) for info in CORRUPTIONS.values() if _in_group(info, part, table))
        elif part in CORRUPTIONS:
            found[part] = None
        elif part:
            raise unknown("corruption", part, (*CORRUPTIONS, *GROUPS))
        else:
            raise InputError("corruption must not be empty. Write a name, a list of names, or all.")
    return tuple(found)


def _in_group(info: Corruption, group: str, table: str | None) -> bool:
    if group == "c-bar":
        return info.family == group and (table is None or BAR_TABLES[table] in info.settings)
    return info.published and group in ("all", info.family, info.category)
