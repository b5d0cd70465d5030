"""Accuracy by corruption and severity as coloured squares, one panel a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...corruptions.registry import CORRUPTIONS
from ...wording import share_text
from ..numbers import Estimate, ImageSet, usual_image_set
from ..tables.corruptions import in_order, kind, levels_run
from .style import (
    ACCURACY,
    GROUND,
    OTHERS,
    OTHERS_NOTE,
    TEXT,
    drawn,
    extra_height,
    new_figure,
    note_below,
    own_look,
    plain,
    wrapped,
)

Column = Any  # a severity, or what is compared
Grid = Mapping[str, Mapping[Column, Estimate]]
PANELS_IN_A_ROW = 3
GROUPS = {name: info.category if info.main else "extra" for name, info in CORRUPTIONS.items()}


@own_look()
def draw(grids: Mapping[str, Grid], columns: Sequence[Column] = (), xlabel: str = "severity") -> Figure:
    """Panels with one colour scale from 0 to 100 %; what was not run stays empty, what is on other images is marked.

    Args:
        grids: what each panel is called -> row -> column -> accuracy. Rows are corruptions, or columns are; a gap
            separates their groups.
        columns: of every panel; the severities that were run where none are given.
    """
    names = in_order(name for grid in grids.values() for name in grid)
    cells = [estimate for grid in grids.values() for row in grid.values() for estimate in row.values()]
    usual = usual_image_set(cells)
    shown: Sequence[Column] = columns or levels_run(grids.values())
    rows = math.ceil(len(grids) / PANELS_IN_A_ROW)
    across = math.ceil(len(grids) / rows)
    width = max(2.7, 0.5 * len(shown))
    aside, upright = (0.07 * max(len(_called(key)) for key in keys) for keys in (names, shown))
    titles = [wrapped(label, width) for label in grids]
    height = 0.27 * len(names) + 0.73 + upright + extra_height(titles)
    figure = new_figure(max(1.6, aside) + width * across, rows * height)
    panels = figure.subplots(rows, across, sharey=True, squeeze=False).ravel()
    for axes, title, grid in zip(panels, titles, grids.values(), strict=False):
        _panel(axes, grid, names, shown, usual)
        axes.set_title(title, loc="left", color=TEXT)
    for axes in panels[len(grids) :]:
        axes.set_visible(False)
    for axes in panels[: len(grids)][-across:]:
        axes.set_xlabel(xlabel)
    if any(one.image_set != usual for one in cells):
        note_below(figure, [OTHERS_NOTE])
    return figure


def _panel(
    axes: Axes, grid: Grid, names: Sequence[str], columns: Sequence[Column], usual: ImageSet | None
) -> None:
    plain(axes, grid=None)
    axes.spines["bottom"].set_visible(False)
    values = np.full((len(names), len(columns)), np.nan)
    for row, name in enumerate(names):
        for column, key in enumerate(columns):
            estimate = grid.get(name, {}).get(key)
            if estimate is not None:
                values[row, column] = 100 * estimate.accuracy
                _write(axes, column, row, estimate.accuracy, "" if estimate.image_set == usual else OTHERS)
    axes.pcolormesh(values, cmap=ACCURACY, vmin=0, vmax=100, edgecolors=GROUND, linewidth=1.2)
    for keys, line in ((names, axes.axhline), (columns, axes.axvline)):
        for place in range(1, len(keys)):
            if _group(keys[place]) != _group(keys[place - 1]):
                line(place, color=GROUND, linewidth=5)
    labels = [_called(column) for column in columns]
    upright = 90 if max(map(len, labels)) > 2 else 0
    axes.set_xticks(np.arange(len(columns)) + 0.5, labels, rotation=upright)
    axes.set_yticks(np.arange(len(names)) + 0.5, [_called(name) for name in names])
    axes.set_ylim(len(names), 0)


def _group(key: Column) -> str | None:
    """Of a corruption; None of anything else."""
    return GROUPS.get(kind(str(key)))


def _called(key: Column) -> str:
    """A corruption in words, anything else by its name."""
    return drawn(str(key).replace("_", " ") if _group(key) else str(key))


def _write(axes: Axes, column: int, row: int, share: float, mark: str) -> None:
    red, green, blue, _ = ACCURACY(share)
    dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.49  # from 63 % on, where white reads better
    # Not the page's text colour: it stands on its square's ground in light and in dark.
    colour = "#ffffff" if dark else "#2b3138"
    text = share_text(share, 0) + mark
    axes.text(column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7.5, color=colour)
