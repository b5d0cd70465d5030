"""What the searches for the smallest perturbation share; with a budget they take any perturbation inside its ball."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..engine.search import Search, Step


@dataclass(frozen=True, kw_only=True)
class NearestSearch(Search):
    """With eps None the smallest perturbation is sought, else any inside the ball."""

    def judged(
        self, points: Tensor, logits: Tensor, wrong: Tensor, distance: Tensor, k: Tensor, done: Tensor
    ) -> Step:
        """The k-th step: points that are wrong count by their distance (m,), or any where that is within eps."""
        if self.eps is not None:
            return Step(points, logits, k, done, distance <= self.eps)
        return Step(points, logits, k, done, wrong, torch.where(wrong, distance, torch.inf))
