"""The attacks of torchattacks and foolbox and their options, from a table: importing either library imports torch.

The table is of torchattacks 3.5.1 and foolbox 3.3.4; a test compares it with what is installed.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import unknown

LIBRARIES = ("foolbox", "torchattacks")


def library_row(library: str, name: str) -> dict[str, Any]:
    """What is known of a library's attack class, fields of `AttackInfo`; an InputError names the nearest."""
    if library not in LIBRARIES:
        raise unknown("attack library", library, LIBRARIES)
    found = table()[library]
    if name not in found:
        raise unknown(f"{library} attack", name, found)
    return {**found[name], "norms": tuple(found[name]["norms"])}


@cache
def table() -> dict[str, dict[str, dict[str, Any]]]:
    """Library -> attack -> its row."""
    rows: dict[str, dict[str, dict[str, Any]]] = json.loads(
        Path(__file__).with_name("libraries.json").read_text(encoding="utf-8")
    )
    return rows
