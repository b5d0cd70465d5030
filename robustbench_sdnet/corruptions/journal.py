"""Which pieces of a generated data set are on disk, so that a run that was killed goes on where it was."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.lib import format as npy

from ..data.published_folder import JOURNAL, LONGEST
from ..errors import InputError
from ..reading.structured import read_lines
from ..specs import SEVERITIES
from .registry import CORRUPTIONS, corruption_info


@dataclass(frozen=True, slots=True)
class Task:
    """Images [start, stop) under one corruption at one severity."""

    corruption: str
    severity: int
    start: int
    stop: int


class Journal:
    """Which pieces of which corruptions are on disk, one JSON line each, after a line that identifies the run."""

    def __init__(self, folder: Path, identity: dict[str, Any], data: str) -> None:
        self.folder, self.shape = folder, identity["shape"]
        self._path = folder / JOURNAL
        self._done: set[tuple[str, int, int]] = set()
        lines = read_lines(self._path, limit=LONGEST) if self._path.exists() else []
        if not lines:
            if any(folder.glob("*.npy")):
                raise InputError(
                    f"{folder} holds .npy files that were not generated here. Choose another folder."
                )
            self._append({**identity, "data": data})
        elif not isinstance(lines[0], dict) or {**lines[0], "data": ""} != {**identity, "data": ""}:
            raise InputError(
                f"{folder} holds corruptions of other images, or with another limit, seed or table. Choose another "
                "folder."
            )
        for line in lines[1:]:
            match line:
                case [str(name), int(version), int(severity), int(start)]:
                    self._done.discard((name, severity, start))  # the last version to write a piece is there
                    if name in CORRUPTIONS and version == self._version(name):
                        self._done.add((name, severity, start))
                case [str(name)]:
                    self._done = {done for done in self._done if done[0] != name}

    def has(self, task: Task) -> bool:
        """Whether a piece is on disk."""
        there = map(self.is_whole, (self.part(task.corruption), self.file(task.corruption)))
        return any(there) and (task.corruption, task.severity, task.start) in self._done

    def is_whole(self, path: Path) -> bool:
        """Whether a file of a corruption is there, and not cut off."""
        header, shape = io.BytesIO(), (len(SEVERITIES) * self.shape[0], *self.shape[1:])
        npy.write_array_header_1_0(header, {"descr": "|u1", "fortran_order": False, "shape": shape})
        return path.is_file() and path.stat().st_size == header.tell() + math.prod(shape)

    def begin(self, corruption: str) -> None:
        """Note that a corruption begins: what was on disk of it is gone."""
        self._append([corruption])

    def add(self, task: Task) -> None:
        """Note a piece that is on disk."""
        self._done.add((task.corruption, task.severity, task.start))
        self._append([task.corruption, self._version(task.corruption), task.severity, task.start])

    def _version(self, corruption: str) -> int:
        return corruption_info(corruption).version_at(*self.shape[1:3])

    def file(self, corruption: str) -> Path:
        """Where a complete corruption lies."""
        return self.folder / f"{corruption}.npy"

    def part(self, corruption: str) -> Path:
        """Where a corruption grows."""
        return self.folder / f".{corruption}.npy.part"

    def _append(self, value: Any) -> None:
        with self._path.open("a") as file:
            # A line that was cut off by a kill must not swallow this one.
            file.write(f"\n{json.dumps(value)}\n" if file.tell() else f"{json.dumps(value)}\n")
