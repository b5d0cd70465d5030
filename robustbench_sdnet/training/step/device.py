"""Where a model is trained: on which device, in which precision, with how many threads."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ...devices import WITHOUT_FLOAT64, native_bfloat16, pick_device
from ...wording import counted
from ..recipes.options import TrainOptions


@dataclass(frozen=True)
class Device:
    """Where a model is trained: `dtype` is that of weights and images, with `autocast` convolutions run in bfloat16."""

    device: torch.device
    dtype: torch.dtype
    autocast: bool
    channels_last: bool

    @property
    def is_gpu(self) -> bool:
        """Whether there is an accelerator."""
        return self.device.type != "cpu"

    @property
    def widest(self) -> torch.dtype:
        """The most exact type that it has."""
        return torch.float32 if self.device.type in WITHOUT_FLOAT64 else torch.float64

    @property
    def precision(self) -> str:
        """As reports name it."""
        return "bfloat16" if self.autocast else str(self.dtype).removeprefix("torch.")

    def forward(self) -> AbstractContextManager[object]:
        """The context of a forward pass."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast)

    def place(self, model: nn.Module) -> nn.Module:
        """The model here, in the right type and memory format."""
        model = model.to(self.device, self.dtype)
        return model.to(memory_format=torch.channels_last) if self.channels_last else model

    def floats(self, images: Tensor) -> Tensor:
        """uint8 (n, 3, h, w) to [0, 1]."""
        memory_format = torch.channels_last if self.channels_last else torch.contiguous_format
        return images.to(self.device, self.dtype, memory_format=memory_format).div_(255)

    def wait(self) -> None:
        """Let queued work end, for timing."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    @property
    def label(self) -> str:
        """For messages."""
        if self.device.type == "cuda":
            return torch.cuda.get_device_name(self.device)
        return str(self.device) if self.is_gpu else f"cpu with {counted(torch.get_num_threads(), 'thread')}"


def choose(name: str, options: TrainOptions, local_rank: int = 0) -> Device:
    """The device a run trains on.

    "auto" is the GPU where there is one. Precision "auto" is bfloat16 where the hardware has instructions for it, whose
    speed is not tried out: the same command trains the same network at every call.

    Raises:
        InputError: what is no device, or not on this machine.
    """
    if (found := pick_device(name)) == "cuda":
        found = pick_device(f"cuda:{local_rank}")
    device = torch.device(found)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    if options.threads:
        torch.set_num_threads(options.threads)
    precision = options.precision
    if precision == "auto":
        precision = "bfloat16" if native_bfloat16(device) else "float32"
    return Device(
        device=device,
        dtype=torch.float64 if precision == "float64" else torch.float32,
        autocast=precision == "bfloat16",
        channels_last=options.channels_last,
    )
