"""Every corruption, one row each, and what a row says; their parameters stand in `settings.txt`. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

Setting = tuple[float, ...]
Severities = tuple[Setting, ...]

# Parameter sets, and the side of the images that they were published for.
TABLES: Mapping[str, int] = MappingProxyType({"cifar": 32, "tiny": 64, "imagenet": 224, "inception": 299})

# Pixels: images of more have draws and sums of their own where those are faster.
LARGE = 64 * 64

# How corrupted images may be stored and read back: the published sets' JPEG -> its quality.
STORED: Mapping[str, int] = MappingProxyType({"jpeg85": 85})


def nearest(side: int, tables: Iterable[str] = TABLES) -> str:
    """The parameter set of the size that comes nearest, the smaller of two that are as near."""
    return min(tables, key=lambda name: (abs(TABLES[name] - side), TABLES[name]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Corruption:
    """What is known about a corruption before any image is touched.

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
        foreign: added to it for images of a size that no parameter set was published for, alike.
        work: what it comes from, a key of the bibliography.
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
    foreign: int = 0
    work: str = ""

    def version_at(self, height: int, width: int) -> int:
        """The version for images of a size."""
        foreign = height != width or height not in TABLES.values()
        return self.version + self.large * (height * width > LARGE) + self.foreign * foreign

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
        return self.settings[nearest(TABLES[table], self.settings)]


def _settings() -> dict[str, dict[str, Severities]]:
    """Corruption -> parameter set -> what severities 1 to 5 take."""
    found: dict[str, dict[str, Severities]] = {}
    for line in Path(__file__).with_name("settings.txt").read_text(encoding="ascii").splitlines():
        if line and not line.startswith("#"):
            name, table, values = line.split(None, 2)
            severities = tuple(tuple(map(_number, one.split())) for one in values.split("|"))
            found.setdefault(name, {})[table] = severities
    return found


def _number(text: str) -> float:
    return int(text) if text.isdecimal() else float(text)


_SETTINGS = _settings()


def _row(name: str, category: str, module: str, draws: str = "", **facts: Any) -> Corruption:
    """One of a published set: the function of its name in a file of this folder."""
    return Corruption(
        name=name,
        category=category,
        apply=f"{module}:{name}",
        draws=draws and f"{module}:{draws}",
        settings=_SETTINGS[name],
        work="cbar" if facts.get("family") == "c-bar" else "corruptions",
        **facts,
    )


MEMBERS = (
    _row("gaussian_noise", "noise", "noise", "sample_normal", level=(0, 10), large=1),
    _row("shot_noise", "noise", "noise", "sample_words", level=(0.01, 10000)),
    _row("impulse_noise", "noise", "noise", "sample_uniform", level=(0, 1)),
    _row("defocus_blur", "blur", "blur"),
    _row("glass_blur", "blur", "glass", "sample_glass"),
    _row("motion_blur", "blur", "motion", "sample_motion"),
    _row("zoom_blur", "blur", "blur"),
    _row("snow", "weather", "precipitation", "sample_snow", large=1),
    _row("frost", "weather", "weather", "sample_frost"),
    _row("fog", "weather", "weather", "sample_fog"),
    _row("brightness", "weather", "colour"),
    _row("contrast", "digital", "colour"),
    _row("elastic_transform", "digital", "elastic", "sample_elastic", large=1),
    _row("pixelate", "digital", "digital", foreign=1),
    _row("jpeg_compression", "digital", "digital"),
    _row("speckle_noise", "noise", "noise", "sample_normal", family="extra", level=(0, 10), large=1),
    _row("gaussian_blur", "blur", "blur", family="extra"),
    _row("spatter", "weather", "precipitation", "sample_spatter", family="extra", large=1),
    _row("saturate", "digital", "colour", family="extra"),
    _row("salt_and_pepper", "noise", "noise", "sample_uniform", family="", level=(0, 1)),
    _row("blue_noise_sample", "noise", "bar_noise", "sample_phases", family="c-bar"),
    _row("brownish_noise", "noise", "bar_noise", "sample_three_phases", family="c-bar"),
    _row("checkerboard_cutout", "digital", "bar_shapes", "sample_checkerboard", family="c-bar"),
    _row("inverse_sparkles", "weather", "bar_shapes", "sample_one_star", family="c-bar"),
    _row("sparkles", "weather", "bar_shapes", "sample_stars", family="c-bar"),
    _row("pinch_and_twirl", "digital", "bar_warp", "sample_signs", family="c-bar"),
    _row("ripple", "digital", "bar_warp", "sample_ripple", family="c-bar"),
    _row("circular_motion_blur", "blur", "bar_warp", family="c-bar"),
    _row("lines", "digital", "bar_shapes", "sample_lines", family="c-bar"),
    _row("transverse_chromatic_abberation", "blur", "bar_warp", "sample_order", family="c-bar"),
    _row("caustic_refraction", "weather", "bar_warp", "sample_caustics", family="c-bar"),
    _row("perlin_noise", "noise", "bar_noise", "sample_perlin", family="c-bar"),
    _row("plasma_noise", "noise", "bar_noise", "sample_plasma", family="c-bar"),
    _row("cocentric_sine_waves", "noise", "bar_noise", "sample_rings", family="c-bar"),
    _row("single_frequency_greyscale", "noise", "bar_noise", "sample_wave", family="c-bar"),
)
