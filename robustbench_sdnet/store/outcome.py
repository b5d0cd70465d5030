"""What a shard answers: per-sample arrays and what they cost, and their compressed form in the store."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from ..errors import StoreError


@dataclass(frozen=True, eq=False)
class Outcome:
    """Per-sample answers of one cell on a range of samples, all arrays (n,), in sample order.

    Attributes:
        ids: int64, the sample ids.
        right: bool, right under the perturbation.
        broken_at: int32, first attack step that broke the sample; -1: none did, 0: wrong without any.
        margin: float32, logit of the label minus the largest other, under the perturbation.
        lam: float32, the lambda the prediction was made at; NaN without CSC layers.
        residual: float32, |x - A z|^2 of the stem at the training lambda; NaN without CSC layers.
        distance: float32, norm of a minimal-norm attack's perturbation; NaN for other perturbations.
    """

    ids: NDArray[np.int64]
    right: NDArray[np.bool_]
    broken_at: NDArray[np.int32]
    margin: NDArray[np.float32]
    lam: NDArray[np.float32]
    residual: NDArray[np.float32]
    distance: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.ids)

    def encode(self) -> bytes:
        """The arrays as one compressed blob."""
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{item.name: getattr(self, item.name) for item in fields(self)})
        return buffer.getvalue()

    @classmethod
    def decode(cls, blob: bytes) -> Outcome:
        """The outcome that `encode` wrote.

        Raises:
            StoreError: the blob is damaged.
        """
        try:
            with np.load(io.BytesIO(blob), allow_pickle=False) as arrays:
                found = cls(**{item.name: arrays[item.name] for item in fields(cls)})
        except (ValueError, KeyError, EOFError, OSError, zipfile.BadZipFile) as error:
            raise StoreError(f"A stored shard is damaged ({error}). Restore the store from a copy.") from None
        if len({len(getattr(found, item.name)) for item in fields(cls)}) != 1:
            raise StoreError(
                "A stored shard is damaged (arrays of different length). Restore the store from a copy."
            )
        return found

    @classmethod
    def join(cls, parts: Iterable[Outcome]) -> Outcome:
        """Outcomes one after the other."""
        found = list(parts)
        return cls(
            **{item.name: np.concatenate([getattr(p, item.name) for p in found]) for item in fields(cls)}
        )

    def cut(self, start: int, stop: int) -> Outcome:
        """The samples at positions start to stop."""
        return Outcome(**{item.name: getattr(self, item.name)[start:stop] for item in fields(self)})
