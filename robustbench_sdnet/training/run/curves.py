"""Curves of a run: events for TensorBoard always, and another tracker where one is asked for."""

from __future__ import annotations

import io
import os
import secrets
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import unknown
from ...files import cannot_write, write_whole
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

    def __init__(self, folder: Path | None, track: str, parameters: Mapping[str, Any], after: int) -> None:
        """What may be written to, and from where on.

        Args:
            folder: the run's, None to write nothing.
            track: one of `TRACKERS`.
            parameters: of the run.
            after: step of the last epoch that a resumed run has a record of; points beyond it come again.
        """
        self._folder, self._after = folder, after
        self._events: Path | None = None  # made at the first epoch
        self._run: Any = None
        if folder is not None and track == "wandb":
            kept = folder / "wandb-id"  # so that a resumed run is one there too
            known = kept.read_text() if kept.is_file() else secrets.token_hex(4)
            self._run = start_wandb(folder, folder.name, parameters, kind="train", run_id=known)
            write_whole(kept, known)  # nothing is left where it refuses

    def add(self, record: Mapping[str, float]) -> None:
        """Add an epoch's record at its step; WriteError where the system refuses."""
        if self._folder is None:
            return
        step = int(record["step"])
        values = {tag: record[key] for key, tag in TAGS.items() if key in record}
        content = _points(step, values)
        if self._events is None:
            own = f"{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"  # files are read in order of their names
            self._events = self._folder / f"events.out.tfevents.{own}"
            content = _first_events(self._after) + content
        try:
            with self._events.open("ab") as stream:
                stream.write(content)
        except OSError as error:
            raise cannot_write(self._events, error) from error
        if self._run is not None:
            self._run.log(values, step=step)

    def close(self) -> None:
        """Send or keep what is left."""
        if self._run is not None:
            self._run.finish()


# Not by torch's SummaryWriter: it writes in a thread, whose failure is a traceback without a place.
def _first_events(after: int) -> bytes:
    """What a file begins with; points of older files beyond a step are hidden, since they come again."""
    from tensorboard.compat.proto.event_pb2 import SessionLog

    hidden = {"step": after + 1, "session_log": {"status": SessionLog.START}}
    return _records({"file_version": "brain.Event:2"}, hidden)


def _points(step: int, values: Mapping[str, float]) -> bytes:
    summaries = ({"value": [{"tag": tag, "simple_value": value}]} for tag, value in values.items())
    return _records(*({"step": step, "summary": summary} for summary in summaries))


def _records(*events: Mapping[str, Any]) -> bytes:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    buffer = io.BytesIO()
    writer = RecordWriter(buffer)
    for event in events:
        writer.write(Event(wall_time=time.time(), **event).SerializeToString())
    return buffer.getvalue()
