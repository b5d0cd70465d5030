"""What a run says when torch raises in the middle of it: one line, with what to try."""

from __future__ import annotations

import shlex
from pathlib import Path

import torch

from ...errors import TrainingError
from ..step.device import Device
from .distributed import lost_another


def failure(error: RuntimeError, folder: Path, device: Device) -> TrainingError:
    """The error a user sees for what torch raised; the last saved state in the run's folder is whole."""
    if lost_another(error):
        return TrainingError(
            "Another training process has gone. The last saved state is whole: go on with "
            f"--resume --output {shlex.quote(str(folder))}."
        )
    if isinstance(error, torch.OutOfMemoryError) or "not enough memory" in str(error):
        remedy = "Take a smaller batch (--set train.batch_size=N) or more devices"
        return TrainingError(
            f"{device.label} has too little memory for this. {remedy}, with another --output."
        )
    first = next(iter(str(error).strip().splitlines()), "").rstrip(".")
    compiled = type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))
    hint = " Try --set train.compile=false." if compiled else ""
    return TrainingError(
        f"Training failed: {type(error).__name__}: {first}.{hint} SDNET_BENCH_DEBUG=1 shows where."
    )
