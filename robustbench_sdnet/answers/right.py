"""Which images are answered rightly, and what is right under several perturbations at once: the worst case."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Right:
    """Which of the images `ids` (m,) are answered rightly, (m,) bool."""

    ids: NDArray[np.int64]
    right: NDArray[np.bool_]

    def at(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """The answers on `ids`, all of which must be there."""
        if ids is self.ids:
            return self.right
        order = np.argsort(self.ids, kind="stable")
        found: NDArray[np.bool_] = self.right[order[np.searchsorted(self.ids[order], ids)]]
        return found


def worst(answers: Iterable[Right]) -> Right:
    """Right under every one, on the images that all of them saw."""
    found = list(answers)
    ids = shared(found)
    right = np.ones(len(ids), bool)
    for answer in found:
        right &= answer.at(ids)
    return Right(ids, right)


def shared(answers: Iterable[Right]) -> NDArray[np.int64]:
    """The images that all saw, in order."""
    found = [answer.ids for answer in answers]
    if all(other is found[0] for other in found):
        return found[0]
    ids = np.unique(found[0])
    for other in found[1:]:
        ids = np.intersect1d(ids, other)
    return ids
