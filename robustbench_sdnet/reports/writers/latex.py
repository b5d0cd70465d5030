"""A document as LaTeX with booktabs tables: complete, and each table ready to be copied into a paper."""

from __future__ import annotations

import re
from collections.abc import Callable

from markupsafe import Markup

from ...wording import visible
from ..document import Document, Figure, Item, Table
from ..numbers import Estimate, Missing
from .templates import environment

_SYNTAX = {"variable_start_string": "<<", "variable_end_string": ">>"}
_SYNTAX |= {"block_start_string": "<%", "block_end_string": "%>", "comment_start_string": "<#"}
_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",  # at the start of a line of a table it would be an option of the line before
    **{character: f"\\{character}" for character in "&%$#_{}"},
}

_LATIN = frozenset("ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿ")


def render(document: Document, picture: Callable[[Figure], str]) -> str:
    """The whole text; `picture` says the address of a figure's file, relative to where the text will lie."""
    page = environment(escape, keep_trailing_newline=True, **_SYNTAX)
    page.filters |= {"picture": lambda figure: Markup(picture(figure)), "row": _row}
    return page.get_template("report.tex").render(document=document)


def escape(text: str) -> str:
    """Text that means itself; characters that a font may not have by their number, so that two names stay two."""
    told = "".join(_character(character) for character in visible(" ".join(text.split())))
    return re.sub("-(?=-)", "-{}", told)  # two hyphens would be set as a dash: no option of a command


def _character(one: str) -> str:
    if one.isascii() or one in _LATIN:
        return _SPECIAL.get(one, one)
    return f"U+{ord(one):04X}"


def _row(items: tuple[Item, ...], table: Table) -> Markup:
    """A line of a table; where intervals stand under their numbers, two."""
    line = " & ".join(_item(item, table) for item in items) + r" \\"
    if not table.stacked or not any(isinstance(item, Estimate) for item in items):
        return Markup(line)
    below = (_interval(item, table) if isinstance(item, Estimate) else "" for item in items)
    # A starred end keeps a number and its interval on one page.
    return Markup(line + "*\n" + " & ".join(below) + r" \\")


def _item(item: Item, table: Table) -> str:
    if not isinstance(item, Estimate):
        return "--" if isinstance(item, Missing) else escape(str(item))
    return item.text if table.stacked else f"{item.text} {_interval(item, table)}"


def _interval(item: Estimate, table: Table) -> str:
    return f"{{\\scriptsize {item.interval('--')}{item.count_beside(table.usual_image_set)}}}"
