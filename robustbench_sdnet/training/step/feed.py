"""Batches of training images: resident on the device as uint8 where they fit, else read ahead by threads.

The order of an epoch and every random draw follow from (seed, epoch) alone, and a process takes its slice
of each global batch; so a batch is the same on any number of devices and after any restart.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...data.images import ImageData, Uint8
from ...draws import stream_key
from ...errors import InputError
from ...wording import counted
from ..recipes.options import TrainOptions
from .augment import Placement, draw_placements, place

AHEAD = 4  # batches read in advance
RESIDENT_SHARE = 0.5  # of the device's memory that images may take


class Batch(NamedTuple):
    """One process's share of a global batch: images (m, 3, h, w) uint8, labels (m,), sample ids (m,)."""

    images: Tensor
    labels: Tensor
    ids: Tensor


@dataclass
class Feed(ABC):
    """Yields the batches of an epoch: of the images at `positions` (n,), `batch_size` over all processes together.

    Of each, this process (`rank` of `world`) takes its consecutive part.
    """

    data: ImageData
    options: TrainOptions
    positions: Tensor
    batch_size: int
    device: torch.device
    rank: int = 0
    world: int = 1

    def __post_init__(self) -> None:
        self.labels, self.ids = torch.from_numpy(self.data.labels), torch.from_numpy(self.data.ids)

    @property
    def steps(self) -> int:
        """Steps in an epoch: a last, smaller batch is left out."""
        return len(self.positions) // self.batch_size

    @abstractmethod
    def epoch(self, epoch: int, first_step: int = 0) -> Generator[Batch, None, None]:
        """The batches of an epoch from a step on; every kind of feed makes them in its own way."""

    def _drawn(self, epoch: int) -> Placement:
        """An epoch's images in their order, and where they are cut, for all processes, on the host."""
        generator = torch.Generator().manual_seed(
            stream_key(self.options.seed, f"training epoch {epoch}") >> 1
        )
        order = self.positions[torch.randperm(len(self.positions), generator=generator, device="cpu")]
        return draw_placements(self.options, order, generator)

    def _part(self, step: int) -> slice:
        """This process's part of a step's batch, as a slice: an index tensor would have to be copied."""
        share = self.batch_size // self.world
        first = step * self.batch_size + self.rank * share
        return slice(first, first + share)


class ResidentFeed(Feed):
    """Images on the device; crop and flip are one gather."""

    def __post_init__(self) -> None:
        super().__post_init__()
        pixels = torch.from_numpy(np.ascontiguousarray(self.data.images()))
        self.images = pixels.permute(0, 3, 1, 2).to(self.device).contiguous()
        self.labels, self.ids = self.labels.to(self.device), self.ids.to(self.device)

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[Batch, None, None]:
        """The batches of an epoch; the draws go to the device once."""
        drawn = [column.to(self.device) for column in self._drawn(epoch)]
        for part in map(self._part, range(first_step, self.steps)):
            cut = Placement(*(column[part] for column in drawn))
            placed = place(self.images, cut, self.options.cutout)
            yield Batch(placed, self.labels[cut.positions], self.ids[cut.positions])


class StreamingFeed(Feed):
    """Images on disk or in host memory, read and decoded ahead of the device by threads."""

    def epoch(self, epoch: int, first_step: int = 0) -> Generator[Batch, None, None]:
        """The batches of an epoch, in order; a decoding error surfaces at its batch."""
        drawn = self._drawn(epoch)
        key = stream_key(self.options.seed, f"crops of epoch {epoch}")
        pending: deque[list[Future[Batch]]] = deque()
        with ThreadPoolExecutor(self.options.workers) as pool:
            for part in map(self._part, range(first_step, self.steps)):
                pieces = zip(*(column[part].chunk(self.options.workers) for column in drawn), strict=True)
                pending.append([pool.submit(self._read, key, Placement(*piece)) for piece in pieces])
                if len(pending) > AHEAD:
                    yield self._send(pending.popleft())
            while pending:
                yield self._send(pending.popleft())

    def _read(self, key: int, cut: Placement) -> Batch:
        crop = getattr(self.data.pixels, "read_random_crops", None)
        at = cut.positions.numpy()
        pixels: Uint8 = crop(at, key) if crop else self.data.pixels.read(at)
        images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
        read = cut._replace(positions=torch.arange(len(images), device="cpu"))
        placed = place(images, read, self.options.cutout)
        return Batch(placed, self.labels[cut.positions], self.ids[cut.positions])

    def _send(self, pieces: list[Future[Batch]]) -> Batch:
        joined = [torch.cat(parts) for parts in zip(*(piece.result() for piece in pieces), strict=True)]
        if self.device.type != "cpu":
            joined = [column.pin_memory().to(self.device, non_blocking=True) for column in joined]
        return Batch(*joined)


def feed_for(data: ImageData, device: torch.device) -> type[Feed]:
    """Resident where the images fit on the device, else streaming."""
    height, width = data.image_shape
    needed = len(data) * height * width * 3
    fits = data.pixels.in_memory
    if fits and device.type == "cuda":
        fits = needed < RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0]
    return ResidentFeed if fits else StreamingFeed


def hold_out(data: ImageData, options: TrainOptions) -> tuple[Tensor, Tensor]:
    """Positions to train on and positions held out, drawn by the seed among the `limit` images that are used.

    An InputError where one of the two is asked for and empty.
    """
    positions = torch.from_numpy(data.positions(min(len(data), options.limit or len(data))))
    generator = torch.Generator().manual_seed(stream_key(options.seed, "held-out images") >> 1)
    shuffled = positions[torch.randperm(len(positions), generator=generator, device="cpu")]
    kept = len(positions) - round(options.hold_out * len(positions))
    if options.hold_out and not 0 < kept < len(positions):
        raise InputError(
            f"train.hold_out={options.hold_out:g} of {counted(len(positions), 'image')} leaves none "
            f"{'to train on' if kept == 0 else 'aside'}. Use more images, or another share."
        )
    return shuffled[:kept].sort().values, shuffled[kept:].sort().values


def check_seen(options: TrainOptions, data: ImageData) -> None:
    """Refuse crops and holes that can leave nothing of an image, which is then trained on by its label alone."""
    height, width = data.image_shape
    side = min(height, width)
    for key, size, most in (("crop", options.crop, side - 1), ("cutout", options.cutout, side)):
        if size > most:
            raise InputError(
                f"train.{key}={size} can leave nothing of an image of {height}x{width} pixels. Use at most {most}."
            )


def batch_size(options: TrainOptions, images: int, processes: int) -> int:
    """The global batch: the recipe's, or all images where there are fewer; InputError without one for every process."""
    size = min(options.batch_size, images - images % processes)
    if size < 1:
        raise InputError(
            f"There are {images} training images for {processes} processes; nothing to train on."
        )
    return size
