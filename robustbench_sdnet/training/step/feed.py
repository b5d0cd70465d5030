"""Batches of training images: resident on the device as uint8 where they fit, else read ahead by threads.

The order of an epoch and every random draw follow from (seed, epoch) alone, and a process takes its slice
of each global batch; so a batch is the same on any number of devices and after any restart.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ...data.images import ImageData, Int64, Uint8
from ...draws import stream_key
from ..recipes.options import TrainOptions
from .augment import Placement, draw_placements, place

AHEAD = 4  # batches read in advance
RESIDENT_SHARE = 0.5  # of the device's memory that images may take


@dataclass(frozen=True)
class Batch:
    """One process's share of a global batch: images (m, 3, h, w) uint8, labels (m,), sample ids (m,)."""

    images: Tensor
    labels: Tensor
    ids: Tensor


@dataclass(frozen=True)
class Shard:
    """Which share of each global batch a process takes."""

    rank: int = 0
    world: int = 1

    def of(self, step: int, batch_size: int) -> slice:
        """The rank's consecutive part of a step's batch, as a slice: an index tensor would have to be copied."""
        share = batch_size // self.world
        first = step * batch_size + self.rank * share
        return slice(first, first + share)


@dataclass(frozen=True)
class Epoch:
    """The order and draws of one epoch, for all processes: `order` (n,) positions, cut to whole batches."""

    order: Tensor
    placement: Placement
    batch_size: int

    @classmethod
    def draw(cls, options: TrainOptions, epoch: int, positions: Tensor, batch_size: int) -> Epoch:
        """Draw an epoch on the host."""
        generator = torch.Generator().manual_seed(stream_key(options.seed, f"training epoch {epoch}") >> 1)
        order = positions[torch.randperm(len(positions), generator=generator)]
        return cls(order, draw_placements(options, len(positions), generator), batch_size)

    def step(self, step: int, shard: Shard) -> tuple[Tensor, Placement]:
        """Positions and placements of one process in one step."""
        chosen = shard.of(step, self.batch_size)
        return self.order[chosen], self.placement[chosen]


@dataclass
class Feed:
    """Yields the batches of an epoch: of the images at `positions` (n,), `batch_size` over all processes together."""

    data: ImageData
    options: TrainOptions
    positions: Tensor
    batch_size: int
    device: torch.device
    shard: Shard

    def __post_init__(self) -> None:
        self.labels, self.ids = torch.from_numpy(self.data.labels), torch.from_numpy(self.data.ids)

    @property
    def steps(self) -> int:
        """Steps in an epoch: a last, smaller batch is left out."""
        return len(self.positions) // self.batch_size

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from a step on; every kind of feed makes them in its own way."""
        raise NotImplementedError

    def _draw(self, epoch: int) -> Epoch:
        return Epoch.draw(self.options, epoch, self.positions, self.batch_size)


class ResidentFeed(Feed):
    """Images on the device; crop and flip are one gather."""

    def __post_init__(self) -> None:
        super().__post_init__()
        pixels = torch.from_numpy(np.ascontiguousarray(self.data.images()))
        self.images = pixels.permute(0, 3, 1, 2).to(self.device).contiguous()
        self.labels, self.ids = self.labels.to(self.device), self.ids.to(self.device)

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch; the draws go to the device once."""
        drawn = self._draw(epoch)
        drawn = Epoch(drawn.order.to(self.device), drawn.placement.to(self.device), self.batch_size)
        for step in range(first_step, self.steps):
            positions, placement = drawn.step(step, self.shard)
            yield Batch(place(self.images, positions, placement), self.labels[positions], self.ids[positions])


class StreamingFeed(Feed):
    """Images on disk or in host memory, read and decoded ahead of the device by threads."""

    def epoch(self, epoch: int, first_step: int = 0) -> Iterator[Batch]:
        """The batches of an epoch, in order; a decoding error surfaces at its batch."""
        drawn = self._draw(epoch)
        key = stream_key(self.options.seed, f"crops of epoch {epoch}")
        pending: deque[list[Future[Batch]]] = deque()
        with ThreadPoolExecutor(self.options.workers) as pool:
            for step in range(first_step, self.steps):
                positions, placement = drawn.step(step, self.shard)
                pieces = torch.arange(len(positions)).chunk(self.options.workers)
                pending.append([pool.submit(self._read, key, positions[i], placement[i]) for i in pieces])
                if len(pending) > AHEAD:
                    yield self._send(pending.popleft())
            while pending:
                yield self._send(pending.popleft())

    def _read(self, key: int, positions: Tensor, placement: Placement) -> Batch:
        images = torch.from_numpy(self._pixels(key, positions.numpy())).permute(0, 3, 1, 2)
        placed = place(images, torch.arange(len(positions)), placement)
        return Batch(placed, self.labels[positions], self.ids[positions])

    def _pixels(self, key: int, positions: Int64) -> Uint8:
        pixels = self.data.pixels
        crop = getattr(pixels, "read_random_crops", None)
        read: Uint8 = crop(positions, key) if crop else pixels.read(positions)
        return read

    def _send(self, pieces: list[Future[Batch]]) -> Batch:
        parts = [piece.result() for piece in pieces]
        joined = [
            torch.cat(columns) for columns in zip(*((p.images, p.labels, p.ids) for p in parts), strict=True)
        ]
        if self.device.type != "cpu":
            joined = [column.pin_memory().to(self.device, non_blocking=True) for column in joined]
        return Batch(*joined)


def make_feed(
    data: ImageData,
    options: TrainOptions,
    positions: Tensor,
    batch_size: int,
    device: torch.device,
    shard: Shard,
) -> Feed:
    """A resident feed where the images fit on the device, else a streaming one."""
    height, width = data.image_shape
    needed = len(data) * height * width * 3
    fits = data.pixels.in_memory
    if fits and device.type == "cuda":
        fits = needed < RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
    kind = ResidentFeed if fits else StreamingFeed
    return kind(data, options, positions, batch_size, device, shard)
