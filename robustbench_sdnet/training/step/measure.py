"""Measuring a model: its accuracy on a split, and the time of a training step."""

from __future__ import annotations

import copy
import statistics
import time

import torch
from torch import Tensor, nn

from ...data.images import ImageData
from ...errors import TrainingError
from ..run.distributed import total, world
from .device import Device
from .feed import Batch
from .loop import Session
from .objective import Objective

EVALUATION_BATCH = 256


@torch.no_grad()
def accuracy_of(
    model: nn.Module, data: ImageData, device: Device, positions: Tensor | None = None, *, fast: bool = False
) -> float:
    """Share of images that the model gets right, in evaluation mode, which it leaves it in; processes share the work.

    Args:
        positions: which images, None for all.
        fast: in the precision of training instead of float32 or float64.

    Raises:
        TrainingError: logits are not finite, as after an update that ruined the weights.
    """
    rank, count, _ = world()
    positions = torch.arange(len(data), device="cpu") if positions is None else positions
    chosen = positions.tensor_split(count)[rank]
    labels = torch.from_numpy(data.labels)
    right, ruined = torch.zeros((2, 1), dtype=torch.int64, device=device.device)
    model.eval()
    for part in torch.split(chosen, EVALUATION_BATCH):
        pixels = torch.from_numpy(data.pixels.read(part.numpy())).permute(0, 3, 1, 2)
        with torch.autocast(device.device.type, torch.bfloat16, enabled=fast and device.autocast):
            logits = model(device.floats(pixels))
        right += (logits.argmax(1) == labels[part].to(device.device)).sum()
        ruined += logits.isfinite().all().logical_not()
    if int(total(ruined)):
        raise TrainingError(
            "The network's logits are not finite: its training has diverged. Lower the rate (--set train.lr=N), with "
            "another --output."
        )
    return int(total(right)) / (len(data) if positions is None else len(positions))


def seconds_a_step(session: Session) -> float:
    """Mean time of a step on whole images as busy as this device is, from about a second of steps of a copy of the
    model, as many in every process; nothing of the session changes."""
    copied = copy.deepcopy(session.model)
    objective = Objective(copied, session.options, session.device)
    warm, timed = (3, 10) if session.device.is_gpu else (1, 20)
    share, seconds = 1.0, list[float]()
    batches = session.feed.epoch(0)
    batch = next(batches)
    if not session.device.is_gpu and len(batch.labels) > 32:
        share = len(batch.labels) / 32
        batch = Batch(*(part[:32] for part in batch))
    for step in range(warm + timed):
        spent = torch.tensor(sum(seconds[warm:]), device=session.device.device)
        if total(spent) > world().processes:  # all processes go on or none: they share each step's statistics
            break
        session.device.wait()
        begun = time.perf_counter()
        objective(batch.images, batch.labels, batch.ids, step).backward()
        session.device.wait()
        seconds.append(time.perf_counter() - begun)
    batches.close()  # ends the threads that decode
    return share * statistics.mean(seconds[warm:])
