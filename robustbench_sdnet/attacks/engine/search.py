"""What an attack looks like to the active set: rows in, one evaluation of each of them out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from .passes import Passes

State = dict[str, Tensor]
"""What a search remembers of its rows: every tensor has one entry a row."""


@dataclass(frozen=True)
class Rows:
    """Samples under attack: images (m, c, h, w), the rest (m,).

    `ranking` (m, classes - 1) lists the wrong classes, the most likely first at the clean image; `attempt`
    counts restarts and targets from 0.
    """

    images: Tensor
    labels: Tensor
    ids: Tensor
    index: Tensor
    attempt: Tensor
    ranking: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Step:
    """One evaluation of every row: logits (m, classes) at `images`.

    `number` (m,) counts steps within the attempt, `done` (m,) bool says that the attempt is over, and rows
    where `inside` (m,) is False do not count as results. The result of the lowest `score` (m,) is kept; None
    stands for the margin. Of rows in `cycled` (m,) the attempt is over since they repeat themselves.
    """

    images: Tensor
    logits: Tensor
    number: Tensor
    done: Tensor
    inside: Tensor | None = None
    score: Tensor | None = None
    cycled: Tensor | None = None


class Search(Protocol):
    """An attack as the engine sees it.

    Attributes:
        attempts: restarts, or targets.
        targeted: attempt t aims at wrong class number t of the ranking, so that classes bound the attempts.
        minimal: the smallest perturbation counts, so that no sample leaves before its course ends.
        length: the largest step number of one attempt.
        returns_last: without early leaving, the result is the last evaluated image, not the best one.
    """

    @property
    def attempts(self) -> int: ...

    @property
    def targeted(self) -> bool: ...

    @property
    def minimal(self) -> bool: ...

    @property
    def length(self) -> int: ...

    @property
    def returns_last(self) -> bool: ...

    def begin(self, rows: Rows) -> State:
        """The state at the start of each row's attempt, without a model pass."""

    def step(self, passes: Passes, rows: Rows, state: State) -> Step:
        """Evaluate every row once and move its state on."""
