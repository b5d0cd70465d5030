"""Random draws keyed by (seed, stream, sample id, counter): no global state, no order.

An image's draws depend on its own key alone, so results are independent of batch size, shard size, refill order,
worker count and of what else is still alive. Two sources share that key:

* `host_generators`: NumPy's Philox, one generator a sample, for draws with rich distributions made on the host
  (corruptions, augmentations);
* `Draws`: the counter-based generator "squares" (Widynski 2020, arXiv:2004.06278) in integer tensor operations, for
  draws made on a model's device (attacks). CPU and GPU give the same bits.
"""

from __future__ import annotations

import hashlib
import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import RLock
from typing import TYPE_CHECKING

import numpy as np

from .reading.numbers import seed_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor


_global_generators = RLock()


def stream_key(seed: int, stream: str) -> int:
    """A 64-bit key of a seed and a named stream, the same on every machine; an InputError for what is no seed."""
    digest = hashlib.blake2b(f"{seed_of(seed, -(2**63))}:{stream}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little")


def host_generators(seed: int, stream: str, sample_ids: Sequence[int]) -> Iterator[np.random.Generator]:
    """NumPy's Philox generator of each sample in one stream, in the order of `sample_ids`.

    Re-keying one Philox costs a third of making a new one; consume each generator before asking for the next.
    """
    key = stream_key(seed, stream)
    bits = np.random.Philox(0)  # its key is set for each sample
    generator = np.random.Generator(bits)
    state = bits.state  # a copy: at counter 0, nothing drawn
    for sample_id in sample_ids:
        state["state"]["key"][:] = (key, sample_id)
        bits.state = state
        yield generator


@contextmanager
def seeded(seed: int, stream: str, device: str = "cpu") -> Iterator[None]:
    """The global generators of torch, NumPy and Python set by a seed and a named stream, and put back after.

    For code of others that draws from them; ours never does. Threads take turns.
    """
    import torch

    key = stream_key(seed, stream)
    devices = [device] if device.startswith("cuda") else []
    with _global_generators:
        numpy_state, python_state = np.random.get_state(), random.getstate()
        try:
            with torch.random.fork_rng(devices):
                # torch.manual_seed sets those of every GPU, and only this one's is put back.
                torch.default_generator.manual_seed(key % 2**63)
                if devices:
                    with torch.cuda.device(device):
                        torch.cuda.manual_seed(key % 2**63)
                elif device == "mps":
                    torch.mps.manual_seed(key % 2**63)
                np.random.seed(key % 2**32)
                random.seed(key)
                yield
        finally:
            np.random.set_state(numpy_state)
            random.setstate(python_state)


@dataclass(frozen=True)
class Draws:
    """Draws of many samples at once, by a key from `stream_key` and their ids (n,) int64, on the device of the ids."""

    key: int
    ids: Tensor

    @classmethod
    def of(cls, seed: int, stream: str, ids: Tensor) -> Draws:
        """The draws of the samples `ids` in a named stream."""
        return cls(key=stream_key(seed, stream), ids=ids)

    def words(self, count: int, counter: Tensor | int = 0) -> Tensor:
        """(n, count) int64 in [0, 2^32): the 32-bit words of each sample at a counter.

        Args:
            count: words a sample, fewer than 2^32.
            counter: which block of words, int or (n,) int64 in [0, 2^31); each value gives a fresh block.
        """
        import torch

        key = _odd_keys(self.key, self.ids)[:, None]
        position = torch.arange(count, device=self.ids.device, dtype=torch.int64)
        if isinstance(counter, int):  # a tensor of it would be a copy that waits for a GPU
            return _squares(position + (counter << 32), key)
        return _squares(position + (counter.reshape(-1, 1) << 32), key)

    def uniform(
        self, shape: Sequence[int], counter: Tensor | int = 0, dtype: torch.dtype | None = None
    ) -> Tensor:
        """(n, *shape) uniform in [0, 1), in steps of 2^-24, the same numbers in float32 and float64."""
        import torch

        words = self.words(math.prod(shape), counter)
        return ((words >> 8).to(dtype or torch.float32) * 2.0**-24).reshape(-1, *shape)

    def normal(
        self, shape: Sequence[int], counter: Tensor | int = 0, dtype: torch.dtype | None = None
    ) -> Tensor:
        """(n, *shape) standard normal, by the Box-Muller transform of two uniform draws."""
        first, second = self.uniform((2, *shape), counter, dtype).unbind(1)
        return (-2 * (1 - first).log()).sqrt() * (2 * math.pi * second).cos()

    def signs(
        self, shape: Sequence[int], counter: Tensor | int = 0, dtype: torch.dtype | None = None
    ) -> Tensor:
        """(n, *shape) of -1 and +1 with equal probability."""
        import torch

        words = self.words(math.prod(shape), counter).reshape(-1, *shape)
        return (words >> 31).to(dtype or torch.float32) * 2 - 1


def _odd_keys(key: int, ids: Tensor) -> Tensor:
    """A well-mixed odd 64-bit key a sample: splitmix64 of the stream's key plus the id."""
    z = ids * _signed(0x9E3779B97F4A7C15) + _signed(key)
    z = (z ^ _shift_right(z, 30)) * _signed(0xBF58476D1CE4E5B9)
    z = (z ^ _shift_right(z, 27)) * _signed(0x94D049BB133111EB)
    return (z ^ _shift_right(z, 31)) | 1


def _squares(counter: Tensor, key: Tensor) -> Tensor:
    """Four rounds of "squares": 64-bit counters and keys to 32-bit words, held in int64."""
    y = counter * key
    z = y + key
    x = _swap_halves(y * y + y)
    x = _swap_halves(x * x + z)
    x = _swap_halves(x * x + y)
    return _shift_right(x * x + z, 32)


def _swap_halves(x: Tensor) -> Tensor:
    return _shift_right(x, 32) | (x << 32)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift: int64 shifts arithmetically, so the sign bits are masked off."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _signed(value: int) -> int:
    """The int64 with the bits of an unsigned 64-bit integer."""
    value &= (1 << 64) - 1
    return value - (1 << 64) if value >> 63 else value
