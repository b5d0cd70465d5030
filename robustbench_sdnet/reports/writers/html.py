"""A document as one web page that needs nothing else: figures are inline SVG in the page's own colours."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator
from importlib import resources
from string import Template

from ...wording import counted, visible
from ..document import Document, Figure, Item, Section, Table
from ..numbers import Estimate, Missing

TEMPLATE = "report.html"
LONG_TEXT = 40


def render(document: Document, svg: Callable[[Figure], str]) -> str:
    """The whole page.

    Args:
        svg: from a figure to its `<svg>` element.
    """
    text = (
        resources.files("robustbench_sdnet.reports")
        .joinpath(f"templates/{TEMPLATE}")
        .read_text(encoding="utf-8")
    )
    anchors = [f"section-{number}" for number in range(1, len(document.sections) + 1)]
    contents = (_link(section, anchor) for section, anchor in zip(document.sections, anchors, strict=True))
    body = (
        line
        for section, anchor in zip(document.sections, anchors, strict=True)
        for line in _section(section, anchor, svg)
    )
    return Template(text).substitute(
        title=escape(document.title), contents="\n".join(contents), body="\n".join(body)
    )


def escape(text: str) -> str:
    """Text that means itself, also inside an attribute."""
    return html.escape(visible(" ".join(text.split())))


def _link(section: Section, anchor: str) -> str:
    below = ' class="below"' if section.level > 2 else ""
    return f'<a href="#{anchor}"{below}>{escape(section.title)}</a>'


def _section(section: Section, anchor: str, svg: Callable[[Figure], str]) -> Iterator[str]:
    title = escape(section.title)
    if section.folded:
        yield f'<details id="{anchor}"><summary>{title}</summary>'
    else:
        yield f'<h{section.level} id="{anchor}">{title}</h{section.level}>'
    for block in section.blocks:
        if isinstance(block, Table):
            yield from table_lines(block)
        elif isinstance(block, Figure):
            label = f'<svg role="img" aria-label="{escape(block.alt)}"'
            yield f"<figure><figcaption>{escape(block.title)}</figcaption>"
            yield svg(block).replace("<svg", label, 1)
            yield "</figure>"
        else:
            yield f"<p>{escape(block)}</p>"
    if section.folded:
        yield "</details>"


def table_lines(table: Table) -> Iterator[str]:
    """The table in a box that scrolls sideways by itself, its notes and number of images below."""
    yield '<div class="wide"><table>'
    if table.title:
        yield f"<caption>{escape(table.title)}</caption>"
    heads = (f"<th{_side(table, i)}>{escape(name)}</th>" for i, name in enumerate(table.columns))
    yield f"<thead><tr>{''.join(heads)}</tr></thead><tbody>"
    for items in table.rows:
        yield f"<tr>{''.join(_cell(item, table, i) for i, item in enumerate(items))}</tr>"
    yield "</tbody></table></div>"
    notes = [f"n = {counted(table.usual_n, 'image')}."] if table.usual_n else []
    notes += table.notes
    if notes:
        yield f'<ul class="notes">{"".join(f"<li>{escape(note)}</li>" for note in notes)}</ul>'


def _side(table: Table, column: int) -> str:
    return ' class="left"' if column in table.left else ""


def _cell(item: Item, table: Table, column: int) -> str:
    if isinstance(item, Missing):
        return f'<td class="missing" title="{escape(item.reason)}">-</td>'
    if not isinstance(item, Estimate):
        text = str(item)
        kinds = [name for name, on in (("left", column in table.left), ("long", len(text) > LONG_TEXT)) if on]
        kind = f' class="{" ".join(kinds)}"' if kinds else ""
        return f"<td{kind}>{escape(text)}</td>"
    number = f"({item.percent})" if item.transfer else item.percent
    kind = ' class="untrusted"' if item.untrusted else ' class="transfer"' if item.transfer else ""
    mark = '<span class="mark">untrusted</span>' if item.untrusted else ""
    other = f" n={item.n:,}" if item.n != table.usual_n else ""
    return f"<td{kind}>{number}{mark}<small>{item.interval('-')}{other}</small></td>"
