"""Answers of randomised models: several fresh draws an image, from generators that the cell and its images seed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..draws import seeded
from ..specs import Cell, Repeats
from ..store.outcome import Outcome


def seeding(cell: Cell, ids: NDArray[np.int64], device: str) -> AbstractContextManager[None]:
    """Around everything that a randomised model answers of a cell on the samples `ids`; nothing around others."""
    if cell.model.repeats is None or not len(ids):
        return nullcontext()
    return seeded(0, f"{cell.id}:{ids[0]}:{ids[-1]}", device)


def counted(answer: Callable[[], Outcome], repeats: Repeats) -> Outcome:
    """The outcome of images that are asked about several times."""
    drawn = [answer() for _ in range(repeats.draws)]
    hits = np.stack([one.right for one in drawn]).sum(axis=0, dtype=np.int32)
    right = repeats.right(hits)
    return replace(
        drawn[0],
        hits=hits,
        right=right,
        broken_at=np.where(right, -1, 0).astype(np.int32),
        margin=np.stack([one.margin for one in drawn]).mean(axis=0, dtype=np.float64).astype(np.float32),
    )


def recounted(found: Outcome, final: Outcome) -> Outcome:
    """What an attack found, judged by fresh draws on its final images.

    Where no draw of the search broke an image that these do, step 1 stands for the step that is not known.
    """
    broken_at = np.where(found.broken_at < 0, 1, found.broken_at)
    return replace(
        found,
        hits=final.hits,
        right=final.right,
        broken_at=np.where(final.right, -1, broken_at).astype(np.int32),
        margin=final.margin,
    )
