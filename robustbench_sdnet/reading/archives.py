"""Zip archives from outside; apart from `paths`, since help and usage errors need no archive and no NumPy."""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from pathlib import Path

# What Python's and NumPy's readers make of damaged and hostile archives, arrays and headers.
BROKEN = (
    *(zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, tokenize.TokenError, EOFError, OSError),
    *(SyntaxError, ValueError, KeyError, TypeError, OverflowError, RuntimeError, MemoryError),
)


def members(path: Path) -> tuple[str, ...]:
    """The names in a zip archive whose checksums hold; none for any other file."""
    try:
        with zipfile.ZipFile(path) as archive:
            return tuple(archive.namelist()) if archive.testzip() is None else ()
    except BROKEN:
        return ()
