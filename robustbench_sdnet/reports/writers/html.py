"""A document as one web page that needs nothing else: figures are inline SVG in the page's own colours.

The page is a Jinja template with autoescape; what a user named is text and nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from jinja2 import Environment, PackageLoader
from markupsafe import Markup, escape as escape_markup

from ...wording import counted, visible
from ..document import Code, Document, Figure, Item, Table
from ..numbers import Estimate, Missing

LONG_TEXT = 40


def render(document: Document, svg: Callable[[Figure], str]) -> str:
    """The whole page; `svg` makes a figure's `<svg>` element."""

    def drawn(figure: Figure) -> Markup:
        label = Markup('<svg role="img" aria-label="{}"').format(escape(figure.alt))
        return Markup(svg(figure).replace("<svg", label, 1))

    page = environment()
    page.filters["drawn"] = drawn
    return page.get_template("report.html").render(document=document)


def environment() -> Environment:
    """Templates of this package; every text is escaped."""
    found = Environment(
        loader=PackageLoader("robustbench_sdnet.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: escape(value) if type(value) is str else value,
    )
    found.filters |= {
        "cell": cell,
        "images": lambda n: counted(n, "image"),
        "file_name": file_name,
        "verbatim": verbatim,
    }
    found.tests |= {
        "table": lambda block: isinstance(block, Table),
        "figure": lambda block: isinstance(block, Figure),
        "code": lambda block: isinstance(block, Code),
    }
    return found


def escape(text: str) -> Markup:
    """Text that means itself, also inside an attribute."""
    return escape_markup(visible(" ".join(text.split())))


def verbatim(text: str) -> Markup:
    """Text that means itself, its lines kept."""
    return escape_markup(visible(text, keep="\n"))


def file_name(text: str) -> str:
    """A text as the name of a file."""
    return re.sub(r"[^A-Za-z0-9.]+", "-", text).strip("-.")[:60] or "table"


def cell(item: Item, left: bool, usual_n: int | None) -> Markup:
    """One `<td>`: a number with its interval below, a dash with its reason, or a text."""
    if isinstance(item, Missing):
        return Markup('<td class="missing" title="{}">-</td>').format(escape(item.reason))
    if not isinstance(item, Estimate):
        text = escape(str(item))
        kinds = [name for name, on in (("left", left), ("long", len(text) > LONG_TEXT)) if on]
        kind = Markup(' class="{}"').format(" ".join(kinds)) if kinds else ""
        return Markup("<td{}>{}</td>").format(kind, text)
    number = f"({item.percent})" if item.transfer else item.percent
    kind = ' class="untrusted"' if item.untrusted else ' class="transfer"' if item.transfer else ""
    mark = '<span class="mark">untrusted</span>' if item.untrusted else ""
    other = f" n={item.n:,}" if item.n != usual_n else ""
    # Numbers alone, which need no escape: this runs once for every cell of every table.
    return Markup(f"<td{kind}>{number}{mark}<small>{item.interval('-')}{other}</small></td>")
