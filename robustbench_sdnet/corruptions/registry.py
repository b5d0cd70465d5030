"""The corruptions by name. Torch-free, for the command line and the planner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from ..errors import InputError, unknown
from .member import Corruption
from .members import MEMBERS

CATEGORIES = ("noise", "blur", "weather", "digital")
GROUPS = ("all", "main", "extra", *CATEGORIES)


CORRUPTIONS: Mapping[str, Corruption] = MappingProxyType({info.name: info for info in MEMBERS})


def corruption_info(name: str) -> Corruption:
    """The entry of a corruption.

    Raises:
        InputError: no such corruption.
    """
    if name not in CORRUPTIONS:
        raise unknown("corruption", name, CORRUPTIONS)
    return CORRUPTIONS[name]


def expand(names: str | Iterable[str]) -> tuple[str, ...]:
    """Corruption names, each once, from names and groups.

    Args:
        names: names, comma lists of names, and groups: "all" (19), "main" (15), "extra" (4) or a category
            (with its extra one, as SDNet's four noises are).

    Raises:
        InputError: an unknown name, or none at all.
    """
    texts = [names] if isinstance(names, str) else list(names)
    found: dict[str, None] = {}
    for part in (part.strip() for text in texts for part in text.split(",")):
        if part in GROUPS:
            found.update((info.name, None) for info in MEMBERS if info.published and _in_group(info, part))
        elif part in CORRUPTIONS:
            found[part] = None
        elif part:
            raise unknown("corruption", part, (*CORRUPTIONS, *GROUPS))
        else:
            raise InputError("corruption must not be empty. Write a name, a list of names, or all.")
    return tuple(found)


def _in_group(info: Corruption, group: str) -> bool:
    return group in ("all", info.family, info.category)
