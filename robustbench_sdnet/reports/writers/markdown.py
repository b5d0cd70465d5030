"""A document as GitHub-flavoured Markdown whose tables also line up in a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator

from markupsafe import Markup
from tabulate import tabulate

from ...wording import visible
from ..document import Document, Figure, Item, Table
from ..numbers import Estimate, Missing
from .templates import environment

WIDTH = 110


def render(document: Document, picture: Callable[[Figure], str]) -> str:
    """The whole text; `picture` says the address of a figure's file, relative to where the text will lie."""
    page = environment(escape)
    page.filters |= {
        "wrapped": lambda text: Markup("\n".join(map(_no_block, textwrap.wrap(escape(text), WIDTH)))),
        "lines": lambda table: Markup("\n".join(table_lines(table))),
        "picture": lambda figure: Markup(picture(figure)),
        # No fence that a name could close.
        "indented": lambda code: Markup("\n".join(f"    {visible(line)}" for line in code.text.split("\n"))),
    }
    return page.get_template("report.md").render(document=document).rstrip() + "\n"


def escape(text: str) -> str:
    """Text that means itself: no markup, HTML, formulas or table borders; underscores inside words stay as they are."""
    text = re.sub(r"([\\`*|<>\[\]&~$])", r"\\\1", visible(" ".join(text.split())))
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)


def _no_block(line: str) -> str:
    """A line that begins no heading or list and is no rule; what begins with a number or a sign stays."""
    return re.sub(r"^(\d{0,9})([#+=.)-])(?=#*(?:\s|$)|[=-]+\s*$)", r"\1\\\2", line)


def table_lines(table: Table) -> Iterator[str]:
    """The table, its title above, its notes and number of images below."""
    if table.title:
        yield f"**{escape(table.title)}**"
        yield ""
    rows = [row for items in table.rows for row in _rows(items, table)]
    sides = ["left" if column in table.left else "right" for column in range(len(table.columns))]
    heads = list(map(escape, table.columns))
    yield from tabulate(rows, heads, tablefmt="pipe", colalign=sides, disable_numparse=True).splitlines()
    if table.footnotes:
        yield ""
    for note in table.footnotes:
        lines = textwrap.wrap(escape(note), WIDTH - 2, break_long_words=False)
        yield from (f"{'  ' if place else '- '}{_no_block(line)}" for place, line in enumerate(lines))


def _rows(items: tuple[Item, ...], table: Table) -> Iterator[list[str]]:
    """A line of a table; where intervals stand under their numbers, two."""
    yield [_text(item, table) for item in items]
    if table.stacked and any(isinstance(item, Estimate) for item in items):
        yield [
            i.interval() + i.count_beside(table.usual_image_set) if isinstance(i, Estimate) else ""
            for i in items
        ]


def _text(item: Item, table: Table) -> str:
    if not isinstance(item, Estimate):
        return "-" if isinstance(item, Missing) else escape(str(item))
    beside = f" [{item.interval(', ')}]{item.count_beside(table.usual_image_set)}"
    return item.text if table.stacked else item.text + beside
