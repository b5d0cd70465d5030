"""Figures to the eye: names and numbers inside, apart and legible, colours told apart."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure as Picture
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from skimage.color import deltaE_ciede2000, rgb2lab

from robustbench_sdnet.inside.drawing import way_figure
from robustbench_sdnet.reports.numbers import Estimate
from robustbench_sdnet.reports.pictures import Number
from robustbench_sdnet.reports.plots import curves, dots, heatmap, style

from .made_records import record_estimate


def test_steps_that_lie_close_are_not_written_over_each_other() -> None:
    def shown(*positions: float) -> list[str]:
        points = tuple((x, Estimate(0.5, 0.4, 0.6, 100)) for x in positions)
        figure = curves.draw(
            [curves.Panel(str(k), "x", (curves.Line("a", points, "#000000"),)) for k in (1, 2, 3)]
        )
        return [label.get_text() for label in figure.axes[0].get_xticklabels()]

    assert shown(0, 726, 1061, 2945, 5000) == ["0", "726", "2945", "5000"]
    assert shown(0, 1, 100) == ["0", "100"]
    assert shown(0, 4990, 5000) == ["0", "5000"]
    assert shown(0.1, 0.3, 0.5, 0.7) == ["0.1", "0.3", "0.5", "0.7"]
    assert shown(1) == ["1"]


def test_a_long_legend_leaves_panels_their_height() -> None:
    def height(names: int) -> float:
        lines = [
            curves.Line(
                f"a-model-with-a-name-of-its-own-{n}",
                ((0.0, record_estimate(0.9)), (1.0, record_estimate(0.5))),
                "k",
            )
            for n in range(names)
        ]
        figure = curves.draw([curves.Panel("pgd", "eps", tuple(lines))])
        figure.draw_without_rendering()
        return figure.axes[0].get_position().height * figure.get_figheight()

    assert height(8) == pytest.approx(height(2), rel=0.1)


def test_a_legend_takes_as_few_rows_as_there_is_room_for() -> None:
    def rows(names: int, columns: int) -> int:
        lines = tuple(curves.Line(f"severity {n}", ((0.0, HALF), (1.0, HALF)), "k") for n in range(names))
        figure = curves.draw([curves.Panel("fog", "lambda", lines)] * columns)
        figure.canvas.draw()
        return len({round(text.get_window_extent().y0) for text in figure.legends[0].get_texts()})

    assert (rows(6, 3), rows(5, 2), rows(6, 2), rows(6, 1)) == (1, 1, 1, 2)


LONG = "a model with quite a long name @ oracle (best number on test labels)"
HALF = Estimate(0.5, 0.4, 0.6, 100)
CHANGE = Number(model="m", image="fog@3", lam=None, depth=0, quantity="change", mean=0.5, low=None, high=None)


def _lines(count: int) -> tuple[curves.Line, ...]:
    points = ((0.1, HALF), (0.2, HALF), ("calibrated:published", HALF))
    return tuple(curves.Line(f"{i} {LONG}", points, "#888888") for i in range(count))


@pytest.mark.parametrize(
    "figure",
    [
        *(curves.draw([curves.Panel(LONG, "lambda", _lines(n))] * n, columns=c) for n, c in ((1, 4), (2, 2))),
        curves.draw([curves.Panel(LONG, "lambda", _lines(5))] * 7),
        *(heatmap.draw({f"{i} {LONG}": {"fog": {1: HALF, 3: HALF}} for i in range(n)}) for n in (1, 2, 3, 7)),
        dots.draw({f"{i} {LONG}": {"fog": HALF, "snow": HALF} for i in range(4)}, "frames that flip, %"),
        way_figure({f"{i} {LONG}": [CHANGE] for i in range(2)}),
    ],
)
def test_long_names_stay_inside_the_picture_and_apart(figure: Picture) -> None:
    figure.canvas.draw()
    titles = {axes.get_title(loc="left") or axes.get_title() for axes in figure.axes if axes.get_visible()}
    names = {text.get_text() for legend in figure.legends for text in legend.get_texts()}
    names |= {figure.get_supxlabel()} - {""}
    boxes = [text.get_window_extent() for text in figure.findobj(Text) if text.get_text() in titles | names]
    assert len(boxes) >= len(titles | names) > 0
    for box in boxes:
        inside = Bbox.intersection(box, figure.bbox)
        assert inside is not None
        assert np.allclose(inside.extents, box.extents)
    assert not any(a.overlaps(b) for a, b in combinations(boxes, 2))


def test_the_legend_keeps_the_order_of_severities_where_the_first_panel_lacks_one() -> None:
    points = ((0.1, Estimate(0.5, 0.4, 0.6, 100)), (0.2, Estimate(0.5, 0.4, 0.6, 100)))
    value = curves.Line("clean images", points, "#888888", faint=True)
    lines = [curves.Line(f"severity {n}", points, f"#0000{n}0") for n in (1, 2, 3)]
    pages = [
        curves.Panel("mean", "lambda", (value, *lines[1:])),
        curves.Panel("fog", "lambda", (value, *lines)),
    ]
    figure = curves.draw(pages, columns=2)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "severity 1",
        "severity 2",
        "severity 3",
        "clean images",
    ]


def test_many_models_are_rows_of_a_heat_map_whose_width_does_not_grow() -> None:
    names = [f"sdnet18_all {i:02} of many models with a long name" for i in range(40)]
    means = {name: dict.fromkeys(("gaussian_noise", "fog"), record_estimate(0.5)) for name in names}
    figure = heatmap.draw({"mean": means}, ("gaussian_noise", "fog"), "")
    assert style.to_png(figure).startswith(b"\x89PNG"), "without a warning"
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == names
    assert [label.get_text() for label in axes.get_xticklabels()] == ["gaussian noise", "fog"]
    assert [line.get_xdata() for line in axes.lines] == [[1, 1]], "between their groups"
    narrow = heatmap.draw({"mean": dict(list(means.items())[:8])}, ("gaussian_noise", "fog"), "")
    assert figure.get_figwidth() == narrow.get_figwidth()


def test_numbers_of_a_heat_map_stand_out_from_their_squares() -> None:
    """Contrast ratio of WCAG 2; the better of the two colours reaches 3.6 where they are worst, at 63 %."""

    def luminance(colour: str | tuple[float, ...]) -> float:
        return float(np.dot(linear(np.array(to_rgb(colour))), (0.2126, 0.7152, 0.0722)))

    grid = {"fog": {share: record_estimate(share / 100) for share in range(101)}}
    (axes,) = heatmap.draw({"model": grid}, tuple(range(101))).axes
    for text in axes.texts:
        square, number = (
            luminance(style.ACCURACY(int(text.get_text()) / 100)[:3]),
            luminance(text.get_color()),
        )
        assert (max(square, number) + 0.05) / (min(square, number) + 0.05) > 3.6, text.get_text()


def linear(colours: np.ndarray) -> np.ndarray:
    """sRGB as amounts of light."""
    return np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)


# Machado, Oliveira & Fernandes 2009, severity 1: amounts of light as people see them who lack a cone.
SEEN = {
    "all": np.eye(3),
    "protanopia": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "deuteranopia": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "tritanopia": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


@pytest.mark.parametrize("seen", SEEN)
def test_colours_of_models_are_told_apart_with_any_colour_vision(seen: str) -> None:
    """CIEDE2000 of any two is at least 9; blue and purple were 1.7 apart in protanopia."""
    light = np.clip(
        linear(np.array([to_rgb(colour) for colour in style.PALETTE])) @ np.transpose(SEEN[seen]), 0, 1
    )
    lab = rgb2lab(np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055))
    first, second = np.triu_indices(len(lab), 1)
    assert deltaE_ciede2000(lab[first], lab[second]).min() > 9


@pytest.mark.parametrize("ground", ["#ffffff", "#16191d"])
def test_colours_of_models_stand_out_from_the_page(ground: str) -> None:
    """Contrast ratio of WCAG 2; the grounds are those of report.css."""
    light = linear(np.array([to_rgb(colour) for colour in (ground, *style.PALETTE)])) @ (
        0.2126,
        0.7152,
        0.0722,
    )
    ratios = (np.maximum(light[1:], light[0]) + 0.05) / (np.minimum(light[1:], light[0]) + 0.05)
    assert ratios.min() > 2.5


def test_a_dot_at_none_is_whole() -> None:
    none = Estimate(0.0, 0.0, 0.16, 20)
    (found,) = dots.draw({"a": {"fog": none}}, "flips, %").axes[0].containers
    assert not found[0].get_clip_on()


def test_depths_are_whole_numbers() -> None:
    (axes,) = way_figure({"m": [replace(CHANGE, depth=depth) for depth in (0, 1, 2)]}).axes
    assert all(tick == int(tick) for tick in axes.get_xticks())


def test_lambdas_beside_the_axis_stand_by_their_value() -> None:
    points = tuple((name, Estimate(0.5, 0.4, 0.6, 10)) for name in ("all:10", "calibrated", "all:2"))
    figure = curves.draw([curves.Panel("fog", "lambda", (curves.Line("severity 1", points, "black"),))])
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    assert labels == ["all:2", "all:10", "calibrated"]
