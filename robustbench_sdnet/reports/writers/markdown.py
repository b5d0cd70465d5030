"""A document as GitHub-flavoured Markdown whose tables also line up in a terminal."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Callable, Iterator

from tabulate import tabulate

from ...wording import visible
from ..document import Code, Document, Figure, Item, Section, Table
from ..numbers import Estimate, Missing

WIDTH = 110


def render(document: Document, picture: Callable[[Figure], str]) -> str:
    """The whole text; `picture` says the address of a figure's file, relative to where the text will lie."""
    lines = [f"# {escape(document.title)}", ""]
    for sentence in document.lead:
        lines += [*textwrap.wrap(escape(sentence), WIDTH), ""]
    for section in document.sections:
        lines += _section(section, picture)
    return "\n".join(lines).rstrip() + "\n"


def escape(text: str) -> str:
    """Text that means itself: no markup, HTML or table borders. Underscores inside words stay as they are."""
    text = re.sub(r"([\\`*|<>\[\]])", r"\\\1", visible(" ".join(text.split())))
    return re.sub(r"(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\_", text)


def _section(section: Section, picture: Callable[[Figure], str]) -> Iterator[str]:
    yield f"{'#' * section.level} {escape(section.title)}"
    yield ""
    if section.folded:
        yield "<details><summary>Open</summary>"
        yield ""
    for block in section.blocks:
        if isinstance(block, Table):
            yield from table_lines(block)
        elif isinstance(block, Figure):
            yield f"![{escape(block.alt)}](<{picture(block)}>)"
            for table in block.tables:
                yield ""
                yield from table_lines(table)
        elif isinstance(block, Code):
            # Indented: no fence that a name could close.
            yield from (f"    {visible(line)}" for line in block.text.split("\n"))
        else:
            yield from textwrap.wrap(escape(block), WIDTH)
        yield ""
    if section.folded:
        yield "</details>"
        yield ""


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
        yield from textwrap.wrap(f"- {escape(note)}", WIDTH, subsequent_indent="  ", break_long_words=False)


def _rows(items: tuple[Item, ...], table: Table) -> Iterator[list[str]]:
    """A line of a table; where intervals stand under their numbers, two."""
    yield [_text(item, table) for item in items]
    if table.stacked and any(isinstance(item, Estimate) for item in items):
        n = table.usual_n
        yield [i.interval() + i.count_beside(n) if isinstance(i, Estimate) else "" for i in items]


def _text(item: Item, table: Table) -> str:
    if not isinstance(item, Estimate):
        return "-" if isinstance(item, Missing) else escape(str(item))
    beside = f" [{item.interval(', ')}]{item.count_beside(table.usual_n)}"
    return item.text if table.stacked else item.text + beside
