"""Training in several processes: the group, batch statistics over all of them, and the loss of one of them."""

from __future__ import annotations

import inspect
import os
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous

from ...errors import TrainingError


class World(NamedTuple):
    """How many processes train together, and which of them this one is, over all machines and on its own."""

    rank: int
    processes: int
    local_rank: int


def world() -> World:
    """From the environment that torchrun sets; (0, 1, 0) without it."""
    found = os.environ.get("RANK", 0), os.environ.get("WORLD_SIZE", 1), os.environ.get("LOCAL_RANK", 0)
    return World(*map(int, found))


def distribute(module: nn.Module, device: torch.device) -> nn.Module:
    """The module with its gradients averaged over all processes."""
    # Batch statistics are global and step sizes follow from the weights, so buffers agree without a broadcast.
    wrapper: Any = nn.parallel.DistributedDataParallel
    # The name since torch 2.15, where the old one warns.
    renamed = "forward_sync_buffers" in inspect.signature(wrapper).parameters
    options = {"forward_sync_buffers" if renamed else "broadcast_buffers": False}
    ids = [device.index] if device.type == "cuda" else None
    distributed: nn.Module = wrapper(module, device_ids=ids, **options)
    return distributed


def restarted() -> bool:
    """Whether torchrun started this process again after one was lost."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) > 0


def may_restart() -> bool:
    """Whether torchrun will start the processes again when one is lost (`--max-restarts`)."""
    return int(os.environ.get("TORCHELASTIC_MAX_RESTARTS", "0")) > 0


def join(device: torch.device) -> bool:
    """Join the process group that torchrun describes; False where there is one process."""
    if world().processes == 1:
        return False
    if not dist.is_initialized():
        store, rank, count = next(rendezvous("env://"))
        # torchrun keeps its store when it starts processes again, with the addresses of those that are gone.
        store = dist.distributed_c10d.PrefixStore(
            f"start {os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store
        )
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, store=store, rank=rank, world_size=count)
    return True


def _in_group() -> bool:
    return dist.is_available() and dist.is_initialized()


def leave() -> None:
    """Leave the process group, where there is one."""
    if _in_group():
        dist.destroy_process_group()


def total(value: Tensor) -> Tensor:
    """The sum over all processes."""
    if _in_group():
        value = value.clone()
        dist.all_reduce(value)
    return value


def wait_for_all() -> None:
    """Return when every process has come here."""
    if _in_group():
        dist.barrier()


def agree_on(step: int, device: torch.device) -> None:
    """Check that all processes go on from the same step; TrainingError where they read different states."""
    if not _in_group():
        return
    ends = torch.tensor([step, -step], device=device)
    dist.all_reduce(ends, dist.ReduceOp.MIN)
    low, high = int(ends[0]), -int(ends[1])
    if low != high:
        raise TrainingError(
            f"The processes found states of different steps ({low} to {high}). Put --output on a disk that all "
            "machines share."
        )


def lost_another(error: BaseException) -> bool:
    """Whether an error says that another process of the group has gone."""
    if not _in_group():
        return False
    # gloo raises plain RuntimeErrors that name its source files; nccl and the store have their own types
    return isinstance(error, dist.DistError) or "gloo" in str(error)


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
