"""Square attack (Andriushchenko et al. 2020, arXiv:1912.00049): random search, without gradients."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from types import MappingProxyType

import torch
from torch import Tensor
from typing_extensions import Unpack

from ...draws import Draws
from ..engine.ball import column
from ..engine.balls import BALLS
from ..engine.losses import margin
from ..engine.passes import Classifier, Passes
from ..engine.result import AttackResult
from ..engine.search import Rows, Search, State, Step
from ..registry import ATTACKS, check_rule
from .square_proposals import Bumps, Signs
from .wrapper import Run, attack, positive, run_native

PROPOSALS: Mapping[str, Signs | Bumps] = MappingProxyType(
    {"linf": Signs(BALLS["linf"]), "l2": Bumps(BALLS["l2"], 2), "l1": Bumps(BALLS["l1"], 1)}
)
"""What is proposed in each norm: signs in a square, or mass moved between two of them."""

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries after which the share of changed pixels halves (section 3.1, for 10,000 queries, not rescaled)."""


@lru_cache(maxsize=8)
def window_sides(
    queries: int, p_init: float, height: int, width: int, least: int, device: torch.device | str = "cpu"
) -> Tensor:
    """(queries + 1,) int64: the side of the window of each query; query 0 is the starting point."""
    shares = [p_init / 2 ** sum(query - 1 > edge for edge in HALVINGS) for query in range(queries + 1)]
    most = min(height, width)
    sides = [min(max(round(math.sqrt(p * height * width)), least), most) for p in shares]
    return torch.tensor(sides, device=device)


@dataclass(frozen=True, kw_only=True)
class SquareSearch(Search):
    """Keeps a proposal when it lowers the margin; every row has its own window, signs and counter.

    Most gains are small: in bfloat16 rounding would dismiss them, and the search would end short of where it gets to.
    """

    eps: float
    p_init: float

    def __post_init__(self) -> None:
        check_rule(ATTACKS["square"], "p_init", self.p_init)

    def begin(self, rows: Rows) -> State:
        draws = Draws.of(self.seed, "square", rows.ids)
        return {
            "x": rows.images,
            "next": PROPOSALS[self.ball.name].start(draws, rows.images, self.eps),
            "margin": torch.full_like(rows.labels, torch.inf, dtype=rows.images.dtype),
        }

    def step(self, passes: Passes, rows: Rows, state: State) -> Step:
        candidates = state["next"]
        logits, margins = _averaged(passes, candidates, rows.labels)
        better = margins < state["margin"]
        state["x"] = torch.where(column(better, candidates), candidates, state["x"])
        state["margin"] = torch.where(better, margins, state["margin"])
        state["next"] = self._propose(rows, state["x"], rows.k + 1)
        return Step(candidates, logits, rows.k >= self.length, better)

    def _propose(self, rows: Rows, best: Tensor, k: Tensor) -> Tensor:
        height, width = rows.images.shape[-2:]
        proposals = PROPOSALS[self.ball.name]
        sides = window_sides(self.length, self.p_init, height, width, proposals.least, k.device)
        size = sides[k.clamp_max(self.length)]
        draws = Draws.of(self.seed, "square", rows.ids)
        return proposals.propose(draws, rows.images, best, self.eps, size, k)


def _averaged(passes: Passes, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and margins (m,), each the mean of several answers."""
    answers = [passes.logits(images) for _ in range(passes.repeats)]
    if len(answers) == 1:
        return answers[0], margin(answers[0], labels)
    return torch.stack(answers).mean(0), torch.stack([margin(one, labels) for one in answers]).mean(0)


@attack
def square(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 5000,
    p_init: float = 0.8,
    eot: int = 1,
    **run: Unpack[Run],
) -> AttackResult:
    """Random search over squares on the margin loss.

    Args:
        steps: queries after the starting point.
        p_init: share of pixels that the first squares change.
        eot: margins averaged per query, for models that draw random numbers.

    Other arguments, the result and the errors are those of `pgd`.
    """
    search = partial(SquareSearch, length=positive("steps", steps), p_init=p_init)
    return run_native("square", search, model, images, labels, eps=eps, repeats=eot, **run)
