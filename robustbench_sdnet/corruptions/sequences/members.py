"""The fourteen sequences of CIFAR-10-P (Hendrycks & Dietterich 2019, arXiv:1903.12261), one row each. Torch-free.

How difficult a sequence is, 1 to 3, means what the published evaluation makes of it: noises are drawn with the strength
of that difficulty, and each frame is compared with the clean first one; of all others every frame is compared with the
one that many places before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ...errors import InputError, unknown
from ..members import Setting, Severities
from ..registry import names_of

DIFFICULTIES = (1, 2, 3)
SIDE = 32  # pixels: what the published sequences are made for
GROUPS = ("all", "main", "extra")


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceInfo:
    """What is known of a sequence before any image is touched.

    Attributes:
        name: as the published files are named.
        frames: how many, the first included.
        apply: "module:function" of this package, (images (n, h, w, 3) uint8, draw, setting) -> frames like them.
        family: main (the ten that a mean is taken over) or extra (their four for validation).
        settings: of a noise, its strength at difficulty 1 to 3; empty for everything else.
        version: raised whenever the same key gives other bytes.
    """

    name: str
    frames: int = 31
    apply: str
    family: str = "main"
    settings: Severities
    random: bool
    version: int = 1

    @property
    def noise(self) -> bool:
        """Whether frames are independent draws, each compared with the clean first one."""
        return bool(self.settings)

    def at(self, difficulty: int) -> Setting:
        """The parameters at a difficulty."""
        return self.settings[difficulty - 1] if self.settings else ()


def _row(name: str, module: str, *strengths: float, random: bool = False, **facts: Any) -> SequenceInfo:
    settings, random = tuple((strength,) for strength in strengths), random or bool(strengths)
    return SequenceInfo(name=name, apply=f"{module}:{name}", settings=settings, random=random, **facts)


_MEMBERS = (
    _row("gaussian_noise", "appearance", 0.02, 0.04, 0.06),  # standard deviation
    _row("shot_noise", "appearance", 700, 400, 200),  # photons of a white pixel
    _row("motion_blur", "appearance", frames=21),
    _row("zoom_blur", "appearance"),
    _row("spatter", "appearance", random=True),
    _row("brightness", "appearance"),
    _row("translate", "geometry", frames=16),
    _row("rotate", "geometry"),
    _row("tilt", "geometry"),
    _row("scale", "geometry"),
    _row("speckle_noise", "appearance", 0.05, 0.07, 0.1, family="extra"),  # standard deviation, relative
    _row("gaussian_blur", "appearance", family="extra"),
    _row("snow", "appearance", family="extra", random=True, version=2),
    _row("shear", "geometry", family="extra"),
)
SEQUENCES: Mapping[str, SequenceInfo] = MappingProxyType({one.name: one for one in _MEMBERS})
MAIN = tuple(name for name, one in SEQUENCES.items() if one.family == "main")


def sequence_info(name: str, difficulty: int) -> SequenceInfo:
    """The entry of a sequence; InputError for no such sequence, or a difficulty other than 1, 2 or 3."""
    if name not in SEQUENCES:
        raise unknown("sequence", name, SEQUENCES)
    if isinstance(difficulty, bool) or difficulty not in DIFFICULTIES:
        raise InputError(f"The difficulty of a sequence must be 1, 2 or 3, got {difficulty!r}.")
    return SEQUENCES[name]


def expand_sequences(names: str | Iterable[str]) -> tuple[str, ...]:
    """Names of sequences, each once, of names and groups: "all" (14), "main" (10), "extra" (4); else an InputError."""
    groups = {
        group: [one.name for one in SEQUENCES.values() if group in ("all", one.family)] for group in GROUPS
    }
    return names_of(names, SEQUENCES, groups, "sequence")


def check_sequence_size(height: int, width: int) -> None:
    """Refuse images that the published sequences are not made for, of other sides than 32, with an InputError."""
    if (height, width) != (SIDE, SIDE):
        raise InputError(
            f"CIFAR-10-P's sequences are made for images of {SIDE}x{SIDE} pixels, got {height}x{width}."
            " Resize them first."
        )
