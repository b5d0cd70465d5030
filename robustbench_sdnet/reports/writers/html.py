"""A document as one web page that needs nothing else: figures are inline SVG in the page's own colours."""

from __future__ import annotations

from collections.abc import Callable

from jinja2 import Environment
from markupsafe import Markup, escape as escape_markup

from ...wording import visible
from ..document import Document, Figure, Item, plain
from ..numbers import Estimate, Missing
from . import templates

DOUBT = " untrusted"
_MARK = Markup(' <span class="mark">untrusted</span>')
LONG_TEXT = 30  # letters of a cell: longer ones break where a table is wider than the window


def render(document: Document, svg: Callable[[Figure], str]) -> str:
    """The whole page; `svg` makes a figure's `<svg>` element."""
    label = Markup('<svg role="img" aria-label="{}"')
    page = environment()
    page.filters["drawn"] = lambda one: Markup(svg(one).replace("<svg", label.format(escape(one.alt)), 1))
    return page.get_template("report.html").render(document=document)


def environment() -> Environment:
    """Templates of this package; every text is escaped."""
    found = templates.environment(escape)
    found.filters |= {"cell": cell, "file_name": lambda text: plain(text)[:60], "verbatim": verbatim}
    return found


def escape(text: str) -> Markup:
    """Text that means itself, also inside an attribute."""
    return escape_markup(visible(" ".join(text.split())))


def verbatim(text: str) -> Markup:
    """Text that means itself, its lines kept."""
    return escape_markup(visible(text, keep="\n"))


def cell(item: Item, left: bool, usual: tuple[int, str] | None) -> Markup:
    """One `<td>`: a number with its interval below, a dash with its reason, or a text."""
    if isinstance(item, Missing):
        return Markup('<td class="missing" title="{}">-</td>').format(escape(item.reason))
    if not isinstance(item, Estimate):
        text = escape(str(item))
        kinds = [name for name, on in (("left", left), ("long", len(text) > LONG_TEXT)) if on]
        kind = Markup(' class="{}"').format(" ".join(kinds)) if kinds else ""
        number, marked, beside = ("", "", "") if left else text.partition(DOUBT)
        return Markup("<td{}>{}{}</td>").format(kind, number or text, _MARK + beside if marked else "")
    number = f"({item.percent})" if item.transfer else item.percent
    kind = ' class="untrusted"' if item.untrusted else ' class="transfer"' if item.transfer else ""
    mark = _MARK if item.untrusted else ""
    # Numbers and ranges alone, which need no escape: this runs once for every cell of every table.
    return Markup(f"<td{kind}>{number}{mark}<small>{item.interval()}{item.count_beside(usual)}</small></td>")
