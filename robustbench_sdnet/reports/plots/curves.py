"""Small multiples of accuracy curves with 95 % bands: one panel a question, one line a condition."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ...wording import natural
from ..numbers import Estimate
from .style import (
    FAINT,
    LETTER,
    LINES,
    MARGIN,
    TEXT,
    drawn,
    extra_height,
    legend_above,
    new_figure,
    note_below,
    own_look,
    plain,
    wrapped,
)

Colour = str | tuple[float, float, float, float]
Item = TypeVar("Item")
Point = tuple[float, Estimate]
NARROWEST = 2.0  # inches of an axis
DASHES, CROSS = (0, (4, 2)), "x"  # of a reference


@dataclass(frozen=True)
class Line:
    """Accuracies along the axis of a panel.

    Attributes:
        points: position -> accuracy; a text (a lambda policy) stands to the right of all, unconnected. Points on
            other images than the one before are not joined with it.
        faint: a reference (random noise, clean images), dashed and without a band; a cross where it joins nothing.
        steps: accuracy is known at every position, and changes at `points` alone: a staircase, with one dot at its end.
    """

    label: str
    points: tuple[tuple[float | str, Estimate], ...]
    colour: Colour
    faint: bool = False
    steps: bool = False


@dataclass(frozen=True)
class Panel:
    """One pair of axes; `xlabel` says what the horizontal one shows, `end` where it ends, if not at the last point."""

    title: str
    xlabel: str
    lines: tuple[Line, ...]
    end: float | None = None


@own_look()
def draw(panels: Sequence[Panel], *, columns: int = 4) -> Figure:
    """Panels in a grid, at most `columns` side by side, one legend above; accuracy runs from 0 to 100 %."""
    columns = min(columns, len(panels))
    rows = math.ceil(len(panels) / columns)
    columns = math.ceil(len(panels) / rows)  # no row with a single panel where two rows can share
    width = 4.6 if columns == 1 else 2.5 * columns + 0.6 if columns > 2 else 3.7 * columns
    height = 2.9 if columns == 1 else 2.25 if columns > 2 else 2.8
    # Names of policies stand upright below the axis: they must not eat the panel.
    names = {x for panel in panels for line in panel.lines for x, _ in line.points if isinstance(x, str)}
    height += 0.07 * max((len(drawn(_brief(name))) for name in names), default=0)
    titles = [wrapped(panel.title, width / columns - MARGIN) for panel in panels]
    figure = new_figure(width, (height + extra_height(titles)) * rows + 0.5)
    grid = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes, panel, title in zip(grid, panels, titles, strict=False):
        _panel(axes, panel)
        axes.set_title(title, loc="left", color=TEXT)
    for position, axes in enumerate(grid):
        if position >= len(panels):
            axes.set_visible(False)
        elif position % columns == 0:
            axes.set_ylabel("accuracy, %")
        lowest = position >= len(panels) - columns
        if position < len(panels) and (lowest or len({panel.xlabel for panel in panels}) > 1):
            axes.set_xlabel(panels[position].xlabel)
    _legend(figure, panels)
    _notes(figure, panels, names)
    return figure


def _panel(axes: Axes, panel: Panel) -> None:
    plain(axes)
    axes.spines["bottom"].set_visible(False)
    numbers = sorted({x for line in panel.lines for x, _ in line.points if not isinstance(x, str)})
    names = sorted({x for line in panel.lines for x, _ in line.points if isinstance(x, str)}, key=natural)
    span = (numbers[-1] - numbers[0]) if len(numbers) > 1 else 1.0
    last = numbers[-1] if numbers else 0.0
    places = {name: last + span * 0.16 * (index + 1) for index, name in enumerate(names)}
    for line in panel.lines:
        _line(axes, line, places)
    if places and numbers:
        axes.axvline(last + span * 0.08, color=LINES, linewidth=0.8)
    axes.set_ylim(-2, 102)
    axes.set_yticks(range(0, 101, 20))
    axes.margins(x=0.04)
    if panel.end:
        axes.set_xlim(-0.04 * panel.end, 1.04 * panel.end)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        return
    shown = _apart(_thinned(numbers), span + max(places.values(), default=last) - last)
    axes.set_xticks(
        [*shown, *places.values()], [*(f"{x:g}" for x in shown), *(drawn(_brief(name)) for name in places)]
    )
    for label in axes.get_xticklabels()[len(shown) :]:
        label.set(rotation=90, fontsize=7.5)


def _brief(name: str) -> str:
    """The name of a policy below the axis: what is said of it in brackets stands once, below all panels."""
    return name.partition(" (")[0]


def _line(axes: Axes, line: Line, places: dict[str, float]) -> None:
    apart = [(places[x], value) for x, value in line.points if isinstance(x, str)]
    pieces = _pieces(line)
    if line.faint:
        _reference(axes, pieces, apart, line.colour)
        return
    for piece in pieces:
        xs = [x for x, _ in piece]
        heights, low, high = (
            [100 * getattr(value, what) for _, value in piece] for what in ("accuracy", "low", "high")
        )
        course = "steps-post" if line.steps else "default"
        axes.plot(xs, heights, color=line.colour, linestyle="-", linewidth=1.7, drawstyle=course)
        step: Any = "post" if line.steps else None
        axes.fill_between(xs, low, high, color=line.colour, alpha=0.2, linewidth=0, step=step)
        if len(piece) == 1 or line.steps:  # no band is seen there
            axes.plot(xs[-1:] * 2, [low[-1], high[-1]], color=line.colour, linewidth=1.4, alpha=0.6)
    for x, value in apart:
        axes.plot([x, x], [100 * value.low, 100 * value.high], color=line.colour, linewidth=1.4, alpha=0.6)
    for untrusted, face in ((False, line.colour), (True, "none")):
        points = (*(point for piece in pieces for point in piece), *apart)
        dots: Sequence[tuple[float, float]] = [
            (x, 100 * value.accuracy) for x, value in points if value.untrusted == untrusted
        ]
        if line.steps:  # too many for a dot each; the last stands for a tread that has no length
            dots = _thinned(dots) if untrusted else dots[-1:]
        if dots:
            axes.plot(*zip(*dots, strict=True), "o", color=line.colour, markerfacecolor=face, markersize=3.2)


def _reference(axes: Axes, pieces: Sequence[Sequence[Point]], apart: Sequence[Point], colour: Colour) -> None:
    """Dashed, with a cross where a point is joined with none: no dot, which would be taken for one of a curve."""
    for piece in pieces:
        xs, heights = zip(*((x, 100 * value.accuracy) for x, value in piece), strict=True)
        axes.plot(xs, heights, color=colour, linestyle=DASHES, linewidth=1.1)
    for x, value in (*_alone(pieces), *apart):
        axes.plot([x], [100 * value.accuracy], CROSS, color=colour, markersize=4.5)


def _pieces(line: Line) -> list[list[Point]]:
    """The numbers of a line in order, cut where the images change."""
    curve = sorted(((x, value) for x, value in line.points if not isinstance(x, str)), key=itemgetter(0))
    return [list(same) for _, same in groupby(curve, key=lambda point: point[1].image_set)]


def _alone(pieces: Iterable[Sequence[Point]]) -> list[Point]:
    """Those that are joined with none."""
    return [piece[0] for piece in pieces if len(piece) == 1]


def _crossed(line: Line) -> bool:
    """Whether a reference has a point that is joined with none."""
    return any(isinstance(x, str) for x, _ in line.points) or bool(_alone(_pieces(line)))


def _uneven(panel: Panel) -> bool:
    """Whether some of its lines are of other images than others."""
    return (
        len({frozenset(value.image_set for _, value in line.points) for line in panel.lines if line.points})
        > 1
    )


def _thinned(items: Sequence[Item]) -> Sequence[Item]:
    """At most five of them, evenly spread, the first and the last among them."""
    if len(items) <= 5:
        return items
    return [items[round(index * (len(items) - 1) / 4)] for index in range(5)]


def _apart(numbers: Sequence[float], width: float) -> list[float]:
    """Without those whose text would run into that of another on an axis so wide; the first and the last stay."""

    def fit(left: float, right: float) -> bool:
        letters = (len(f"{left:g}") + len(f"{right:g}")) / 2
        return (right - left) / width > (LETTER * letters + 0.1) / NARROWEST

    kept = list(numbers[:1])
    for x in numbers[1:-1]:
        if fit(kept[-1], x) and fit(x, numbers[-1]):
            kept.append(x)
    return [*kept, *numbers[1:][-1:]]


def _legend(figure: Figure, panels: Sequence[Panel]) -> None:
    found: dict[str, list[Line]] = {}
    # The fullest panel first: where one lacks a severity, the others still say in which order they come.
    for panel in sorted(panels, key=lambda panel: -len(panel.lines)):
        for line in panel.lines:
            found.setdefault(line.label, []).append(line)
    handles = []
    for label, lines in sorted(found.items(), key=lambda item: item[1][0].faint):
        # One entry for what has the same name in several colours, as random noise beside every model has.
        colour = lines[0].colour if len({line.colour for line in lines}) == 1 else FAINT
        looks: dict[str, Any] = {"linestyle": (0, (3, 1.5))} if lines[0].faint else {}
        if lines[0].faint and any(_crossed(line) for line in lines):
            looks |= {"marker": CROSS, "markersize": 4.5}
        handles.append(Line2D([], [], color=colour, linewidth=1.6, label=label, **looks))
    if any(value.untrusted for panel in panels for line in panel.lines for _, value in line.points):
        handles.append(
            Line2D([], [], color=FAINT, marker="o", markerfacecolor="none", linestyle="", label="untrusted")
        )
    legend_above(figure, handles)


def _notes(figure: Figure, panels: Sequence[Panel], names: Iterable[str]) -> None:
    notes = sorted(name for name in names if name != _brief(name))
    if any(len(_pieces(line)) > 1 for panel in panels for line in panel.lines):
        notes.append("gap: on other images")
    if any(map(_uneven, panels)):
        notes.append("not every line is on the same images")
    if notes:
        note_below(figure, notes)
