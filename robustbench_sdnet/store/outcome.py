"""What a shard answers: per-sample arrays and what they cost, and their compressed form in the store."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError
from ..reading.archives import BROKEN

DTYPES: Mapping[str, np.dtype[Any]] = MappingProxyType(
    {
        "ids": np.dtype("<i8"),
        "right": np.dtype("?"),
        "broken_at": np.dtype("<i4"),
        "margin": np.dtype("<f4"),
        "lam": np.dtype("<f4"),
        "residual": np.dtype("<f4"),
        "distance": np.dtype("<f4"),
    }
)
# Counts of sequences, and of randomised models, alone: outcomes of everything else are stored without them.
COUNTS: Mapping[str, np.dtype[Any]] = MappingProxyType(
    dict.fromkeys(("flips", "shifts", "hits"), np.dtype("<i4"))
)
# What reading raises of bytes that are no longer what was written: of the archive, its members, and their headers.
DAMAGED = (*BROKEN, AttributeError, struct.error)


@dataclass(frozen=True, eq=False)
class Outcome:
    """Per-sample answers of one cell on a range of samples, all arrays (n,), in sample order.

    Attributes:
        ids: int64, the sample ids.
        right: bool, right under the perturbation.
        broken_at: int32, first attack step that broke the sample; -1: none did, 0: wrong without any.
        margin: float32, logit of the label minus the largest other, under the perturbation.
        lam: float32, the lambda the prediction was made at; NaN without CSC layers.
        residual: float32, |x - A z|^2 of the stem at the training lambda, of what was predicted: the perturbed image
            (older versions kept the clean one's under attacks); NaN without CSC layers.
        distance: float32, norm of a minimal-norm attack's perturbation; NaN for other perturbations.
        flips: int32, of a sequence, in how many of the compared pairs of frames the prediction differs; else None.
        shifts: int32, of a sequence, the top-5 distances of those pairs in sum; else None. There `right` is right on
            every frame, `broken_at` the first wrong one, and `margin` the smallest.
        hits: int32, how many fresh draws of a randomised model are right; None for a deterministic one.
    """

    ids: NDArray[np.int64]
    right: NDArray[np.bool_]
    broken_at: NDArray[np.int32]
    margin: NDArray[np.float32]
    lam: NDArray[np.float32]
    residual: NDArray[np.float32]
    distance: NDArray[np.float32]
    flips: NDArray[np.int32] | None = None
    shifts: NDArray[np.int32] | None = None
    hits: NDArray[np.int32] | None = None

    @property
    def kept(self) -> Mapping[str, np.dtype[Any]]:
        """The arrays that there are."""
        counts = {name: dtype for name, dtype in COUNTS.items() if getattr(self, name) is not None}
        return {**DTYPES, **counts}

    def __len__(self) -> int:
        return len(self.ids)

    def encode(self) -> bytes:
        """The arrays as one compressed blob; made once, and it goes along to whatever process the outcome goes to."""
        return self._blob

    @cached_property
    def _blob(self) -> bytes:
        buffer = io.BytesIO()
        arrays = {name: np.asarray(getattr(self, name), dtype) for name, dtype in self.kept.items()}
        np.savez_compressed(buffer, allow_pickle=False, **arrays)
        return buffer.getvalue()

    @classmethod
    def decode(cls, blob: bytes) -> Outcome:
        """The outcome that `encode` wrote, its arrays read-only; StoreError for a damaged one."""
        try:
            with zipfile.ZipFile(io.BytesIO(blob)) as archive:
                names = set(archive.namelist())
                counts = {name: dtype for name, dtype in COUNTS.items() if f"{name}.npy" in names}
                kept = {**DTYPES, **counts}
                found = {name: _member(blob, archive.getinfo(f"{name}.npy")) for name in kept}
        except DAMAGED as error:
            raise StoreError(f"its answers are damaged ({type(error).__name__})") from None
        for name, dtype in kept.items():
            if found[name].dtype != dtype or found[name].shape != (len(found["ids"]),):
                raise StoreError(f"its answers are damaged (array '{name}')")
        outcome = cls(**found)
        outcome.__dict__["_blob"] = blob  # a copy of a store need not compress it again
        return outcome

    @classmethod
    def join(cls, parts: Iterable[Outcome]) -> Outcome:
        """Outcomes one after the other; a single one as it is."""
        found = list(parts)
        if len(found) == 1:
            return found[0]
        return cls(
            **{name: _slim(np.concatenate([getattr(part, name) for part in found])) for name in found[0].kept}
        )

    def cut(self, start: int, stop: int) -> Outcome:
        """The samples at positions start to stop, as far as there are any, in the types that are stored."""
        cut = {name: np.asarray(getattr(self, name)[start:stop], dtype) for name, dtype in self.kept.items()}
        return Outcome(**cut)


def _member(blob: bytes, member: zipfile.ZipInfo) -> NDArray[Any]:
    """A member of the archive out of its bytes: to open each as a file takes longer than all else a report does."""
    named = member.header_offset + 26
    start = named + 4 + sum(struct.unpack_from("<2H", blob, named))
    return _array(blob[start : start + member.compress_size], member.CRC)


@lru_cache(maxsize=64)
def _array(packed: bytes, crc: int) -> NDArray[Any]:
    """As `np.load` reads it; of the arrays of most cells four of seven are those of the cell before."""
    data = zlib.decompress(packed, -zlib.MAX_WBITS)
    if zlib.crc32(data) != crc:
        raise zipfile.BadZipFile("a member's checksum differs")
    start = 10 + int.from_bytes(data[8:10], "little")
    dtype, shape = _layout(data[:start])
    return _slim(np.frombuffer(data, dtype, offset=start).reshape(shape))


def _slim(array: NDArray[Any]) -> NDArray[Any]:
    """The array, of one number alone where it holds no other."""
    raw = array.tobytes()  # in which NaN equals itself
    same = raw == raw[: array.itemsize] * array.size
    return np.broadcast_to(array.reshape(-1)[:1].copy(), array.shape) if same else array


@lru_cache(maxsize=1024)
def _layout(head: bytes) -> tuple[np.dtype[Any], tuple[int, ...]]:
    stream = io.BytesIO(head)
    if np.lib.format.read_magic(stream) != (1, 0):
        raise ValueError("not an array as it was written")
    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    return dtype, shape
