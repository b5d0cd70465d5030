"""One look for every figure, and figures as bytes that depend on what they show alone."""

from __future__ import annotations

import io
import math
import re
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from textwrap import fill
from typing import Any, Literal

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from ...wording import visible

TEXT = "#39404a"
FAINT = "#8a919c"
LINES = "#d9dde3"
LONGEST_DRAWN = 60  # letters of a name
DPI = 160  # pixels an inch of a PNG
# In inches, about: a letter, a line, a legend's mark with its gaps, and what lies between two panels.
LETTER, LINE, HANDLE, MARGIN = 0.075, 0.16, 0.6, 0.4
OTHERS = "*"  # beside a number on other images than most of its figure's
OTHERS_NOTE = f"{OTHERS} on other images than most"
# White on paper, the page's own ground on a page; a level off, so that it is not taken for white text.
GROUND = "#fffffe"
# Told apart by people with any colour vision, on white and on dark ground; the test has the arithmetic.
PALETTE = ("#3b74ba", "#d9682b", "#2f9473", "#bc0505", "#9696fa", "#bb1482", "#4d6052", "#db87ae")
# Growing strength of a perturbation: severity 1 to 5, or eps.
RAMP = LinearSegmentedColormap.from_list("strength", ("#f0b429", "#ee8a3a", "#dd5f4b", "#b9426a", "#7d4a9c"))
ACCURACY = LinearSegmentedColormap.from_list(
    "accuracy", ("#fbf3e4", "#d5e5cf", "#8cc5b0", "#459aa0", "#27677f", "#173f5f")
)
# Where they differ from matplotlib's own defaults.
RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.labelsize": 9.0,
    "svg.hashsalt": "sdnet-bench",
    "svg.fonttype": "path",
    "text.parse_math": False,  # names are drawn as they are, dollar signs too
}


@contextmanager
def own_look() -> Iterator[None]:
    """A context, and a decorator, in which figures look alike whatever a matplotlibrc or a notebook has set."""
    with matplotlib.style.context(RC, after_reset=True), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font", UserWarning)  # drawn as a box
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, its size in inches."""
    layout = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06)
    figure = Figure(figsize=(width, height), layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def plain(axes: Axes, *, grid: Literal["x", "y"] | None = "y") -> None:
    """No frame, thin lines along one axis or none, quiet text."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(LINES)
    axes.tick_params(length=0, colors=TEXT, labelsize=8.5)
    for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
        text.set_color(TEXT)
    if grid:
        axes.grid(axis=grid, color=LINES, linewidth=0.7)
        axes.set_axisbelow(True)


def drawn(name: str) -> str:
    """A name as figures draw it: without characters that have no shape, and cut where it would fill the figure."""
    return visible(name if len(name) <= LONGEST_DRAWN else f"{name[:LONGEST_DRAWN]}...")


def wrapped(name: str, inches: float) -> str:
    """A name as figures draw it, in as many lines as so wide a place needs."""
    return fill(drawn(name), max(int(inches / LETTER), 8))


def extra_height(names: Iterable[str]) -> float:
    """Inches that the lines of the longest of wrapped names take beyond its first."""
    return LINE * max((name.count("\n") for name in names), default=0)


def legend_above(figure: Figure, handles: Sequence[Any]) -> None:
    """One legend above all panels, in as few rows as its labels leave room for; long ones are wrapped."""
    width = figure.get_figwidth()
    for handle in handles:
        handle.set_label(wrapped(str(handle.get_label()), width - HANDLE))
    looks: Any = {"frameon": False, "fontsize": 8.5, "handlelength": 1.8, "labelcolor": TEXT}
    # As many columns as fill their rows: the last is as full as the others, or nearly.
    for columns in dict.fromkeys(math.ceil(len(handles) / rows) for rows in range(1, len(handles) + 1)):
        legend = figure.legend(handles=handles, loc="outside upper left", ncols=columns, **looks)
        size = legend.get_window_extent()
        if size.width <= figure.bbox.width or columns == 1:
            break
        legend.remove()
    # Two lines have their room already; what more there are must not be taken from the panels.
    figure.set_figheight(figure.get_figheight() + max(size.height / figure.dpi - 0.5, 0))


def note_below(figure: Figure, notes: Sequence[str]) -> None:
    """Lines below all panels, for what has no mark of its own in the legend."""
    lines = [line for note in notes for line in wrapped(note, figure.get_figwidth()).splitlines()]
    figure.set_figheight(figure.get_figheight() + LINE * (len(lines) + 0.5))
    figure.supxlabel("\n".join(lines), x=0.01, ha="left", fontsize=8.5, color=TEXT)


def strength(position: int, count: int) -> tuple[float, float, float, float]:
    """The colour of the `position`-th of `count` growing strengths."""
    return RAMP(position / max(count - 1, 1))


def to_png(figure: Figure, dpi: int = DPI) -> bytes:
    """The figure as PNG bytes on white."""
    return _save(figure, "png", dpi=dpi, metadata={"Software": None})


def to_pdf(figure: Figure) -> bytes:
    """The figure as PDF bytes, without a date."""
    return _save(figure, "pdf", metadata={"Creator": None, "Producer": None, "CreationDate": None})


def to_svg_file(figure: Figure) -> bytes:
    """The figure as an SVG file of its own, without a date."""
    return _save(figure, "svg", metadata={"Creator": None, "Date": None})


def to_svg(figure: Figure, name: str) -> str:
    """The figure as an `<svg>` element to stand in a page: no ground of its own, text in the page's colour.

    Args:
        name: unique in the page; keeps the identifiers of two figures apart.
    """
    metadata = {"Creator": None, "Date": None, "Format": None, "Type": None}
    text = _save(figure, "svg", transparent=True, metadata=metadata).decode()
    text = text[text.index("<svg") :]
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'\s(?:xmlns(?::\w+)?|version)="[^"]*"', "", text)
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    # Its own width is the widest, and three quarters of it the narrowest (a point is 4/3 pixels): letters are of one
    # size in all figures where there is room, and can be read where there is none. A height would keep its height.
    narrow = r'\1 style="min-width: \g<2>px"'
    text = re.sub(r'(<svg width="([\d.]+)pt") height="[^"]*"', narrow, text, count=1)
    for colour, variable in ((TEXT, "--text"), (FAINT, "--faint"), (LINES, "--lines"), (GROUND, "--ground")):
        text = text.replace(colour, f"var({variable})")
    return text


def _save(figure: Figure, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with own_look():
        figure.savefig(buffer, format=kind, **options)
    return buffer.getvalue()
