"""The corruptions by name. Torch-free, for the command line and the planner."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ..errors import InputError, unknown

CATEGORIES = ("noise", "blur", "weather", "digital")
GROUPS = ("all", "main", "extra", *CATEGORIES)


@dataclass(frozen=True, slots=True, kw_only=True)
class CorruptionInfo:
    """What is known of a corruption before any image is touched.

    Attributes:
        name: as the published files are named.
        category: noise, blur, weather or digital.
        main: one of the 15 of Hendrycks & Dietterich 2019; the others are extra.
        random: whether it draws anything.
        version: raised whenever the same key gives other bytes.
        published: one of the 19 of CIFAR-10-C. `expand("all")` names these alone.
        levels: whether it takes a free level in place of a severity (the parameter of its table).
    """

    name: str
    category: str
    main: bool = True
    random: bool = True
    version: int = 1
    published: bool = True
    levels: bool = False


_TABLE = (
    CorruptionInfo(name="gaussian_noise", category="noise", levels=True),
    CorruptionInfo(name="shot_noise", category="noise", levels=True),
    CorruptionInfo(name="impulse_noise", category="noise", levels=True),
    CorruptionInfo(name="defocus_blur", category="blur", random=False),
    CorruptionInfo(name="glass_blur", category="blur"),
    CorruptionInfo(name="motion_blur", category="blur"),
    CorruptionInfo(name="zoom_blur", category="blur", random=False),
    CorruptionInfo(name="snow", category="weather"),
    CorruptionInfo(name="frost", category="weather"),
    CorruptionInfo(name="fog", category="weather"),
    CorruptionInfo(name="brightness", category="weather", random=False),
    CorruptionInfo(name="contrast", category="digital", random=False),
    CorruptionInfo(name="elastic_transform", category="digital"),
    CorruptionInfo(name="pixelate", category="digital", random=False),
    CorruptionInfo(name="jpeg_compression", category="digital", random=False),
    CorruptionInfo(name="speckle_noise", category="noise", main=False, levels=True),
    CorruptionInfo(name="gaussian_blur", category="blur", main=False, random=False),
    CorruptionInfo(name="spatter", category="weather", main=False),
    CorruptionInfo(name="saturate", category="digital", main=False, random=False),
    CorruptionInfo(name="salt_and_pepper", category="noise", main=False, published=False, levels=True),
)

CORRUPTIONS: Mapping[str, CorruptionInfo] = MappingProxyType({info.name: info for info in _TABLE})


def corruption_info(name: str) -> CorruptionInfo:
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
            found.update((info.name, None) for info in _TABLE if info.published and _in_group(info, part))
        elif part in CORRUPTIONS:
            found[part] = None
        elif part:
            raise unknown("corruption", part, (*CORRUPTIONS, *GROUPS))
        else:
            raise InputError("corruption must not be empty. Write a name, a list of names, or all.")
    return tuple(found)


def _in_group(info: CorruptionInfo, group: str) -> bool:
    return group in ("all", "main" if info.main else "extra", info.category)
