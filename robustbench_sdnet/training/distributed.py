"""Training in several processes: the group, batch statistics over all of them, and starting them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..errors import InputError


def world() -> tuple[int, int, int]:
    """(rank, processes, local rank), from the environment that torchrun sets; (0, 1, 0) without it."""
    rank, count = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    return rank, count, int(os.environ.get("LOCAL_RANK", "0"))


def join(device: torch.device) -> bool:
    """Join the process group that torchrun describes; False where there is one process."""
    if world()[1] == 1:
        return False
    if not dist.is_initialized():
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    return True


def leave() -> None:
    """Leave the process group, where there is one."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def total(value: Tensor) -> Tensor:
    """The sum over all processes."""
    if dist.is_available() and dist.is_initialized():
        value = value.clone()
        dist.all_reduce(value)
    return value


def wait_for_all() -> None:
    """Return when every process has come here."""
    if dist.is_available() and dist.is_initialized():
        dist.barrier()


class _Sum(torch.autograd.Function):
    """Sum over all processes; the gradient of a sum of all losses is the sum of their gradients."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return total(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return total(gradients[0])


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the global batch, on any device; torch's own needs GPUs."""

    def forward(self, input: Tensor) -> Tensor:
        """As BatchNorm2d of all processes' images together."""
        if not self.training:
            return super().forward(input)
        x = input if input.dtype == torch.float64 else input.float()
        count = x.numel() // x.shape[1] * dist.get_world_size()
        mean = _Sum.apply(x.sum((0, 2, 3))) / count
        centred = x - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count
        self._update(mean.detach(), variance.detach() * (count / max(count - 1, 1)))
        scale = self.weight * (variance + self.eps).rsqrt()
        normalised: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return normalised.to(input.dtype)

    def _update(self, mean: Tensor, variance: Tensor) -> None:
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean), self.momentum or 0.0)
        self.running_var.lerp_(variance.to(self.running_var), self.momentum or 0.0)


def share_statistics(model: nn.Module) -> None:
    """Turn every BatchNorm2d into its global form, in place; names and values stay."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GlobalBatchNorm2d


def launch(devices: int, arguments: Sequence[str]) -> int:
    """Run `python -m robustbench_sdnet` with these arguments in several processes of this machine; the
    exit code.

    Raises:
        InputError: fewer than one device.
    """
    if devices < 1:
        raise InputError(f"--devices must be at least 1, got {devices}.")
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={devices}"]
    environment = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // devices)), **os.environ}
    return subprocess.run(
        [*command, "-m", "robustbench_sdnet", *arguments], env=environment, check=False
    ).returncode
