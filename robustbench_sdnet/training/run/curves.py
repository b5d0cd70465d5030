"""Curves of a run: events for TensorBoard always, and another tracker where one is asked for."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from ...errors import unknown
from ...files import write_whole
from ...tracking import check_wandb, start_wandb

TAGS = {
    "loss": "loss/train",
    "lr": "learning_rate",
    "held_out": "accuracy/held_out",
    "test": "accuracy/test",
    "accuracy": "accuracy/final",
}


class TensorBoard:
    """Events in the run's folder; the file is opened at the first epoch."""

    def __init__(self, folder: Path, parameters: Mapping[str, Any]) -> None:
        self._folder = folder
        self._writer: Any = None

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Add numbers under their tags at a step."""
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            # Events of a run that was killed after its last saved state come again: hide them from there on.
            self._writer = SummaryWriter(str(self._folder), purge_step=step)
        for tag, value in values.items():
            self._writer.add_scalar(tag, value, step)
        self._writer.flush()

    def close(self) -> None:
        """Close the event file."""
        if self._writer is not None:
            self._writer.close()


class Wandb:
    """A run of Weights & Biases; its id lies in the run's folder, so that a resumed run is one there too."""

    def __init__(self, folder: Path, parameters: Mapping[str, Any]) -> None:
        kept = folder / "wandb-id"
        if not kept.is_file():
            write_whole(kept, secrets.token_hex(4))
        self._run = start_wandb(folder, folder.name, parameters, kind="train", run_id=kept.read_text())

    def add(self, values: Mapping[str, float], step: int) -> None:
        """Add numbers under their tags at a step."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """Send or keep what is left."""
        self._run.finish()


TRACKERS: Mapping[str, type[TensorBoard | Wandb]] = MappingProxyType(
    {"tensorboard": TensorBoard, "wandb": Wandb}
)


def check_tracker(name: str) -> None:
    """Refuse a tracker that is unknown or not installed, with an InputError, before any work."""
    if name not in TRACKERS:
        raise unknown("tracker", name, TRACKERS)
    if name == "wandb":
        check_wandb()


class Curves:
    """Writes one point an epoch to TensorBoard and to another tracker, where one is asked for."""

    def __init__(self, folder: Path | None, track: str, parameters: Mapping[str, Any]) -> None:
        """`folder` is the run's, None to write nothing; `track` one of `TRACKERS`; `parameters` those of the run."""
        names = dict.fromkeys(("tensorboard", track))
        self._trackers = [] if folder is None else [TRACKERS[name](folder, parameters) for name in names]

    def add(self, record: Mapping[str, float]) -> None:
        """Add an epoch's record at its step."""
        values = {tag: record[key] for key, tag in TAGS.items() if key in record}
        for tracker in self._trackers:
            tracker.add(values, int(record["step"]))

    def close(self) -> None:
        """End every tracker; once."""
        while self._trackers:
            self._trackers.pop().close()
