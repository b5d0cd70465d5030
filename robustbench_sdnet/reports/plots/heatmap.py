"""Accuracy by corruption and severity as coloured squares, one panel a model."""

from __future__ import annotations

import math
from collections.abc import Mapping

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..numbers import Estimate
from ..results import distinct
from ..tables.corruptions import levels_run
from .style import ACCURACY, GROUND, RC, TEXT, drawn, new_figure, plain

Grid = Mapping[str, Mapping[int, Estimate]]
PANELS_IN_A_ROW = 3


def draw(grids: Mapping[str, Grid], category: Mapping[str, str]) -> Figure:
    """Panels with one colour scale from 0 to 100 %; what was not run stays empty.

    Args:
        grids: what each panel is called -> corruption -> severity -> accuracy.
        category: corruption -> the group it stands in; a gap in the order of corruptions separates groups.
    """
    names = distinct(name for grid in grids.values() for name in grid)
    levels = levels_run(grids.values())
    with matplotlib.rc_context(RC):
        rows = math.ceil(len(grids) / PANELS_IN_A_ROW)
        columns = math.ceil(len(grids) / rows)
        figure = new_figure(1.6 + 2.7 * columns, rows * (0.27 * len(names) + 0.8))
        panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
        for axes, (label, grid) in zip(panels, grids.items(), strict=False):
            _panel(axes, grid, names, levels, category)
            axes.set_title(drawn(label), loc="left", color=TEXT)
        for axes in panels[len(grids) :]:
            axes.set_visible(False)
        for axes in panels[: len(grids)][-columns:]:
            axes.set_xlabel("severity")
        return figure


def _panel(
    axes: Axes, grid: Grid, names: tuple[str, ...], levels: tuple[int, ...], category: Mapping[str, str]
) -> None:
    plain(axes, grid=False)
    axes.spines["bottom"].set_visible(False)
    values = np.full((len(names), len(levels)), np.nan)
    for row, name in enumerate(names):
        for column, severity in enumerate(levels):
            estimate = grid.get(name, {}).get(severity)
            if estimate is not None:
                values[row, column] = 100 * estimate.accuracy
                _write(axes, column, row, values[row, column])
    axes.pcolormesh(values, cmap=ACCURACY, vmin=0, vmax=100, edgecolors=GROUND, linewidth=1.2)
    for row in range(1, len(names)):
        if category.get(names[row]) != category.get(names[row - 1]):
            axes.axhline(row, color=GROUND, linewidth=5)
    axes.set_xticks(np.arange(len(levels)) + 0.5, list(map(str, levels)))
    axes.set_yticks(np.arange(len(names)) + 0.5, [name.replace("_", " ") for name in names])
    axes.set_ylim(len(names), 0)


def _write(axes: Axes, column: int, row: int, value: float) -> None:
    red, green, blue, _ = ACCURACY(value / 100)
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.6
    # Not the page's text colour: it stands on its square's ground in light and in dark.
    colour = "#ffffff" if dark else "#2b3138"
    axes.text(column + 0.5, row + 0.5, f"{value:.0f}", ha="center", va="center", fontsize=7.5, color=colour)
