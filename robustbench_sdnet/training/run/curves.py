"""TensorBoard events of a run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

TAGS = {"loss": "loss/train", "lr": "learning_rate", "held_out": "accuracy/held_out", "test": "accuracy/test"}


class Curves:
    """Writes one point an epoch into a folder, or nothing for None; the event file is opened at the first one."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._writer: Any = None

    def add(self, record: Mapping[str, float]) -> None:
        """Add an epoch's record at its step."""
        if self._folder is None:
            return
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # Events of a run that was killed after its last saved state are written again: hide them from
            # there on.
            self._writer = SummaryWriter(str(self._folder), purge_step=int(record["step"]))
        for key, tag in TAGS.items():
            if key in record:
                self._writer.add_scalar(tag, record[key], int(record["step"]))
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()
