"""The batch size of a run, the GPUs that it leaves idle, and the hardware and the memory that it takes."""

from __future__ import annotations

import platform
import re
import resource
import sys
from pathlib import Path

import torch

from ..devices import gpu_batch


def idle_gpus(device: str) -> str:
    """A line where one process leaves GPUs of this machine idle, else empty."""
    count = torch.cuda.device_count() if device.startswith("cuda") else 0
    return (
        f"This machine has {count} GPUs, and one is used: --engine ray uses all of them." if count > 1 else ""
    )


def pick_batch_size(wanted: int | None, device: str, pixels: int) -> int:
    """The top rung of the ladder: what was asked for, else what suits the device and the image size."""
    if wanted:
        return wanted
    if device == "cpu":
        return 250 if pixels <= 64 * 64 else 50
    return gpu_batch(pixels)


def device_name(device: str) -> str:
    """The hardware by its name, as costs of answers state it: a GPU's own, else the processor's kind."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{device} ({platform.machine()})"


def peak_memory(device: str) -> int:
    """The most bytes that were in use so far: on that GPU, or by this process."""
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    try:  # what getrusage says on Linux begins at the size of the process that started this one
        status = Path("/proc/self/status").read_bytes()
    except OSError:
        status = b""
    if found := re.search(rb"^VmHWM:\s*(\d+)", status, re.MULTILINE):  # sandboxes such as gVisor leave it out
        return 1024 * int(found[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most  # macOS counts bytes, others KiB
