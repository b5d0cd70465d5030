"""A document as one web page that needs nothing else: figures are inline SVG in the page's own colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jinja2 import Environment
from markupsafe import Markup, escape as escape_markup

from ...wording import visible
from ..document import Document, Figure, Item, Table, plain
from ..numbers import Estimate, ImageSet, Missing
from . import templates

DOUBT = " untrusted"
_MARK = Markup(' <span class="mark">untrusted</span>')
LONG_TEXT = 30  # letters of a cell: longer ones break where a table is wider than the window


def render(document: Document, svg: Callable[[Figure], str]) -> str:
    """The whole page; `svg` makes a figure's `<svg>` element."""
    label = Markup('<svg role="img" aria-label="{}"')
    page, places = environment(), {id(one): place for place, one in enumerate(document.sections, 1)}
    page.filters["anchor"] = lambda one: f"section-{places[id(one)]}"
    page.filters["drawn"] = lambda one: Markup(svg(one).replace("<svg", label.format(escape(one.alt)), 1))
    return page.get_template("report.html").render(document=document)


def environment() -> Environment:
    """Templates of this package; every text is escaped."""
    found = templates.environment(escape)
    found.filters |= {"cells": cells, "file_name": lambda text: plain(text)[:60], "verbatim": verbatim}
    return found


def escape(text: str) -> Markup:
    """Text that means itself, also inside an attribute."""
    return escape_markup(visible(" ".join(text.split())))


def verbatim(text: str) -> Markup:
    """Text that means itself, its lines kept."""
    return escape_markup(visible(text, keep="\n"))


def cells(row: Sequence[Item], table: Table) -> Markup:
    """A line of a table."""
    return Markup(
        "".join(_cell(item, place in table.left, table.usual_image_set) for place, item in enumerate(row))
    )


def _cell(item: Item, left: bool, usual: ImageSet | None) -> str:
    """One `<td>`: a number with its interval below, a dash with its reason, or a text.

    What is put together here is escaped, or numbers alone; `Markup.format` would look again, at every cell of a report.
    """
    if isinstance(item, Missing):
        return f'<td class="missing" title="{escape(item.reason)}">-</td>'
    if not isinstance(item, Estimate):
        text = escape(str(item))
        kinds = [name for name, on in (("left", left), ("long", len(text) > LONG_TEXT)) if on]
        kind = f' class="{" ".join(kinds)}"' if kinds else ""
        number, marked, beside = ("", "", "") if left else text.partition(DOUBT)
        return f"<td{kind}>{number or text}{_MARK + beside if marked else ''}</td>"
    number = f"({item.percent})" if item.transfer else item.percent
    kind = ' class="untrusted"' if item.untrusted else ' class="transfer"' if item.transfer else ""
    mark = _MARK if item.untrusted else ""
    return f"<td{kind}>{number}{mark}<small>{item.interval()}{item.count_beside(usual)}</small></td>"
