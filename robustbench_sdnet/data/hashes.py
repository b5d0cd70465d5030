"""Hashes of large files, noted beside them, so that a file is read for its hash once."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError, WriteError
from ..files import sha256_of, write_whole
from ..reading.structured import read_json

HASHES = "hashes.json"


def stamp(file: Path) -> list[int]:
    """Size and time of change: as long as both stay, a file is taken to be the same."""
    status = file.stat()
    return [status.st_size, status.st_mtime_ns]


def hashed(file: Path) -> dict[str, Any]:
    """The note of a file, which is read. Its stamp is from before: one that is replaced meanwhile is read once more."""
    before = stamp(file)
    return {"sha256": sha256_of(file), "stamp": before}


def read_hashes(folder: Path) -> dict[str, dict[str, Any]]:
    """What `hashes.json` notes of each file; nothing where there is none, or none that can be read."""
    try:
        noted = read_json(folder / HASHES)
    except InputError:
        return {}
    complete = isinstance(noted, dict) and all(
        isinstance(note, dict) and {"sha256", "stamp"} <= note.keys() for note in noted.values()
    )
    return noted if complete else {}


def write_hashes(folder: Path, noted: dict[str, dict[str, Any]]) -> None:
    """Note the files' hashes beside them; a folder that cannot be written goes without."""
    if noted == read_hashes(folder):
        return
    with contextlib.suppress(WriteError):
        write_whole(folder / HASHES, json.dumps(noted, indent=1, sort_keys=True))


def note_hashes(folder: Path, files: Mapping[str, Path]) -> None:
    """Read files of a folder for their hashes and note those, by the names that they have or are given, beside them."""
    notes = {name: hashed(file) for name, file in files.items()}
    write_hashes(folder, {**read_hashes(folder), **notes})
