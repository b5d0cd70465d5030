"""The fourteen sequences of CIFAR-10-P (Hendrycks & Dietterich 2019, arXiv:1903.12261), one row each. Torch-free.

How difficult a sequence is, 1 to 3, means what the published evaluation makes of it: noises are drawn with the strength
of that difficulty, and each frame is compared with the clean first one; of all others every frame is compared with the
one that many places before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ...errors import InputError, unknown
from ..members import Setting, Severities
from ..registry import named

DIFFICULTIES = (1, 2, 3)
SIDE = 32  # pixels: what the published sequences are made for
GROUPS = ("all", "main", "extra")


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
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
    frames: int
    apply: str
    family: str = "main"
    settings: Severities = ()
    random: bool = False
    version: int = 1

    @property
    def noise(self) -> bool:
        """Whether frames are independent draws, each compared with the clean first one."""
        return bool(self.settings)

    def at(self, difficulty: int) -> Setting:
        """The parameters at a difficulty."""
        return self.settings[difficulty - 1] if self.settings else ()


def _noise(name: str, family: str, *strengths: float) -> Perturbation:
    settings = tuple((strength,) for strength in strengths)
    return Perturbation(
        name=name, frames=31, apply=f"noises:{name}", family=family, settings=settings, random=True
    )


def _smooth(
    name: str, module: str, frames: int = 31, *, family: str = "main", random: bool = False
) -> Perturbation:
    return Perturbation(name=name, frames=frames, apply=f"{module}:{name}", family=family, random=random)


SEQUENCES: Mapping[str, Perturbation] = MappingProxyType(
    {
        one.name: one
        for one in (
            _noise("gaussian_noise", "main", 0.02, 0.04, 0.06),  # standard deviation
            _noise("shot_noise", "main", 700, 400, 200),  # photons of a white pixel
            _smooth("motion_blur", "blurs", 21),
            _smooth("zoom_blur", "blurs"),
            _smooth("spatter", "weather", random=True),
            _smooth("brightness", "weather"),
            _smooth("translate", "geometry", 16),
            _smooth("rotate", "geometry"),
            _smooth("tilt", "geometry"),
            _smooth("scale", "geometry"),
            _noise("speckle_noise", "extra", 0.05, 0.07, 0.1),  # standard deviation, relative
            _smooth("gaussian_blur", "blurs", family="extra"),
            _smooth("snow", "weather", family="extra", random=True),
            _smooth("shear", "geometry", family="extra"),
        )
    }
)
MAIN = tuple(name for name, one in SEQUENCES.items() if one.family == "main")


def perturbation_info(name: str, difficulty: int = 1) -> Perturbation:
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
    return named(names, SEQUENCES, groups, "sequence")


def check_sequence_size(height: int, width: int) -> None:
    """Refuse images that the published sequences are not made for, of other sides than 32, with an InputError."""
    if (height, width) != (SIDE, SIDE):
        raise InputError(
            f"CIFAR-10-P's sequences are made for images of {SIDE}x{SIDE} pixels, got {height}x{width}."
            " Resize them before."
        )
