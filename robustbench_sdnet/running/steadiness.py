"""What is kept of the predictions on a batch: each as it is, or how steady they stay along a sequence.

Flips and top-5 distances are those of Hendrycks & Dietterich 2019 (arXiv:1903.12261), counted as the published
evaluation counts: noises are compared with the clean first frame, everything else with the frame before, or with one
further back at a greater difficulty.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from ..specs import Perturbation, SequenceSpec
from .outcomes import Prediction

TOP = 5


@dataclass(eq=False)
class Single:
    """The prediction on images that are shown once."""

    found: Prediction = field(default_factory=dict)

    def see(self, _logits: Tensor, predicted: Prediction) -> None:
        """Keep it."""
        self.found = predicted

    def arrays(self) -> Prediction:
        """What an outcome holds of the batch."""
        return self.found


@dataclass(eq=False)
class Steadiness:
    """The predictions along a sequence, told frame by frame.

    Attributes:
        seen: the prediction on each frame so far.
        before: the order of classes on the frames that later ones are compared with, (n, classes) each.
        flips, shifts: (n,) counts so far, see `store.outcome.Outcome`.
    """

    spec: SequenceSpec
    seen: list[Prediction] = field(default_factory=list)
    before: deque[Tensor] = field(default_factory=deque)
    flips: Tensor | int = 0
    shifts: Tensor | int = 0

    def see(self, logits: Tensor, predicted: Prediction) -> None:
        """Count the next frame, from its (n, classes) logits."""
        self.seen.append(predicted)
        order = logits.argsort(dim=1, descending=True, stable=True)  # of equal logits the smaller class first
        if len(self.before) == (1 if self.spec.first else self.spec.difficulty):
            other = self.before[0]
            self.flips = self.flips + (order[:, 0] != other[:, 0]).int()
            self.shifts = self.shifts + top_distance(other, order)
            if self.spec.first:
                return
            self.before.popleft()
        self.before.append(order)

    def arrays(self) -> Prediction:
        """What an outcome holds of the batch; lambda and residual are those of the first frame."""
        right = np.stack([one["right"] for one in self.seen])
        every = right.all(0)
        counts = {name: torch.as_tensor(getattr(self, name)).cpu().numpy() for name in ("flips", "shifts")}
        return {
            **self.seen[0],
            "right": every,
            "broken_at": np.where(every, -1, right.argmin(0)).astype(np.int32),
            "margin": np.stack([one["margin"] for one in self.seen]).min(0),
            **{name: count.astype(np.int32) for name, count in counts.items()},
        }


Predicted = Single | Steadiness


def predicting(spec: Perturbation) -> Predicted:
    """What keeps the predictions on a batch under a perturbation."""
    return Steadiness(spec) if isinstance(spec, SequenceSpec) else Single()


def top_distance(order: Tensor, other: Tensor) -> Tensor:
    """(n,) top-5 distance: over the likeliest five classes of `order`, how far each moved in `other`.

    Ranks count from 0, and from the sixth class on all are 5. Both arguments are (n, classes), the likeliest first.
    """
    top = order[:, :TOP]
    moved = other.argsort(dim=1).gather(1, top).clamp(max=TOP)
    return (moved - torch.arange(top.shape[1], device=order.device)).abs().sum(1)
