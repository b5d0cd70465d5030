"""What a corruption is: one row of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

Setting = tuple[float, ...]
Severities = tuple[Setting, ...]

# Parameter sets, and the side of the images that they were published for.
TABLES: Mapping[str, int] = MappingProxyType({"cifar": 32, "tiny": 64, "imagenet": 224, "inception": 299})

# Pixels: images of more have draws and sums of their own where those are faster.
LARGE = 64 * 64

# How corrupted images may be stored and read back: the published sets' JPEG -> its quality.
STORED: Mapping[str, int] = MappingProxyType({"jpeg85": 85})


@dataclass(frozen=True, slots=True, kw_only=True)
class Corruption:
    """What is known of a corruption before any image is touched.

    Attributes:
        name: as the published files are named.
        category: noise, blur, weather or digital.
        apply: "module:function" of this package, (images (n, h, w, 3) uint8, draws, setting) -> images like them.
        draws: the like, (one generator a sample, n, h, w, setting) -> named arrays of n rows; empty draws nothing.
        settings: parameter set -> the parameters of severities 1 to 5; where a set is missing, the nearest stands in.
        family: main (the 15 of Hendrycks & Dietterich 2019), extra (their four for validation), c-bar, or empty.
        level: the range of a free level in place of a severity, where the corruption takes one.
        version: raised whenever the same key gives other bytes.
        large: added to it for images of more than `LARGE` pixels; raised where these alone get other bytes.
    """

    name: str
    category: str
    apply: str
    draws: str = ""
    settings: Mapping[str, Severities]
    family: str = "main"
    level: tuple[float, float] | None = None
    version: int = 1
    large: int = 0

    def version_at(self, height: int, width: int) -> int:
        """The version for images of a size."""
        return self.version + (self.large if height * width > LARGE else 0)

    @property
    def random(self) -> bool:
        """Whether it draws anything."""
        return bool(self.draws)

    @property
    def published(self) -> bool:
        """One of the 19; `expand("all")` names these alone."""
        return self.family in ("main", "extra")

    @property
    def main(self) -> bool:
        """One of the 15."""
        return self.family == "main"

    def at(self, table: str) -> Severities:
        """The parameters of a set, or of the set of the nearest size that this corruption has."""
        nearest = min(self.settings, key=lambda name: (abs(TABLES[name] - TABLES[table]), TABLES[name]))
        return self.settings[nearest]
