"""The state of a run on disk: whole or not at all, and the one before it."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from ...errors import TrainingError
from ...files import write_whole

STATE, PREVIOUS = "state.pt", "state-previous.pt"
MAGIC = b"sdnet-bench training state 1 sha256 "


def save_state(folder: Path, state: dict[str, Any]) -> None:
    """Write the state beside the old one, then put it in its place.

    At any moment at least one of the two files is complete, whenever the process is killed.
    """
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getvalue()
    header = MAGIC + hashlib.sha256(content).hexdigest().encode() + b"\n"
    write_whole(folder / STATE, header + content, keep=folder / PREVIOUS)


def load_state(folder: Path, on_damage: Callable[[Path], None] = lambda path: None) -> dict[str, Any] | None:
    """The newest complete state, or None where none was ever saved; TrainingError where every one is damaged.

    `on_damage` is told of a file that is truncated or damaged; the one before it is used.
    """
    found = [path for path in (folder / STATE, folder / PREVIOUS) if path.is_file()]
    for path in found:
        header, _, payload = path.read_bytes().partition(b"\n")
        if header == MAGIC + hashlib.sha256(payload).hexdigest().encode():
            state: dict[str, Any] = torch.load(io.BytesIO(payload), map_location="cpu", weights_only=True)
            return state
        on_damage(path)
    if found:
        raise TrainingError(f"Every saved state in {folder} is damaged. Start again with another --output.")
    return None
