"""Judging images by several fresh answers of a model that draws random numbers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ...errors import InputError
from ...specs import Repeats
from ...wording import shown
from .losses import margin
from .passes import Passes
from .search import Rows, Step


@dataclass(frozen=True)
class Judge:
    """Decides by fresh draws; no draw of a search ever does."""

    passes: Passes
    repeats: Repeats

    def count(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(n,) int64 how many fresh draws are right, and (n,) the mean of their margins."""
        hits, total = torch.zeros_like(labels), images.new_zeros(len(labels))
        for _ in range(self.repeats.draws if len(labels) else 0):
            margins = margin(self.passes.exact(images), labels)
            hits, total = hits + (margins >= 0), total + margins
        return hits, total / self.repeats.draws

    def of_step(self, step: Step, rows: Rows, broken: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Which rows of those that look `broken` (m,) are, and their score: the image with the fewest right draws wins.

        A row that does not look broken is not counted, and stands behind all that are, by its `scores` (m,).
        """
        which = broken.nonzero()[:, 0]
        hits, _ = self.count(step.images[which], rows.labels[which])
        found = self.unjudged(scores).index_copy(0, which, hits.to(scores))
        broken = broken & (found == 0)
        return broken, found if step.score is None else torch.where(broken, step.score, torch.inf)

    def at_start(self, hits: Tensor, margins: Tensor) -> Tensor:
        """(n,) scores of the images themselves: where a draw was wrong, only fewer right ones are better."""
        return torch.where(hits < self.repeats.draws, hits.to(margins), self.unjudged(margins))

    def unjudged(self, margins: Tensor) -> Tensor:
        """(m,) scores above every count, in the order of the margins."""
        return self.repeats.draws + 1 + margins / (1 + margins.abs())


def judge_of(passes: Passes, answers: int | None, protocol: str) -> Judge | None:
    """The judge of so many fresh answers, None for none; an InputError for a protocol that then counts nothing."""
    if answers is None and protocol != "mean":
        raise InputError(
            f"protocol='{shown(protocol)}' counts fresh answers, and there are none. Give answers, such as answers=10."
        )
    return None if answers is None else Judge(passes, Repeats(answers, protocol))
