"""Templates of this package, in which every text is one, and nothing else, as a format writes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import Environment, PackageLoader
from markupsafe import Markup

from ..document import Code, Figure, Table


def environment(escape: Callable[[str], str], **syntax: Any) -> Environment:
    """Templates whose texts pass `escape`; what is `Markup` stands as it is. `syntax` goes to Jinja."""
    found = Environment(
        loader=PackageLoader("robustbench_sdnet.reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: Markup(escape(value)) if type(value) is str else value,
        **syntax,
    )
    found.tests |= {
        "table": lambda block: isinstance(block, Table),
        "figure": lambda block: isinstance(block, Figure),
        "code": lambda block: isinstance(block, Code),
    }
    return found
