"""The fifteen corruptions of CIFAR-10-C-bar and ImageNet-C-bar, ten each, by Mintun et al. 2021 (arXiv:2102.11273).

A setting is the published scale s, about 0 to 10. Names are as published, with their misspellings.
"""

from .member import Corruption, Severities, each

# Which of the two published sets a parameter set takes.
BAR_TABLES = {"cifar": "cifar", "tiny": "cifar", "imagenet": "imagenet", "inception": "imagenet"}


def _row(name: str, category: str, module: str, draws: str = "", **settings: Severities) -> Corruption:
    return Corruption(
        name=name,
        category=category,
        family="c-bar",
        apply=f"{module}:{name}",
        draws=draws and f"{module}:{draws}",
        settings=settings,
    )


BAR_MEMBERS = (
    _row(
        *("blue_noise_sample", "noise", "bar_noise", "sample_phases"),
        cifar=each(0.7, 1.4, 2.1, 3.5, 4.2),
        imagenet=each(0.8, 1.6, 2.4, 4, 5.6),
    ),
    _row(
        *("brownish_noise", "noise", "bar_noise", "sample_three_phases"),
        cifar=each(2.5, 4, 5.5, 6.5, 7),
        imagenet=each(1, 2, 3, 4, 5),
    ),
    _row(
        *("checkerboard_cutout", "digital", "bar_shapes", "sample_checkerboard"),
        cifar=each(1, 2, 3, 4, 5),
        imagenet=each(2, 3, 4, 5, 6),
    ),
    _row(
        *("inverse_sparkles", "weather", "bar_shapes", "sample_one_star"),
        cifar=each(1, 1.5, 2.5, 4.5, 5),
        imagenet=each(1, 2, 4, 9, 10),
    ),
    _row(
        *("sparkles", "weather", "bar_shapes", "sample_stars"),
        cifar=each(0.7, 3.5, 5.6, 6.3, 7),
        imagenet=each(1, 2, 3, 5, 6),
    ),
    _row("pinch_and_twirl", "digital", "bar_warp", "sample_signs", cifar=each(5.5, 6, 6.5, 8.5, 10)),
    _row("ripple", "digital", "bar_warp", "sample_ripple", cifar=each(5.5, 6, 6.5, 7.5, 8)),
    _row("circular_motion_blur", "blur", "bar_warp", cifar=each(2.8, 3.6, 4.4, 5.2, 6)),
    _row("lines", "digital", "bar_shapes", "sample_lines", cifar=each(0.5, 1, 1.5, 2, 2.5)),
    _row("transverse_chromatic_abberation", "blur", "bar_warp", "sample_order", cifar=each(1, 2, 5, 9, 10)),
    _row(
        "caustic_refraction",
        "weather",
        "bar_warp",
        "sample_caustics",
        imagenet=each(2.35, 3.2, 4.9, 6.6, 9.15),
    ),
    _row("perlin_noise", "noise", "bar_noise", "sample_perlin", imagenet=each(4.6, 5.2, 5.8, 7.6, 8.8)),
    _row("plasma_noise", "noise", "bar_noise", "sample_plasma", imagenet=each(4.75, 7, 8.5, 9.25, 10)),
    _row("cocentric_sine_waves", "noise", "bar_noise", "sample_rings", imagenet=each(3, 5, 8, 9, 10)),
    _row("single_frequency_greyscale", "noise", "bar_noise", "sample_wave", imagenet=each(1, 1.5, 2, 4.5, 5)),
)
