"""Shares side by side: a row a question, a dot with its 95 % interval a subject."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ..numbers import Estimate, usual_image_set
from ..results import distinct
from .style import OTHERS, OTHERS_NOTE, PALETTE, legend_above, new_figure, note_below, own_look, plain


@own_look()
def draw(found: Mapping[str, Mapping[str, Estimate]], xlabel: str) -> Figure:
    """Shares by subject and question: dots a little apart so that none hides another; the axis begins at 0.

    What is on other images than most is marked.
    """
    names = distinct(name for shares in found.values() for name in shares)
    usual = usual_image_set(one for shares in found.values() for one in shares.values())
    others = False
    figure = new_figure(5.6, 0.32 * len(names) + 0.9 + 0.18 * len(found))
    axes = figure.subplots()
    plain(axes, grid="x")
    handles: list[Any] = []
    for position, (label, shares) in enumerate(found.items()):
        apart = 0.56 * ((position + 0.5) / len(found) - 0.5)
        rows = [names.index(name) + apart for name in shares]
        percent = (100 * np.array((one.accuracy, one.low, one.high)) for one in shares.values())
        values, low, high = np.transpose(list(percent))
        sides = [(values - low).tolist(), (high - values).tolist()]
        colour = PALETTE[position % len(PALETTE)]
        # A dot at 0 is a whole one.
        looks: Any = {"fmt": "o", "color": colour, "markersize": 4, "linewidth": 1.2, "clip_on": False}
        for row, one in zip(rows, shares.values(), strict=True):
            if one.image_set != usual:
                others = True
                axes.annotate(
                    OTHERS, (100 * one.high, row), (2, -3), textcoords="offset points", color=colour
                )
        handles += [axes.errorbar(values, rows, xerr=sides, label=label, **looks)]
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.set_xlabel(xlabel)
    if len(found) > 1:
        legend_above(figure, handles)
    if others:
        note_below(figure, [OTHERS_NOTE])
    return figure
