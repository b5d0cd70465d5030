"""Curves of a run: events for TensorBoard always, and another tracker where one is asked for."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from pathlib import Path
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


TRACKERS = ("tensorboard", "wandb")


def check_tracker(name: str) -> None:
    """Refuse a tracker that is unknown or not installed, with an InputError, before any work."""
    if name not in TRACKERS:
        raise unknown("tracker", name, TRACKERS)
    if name == "wandb":
        check_wandb()


class Curves:
    """Writes one point an epoch: events into the run's folder, and to Weights & Biases where that is asked for."""

    def __init__(self, folder: Path | None, track: str, parameters: Mapping[str, Any]) -> None:
        """`folder` is the run's, None to write nothing; `track` one of `TRACKERS`; `parameters` those of the run."""
        self._folder = folder
        self._events: Any = None  # opened at the first epoch
        self._run: Any = None
        if folder is not None and track == "wandb":
            kept = folder / "wandb-id"  # so that a resumed run is one there too
            if not kept.is_file():
                write_whole(kept, secrets.token_hex(4))
            self._run = start_wandb(folder, folder.name, parameters, kind="train", run_id=kept.read_text())

    def add(self, record: Mapping[str, float]) -> None:
        """Add an epoch's record at its step."""
        if self._folder is None:
            return
        step = int(record["step"])
        values = {tag: record[key] for key, tag in TAGS.items() if key in record}
        if self._events is None:
            from torch.utils.tensorboard import SummaryWriter

            # Events of a run that was killed after its last saved state come again: hide them from there on.
            self._events = SummaryWriter(str(self._folder), purge_step=step)
        for tag, value in values.items():
            self._events.add_scalar(tag, value, step)
        self._events.flush()
        if self._run is not None:
            self._run.log(values, step=step)

    def close(self) -> None:
        """Close the event file, and send or keep what is left."""
        if self._run is not None:
            self._run.finish()
        if self._events is not None:
            self._events.close()
