"""Every corruption, one row each; their parameters stand in `settings.txt`."""

from __future__ import annotations

from pathlib import Path

from .member import Corruption, Severities

# Which of the two published sets of C-bar a parameter set takes.
BAR_TABLES = {"cifar": "cifar", "tiny": "cifar", "imagenet": "imagenet", "inception": "imagenet"}


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


def _row(
    name: str,
    category: str,
    module: str,
    draws: str = "",
    *,
    function: str = "",
    family: str = "main",
    level: tuple[float, float] | None = None,
    large: int = 0,
) -> Corruption:
    return Corruption(
        name=name,
        category=category,
        apply=f"{module}:{function or name}",
        draws=draws and f"{module}:{draws}",
        settings=_SETTINGS[name],
        family=family,
        level=level,
        large=large,
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
    _row("pixelate", "digital", "digital"),
    _row("jpeg_compression", "digital", "digital"),
    _row("speckle_noise", "noise", "noise", "sample_normal", family="extra", level=(0, 10), large=1),
    _row("gaussian_blur", "blur", "blur", family="extra"),
    _row("spatter", "weather", "precipitation", "sample_spatter", family="extra", large=1),
    _row("saturate", "digital", "colour", family="extra"),
    _row(
        "salt_and_pepper",
        "noise",
        "noise",
        "sample_uniform",
        function="impulse_noise",
        family="",
        level=(0, 1),
    ),
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
