"""What an attack looks like to the active set: rows in, one evaluation of each of them out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from .ball import Ball
from .passes import Passes

State = dict[str, Tensor]
"""What a search remembers of its rows: every tensor has one entry a row."""


@dataclass(frozen=True)
class Rows:
    """Samples under attack: images (m, c, h, w), the rest (m,).

    `ranking` (m, classes - 1) lists the wrong classes, the most likely first at the clean image; `attempt`
    counts restarts and targets, and `k` the evaluations of the attempt so far.
    """

    images: Tensor
    labels: Tensor
    ids: Tensor
    index: Tensor
    attempt: Tensor
    k: Tensor
    ranking: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def targets(self) -> Tensor:
        """(m,) the wrong class that each row's attempt aims at."""
        return self.ranking.gather(1, self.attempt[:, None])[:, 0]


@dataclass(frozen=True)
class Step:
    """One evaluation of every row: logits (m, classes) at `images`.

    `done` (m,) bool says that the attempt is over, and rows where `inside` (m,) is False do not count as results. The
    result of the lowest `score` (m,) is kept; None stands for the margin. Of rows in `cycled` (m,) the attempt is over
    since they repeat themselves. `before` (m, classes) are the logits where the gradient was taken, if not at `images`.
    """

    images: Tensor
    logits: Tensor
    done: Tensor
    inside: Tensor | None = None
    score: Tensor | None = None
    cycled: Tensor | None = None
    before: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class Search(ABC):
    """An attack as the engine sees it.

    Attributes:
        ball: of the norm.
        eps: its radius; None for the smallest perturbation, so that no sample leaves before its course ends.
        seed: of all draws.
        length: the largest step number of one attempt.
        counts_from: the number of the attempt's first evaluation, 0 where that is a starting point, before any step.
        attempts: restarts, or targets.
        targeted: attempt t aims at wrong class number t of the ranking, so that classes bound the attempts.
        returns_last: without early leaving, the result is the last evaluated image, not the best one.
    """

    ball: Ball
    eps: float | None
    seed: int
    length: int
    counts_from: int = 1
    attempts: int = 1
    targeted: bool = False
    returns_last: bool = False

    @property
    def minimal(self) -> bool:
        """Whether the smallest perturbation counts."""
        return self.eps is None

    @abstractmethod
    def begin(self, rows: Rows) -> State:
        """The state at the start of each row's attempt, without a model pass."""

    @abstractmethod
    def step(self, passes: Passes, rows: Rows, state: State) -> Step:
        """Evaluate every row once and move its state on."""

    def nearest(self, points: Tensor, logits: Tensor, wrong: Tensor, distance: Tensor, done: Tensor) -> Step:
        """A step of a search for the smallest perturbation: points that are `wrong` (m,) count by their distance (m,).

        With a budget, any points within it count.
        """
        if self.eps is not None:
            return Step(points, logits, done, distance <= self.eps)
        return Step(points, logits, done, wrong, distance)
