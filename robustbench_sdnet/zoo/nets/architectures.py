"""The architectures by name, without importing torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from ...errors import unknown

CIFAR_MEAN, CIFAR_STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Architecture:
    """One architecture.

    Attributes:
        blocks: basic blocks (two 3x3 convolutions each) in each stage; channels double from stage to stage.
        width: channels of the stem and the first stage.
        sparse: which convolutions are sparse coding layers: "none", "stem" or "all".
        summary: one line for listings.
    """

    blocks: tuple[int, ...]
    width: int
    sparse: str
    summary: str

    @property
    def projects(self) -> bool:
        """Whether shortcuts that change shape are 1x1 convolutions (else: subsampled and zero-padded)."""
        return len(self.blocks) > 3


_DEPTHS: Mapping[str, tuple[tuple[int, ...], int]] = {
    "18": ((2, 2, 2, 2), 64),
    "34": ((3, 4, 6, 3), 64),
    "20": ((3, 3, 3), 16),
}
_FAMILIES = (
    ("resnet{}", "none", "plain residual network"),
    ("sdnet{}", "stem", "sparse coding stem, plain residual blocks"),
    ("sdnet{}_all", "all", "sparse coding in the stem and in every block"),
)

ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        pattern.format(depth): Architecture(blocks, width, sparse, f"{summary}, {depth} layers")
        for pattern, sparse, summary in _FAMILIES
        for depth, (blocks, width) in _DEPTHS.items()
    }
)


def architecture(name: str) -> Architecture:
    """The architecture of that name; an InputError names the nearest."""
    if name not in ARCHITECTURES:
        raise unknown("architecture", name, ARCHITECTURES)
    return ARCHITECTURES[name]
