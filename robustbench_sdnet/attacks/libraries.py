"""The attacks of torchattacks and foolbox and their options, from a table: importing either library imports torch.

The table is of torchattacks 3.5.1 and foolbox 3.3.4; a test compares it with what is installed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import unknown

LIBRARIES = ("foolbox", "torchattacks")

Value = bool | int | float | str | None


@dataclass(frozen=True, kw_only=True)
class LibraryAttack:
    """One attack class of a library: its options with their defaults, and what its results mean."""

    norms: tuple[str, ...]
    params: Mapping[str, Value] = field(default_factory=dict)
    minimal_norm: bool = False


def library_attack(library: str, name: str) -> LibraryAttack:
    """An attack class of a library; an InputError names the nearest."""
    if library not in LIBRARIES:
        raise unknown("attack library", library, LIBRARIES)
    found = table()[library]
    if name not in found:
        raise unknown(f"{library} attack", name, found)
    row = dict(found[name])
    return LibraryAttack(**{**row, "norms": tuple(row["norms"])})


@cache
def table() -> dict[str, dict[str, dict[str, Any]]]:
    """Library -> attack -> its row."""
    rows: dict[str, dict[str, dict[str, Any]]] = json.loads(
        Path(__file__).with_name("libraries.json").read_text(encoding="utf-8")
    )
    return rows
