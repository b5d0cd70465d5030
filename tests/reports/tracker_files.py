"""What trackers keep in files: events of TensorBoard, and Weights & Biases' log, which has LevelDB's format."""

from __future__ import annotations

import json
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

BLOCK = 32 * 1024
FIRST = 7  # bytes that say what the file is


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """Weights & Biases without a network, its other files in a folder of the test's."""
    for key in ("MODE", "DIR", "CACHE_DIR", "CONFIG_DIR", "DATA_DIR"):
        monkeypatch.setenv(f"WANDB_{key}", "offline" if key == "MODE" else str(tmp_path / "wandb-own"))
    monkeypatch.delenv("WANDB_PROJECT", raising=False)
    # Each of its tables has a temporary folder, and it holds the last hundred: Python would warn of each whenever it is
    # freed, in whatever test. The test's own folder needs nobody who cleans up.
    own = {"TemporaryDirectory": lambda: SimpleNamespace(name=tempfile.mkdtemp(dir=tmp_path))}
    monkeypatch.setattr("wandb.sdk.artifacts.artifact.tempfile", SimpleNamespace(**vars(tempfile) | own))


def events(path: Path) -> tuple[dict[str, Any], dict[str, Any], dict[str, str]]:
    """Scalars, images and texts of a file of events, by tag."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(path), size_guidance={"tensors": 0, "scalars": 0, "images": 0}).Reload()
    tags = found.Tags()
    return (
        {
            tag: [(event.step, round(event.value, 6)) for event in found.Scalars(tag)]
            for tag in tags["scalars"]
        },
        {tag: found.Images(tag) for tag in tags["images"]},
        {tag: found.Tensors(tag)[0].tensor_proto.string_val[0].decode() for tag in tags["tensors"]},
    )


def logged(folder: Path) -> list[Any]:
    """Every record of the one run below a folder, as protocol buffers; its last is written a moment after it ends."""
    (path,) = folder.rglob("run-*.wandb")
    end = time.monotonic() + 60
    while True:
        found = list(_records(path.read_bytes()))
        if found and found[-1].WhichOneof("record_type") == "exit":
            return found
        assert time.monotonic() < end, [record.WhichOneof("record_type") for record in found]
        time.sleep(0.1)


def _records(content: bytes) -> Iterator[Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    place, whole = FIRST, b""
    while place + 7 <= len(content):
        if BLOCK - place % BLOCK < 7:
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack("<IHB", content[place : place + 7])
        if place + 7 + length > len(content):  # still being written
            return
        whole += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(whole)
            whole = b""


def config(folder: Path) -> dict[str, Any]:
    """The run's parameters."""
    found: dict[str, Any] = {}
    for record in logged(folder):
        for update in (*record.run.config.update, *record.config.update):
            found[update.key or "/".join(update.nested_key)] = json.loads(update.value_json)
    return found


def history(folder: Path) -> list[dict[str, Any]]:
    """What was logged, one mapping a call."""
    found = []
    for record in logged(folder):
        if record.WhichOneof("record_type") == "history":
            items = record.history.item
            found.append(
                {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}
            )
    return found
