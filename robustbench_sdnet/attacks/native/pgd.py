"""Projected gradient descent (Madry et al. 2018, arXiv:1706.06083), and its one step, FGSM."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor
from typing_extensions import Unpack

from ...draws import Draws
from ..engine.ball import column
from ..engine.batches import free_to_look
from ..engine.losses import cross_entropy, margin
from ..engine.passes import Classifier, Passes
from ..engine.result import AttackResult
from ..engine.search import Rows, Search, State, Step
from ..registry import ATTACKS, check_rule
from .wrapper import Run, attack, positive, run_native

SAME_ANSWER = 1e-5
"""How far two margins of one image may lie apart by rounding; a model that draws random numbers goes farther."""


@dataclass(frozen=True, kw_only=True)
class PgdSearch(Search):
    """x_{k+1} = P(x_k + step_size * steepest ascent direction of the cross-entropy at x_k)."""

    eps: float
    counts_from: int = 0
    step_size: float | None
    random_start: bool
    start: Tensor | None = None
    leaves_cycles: bool
    returns_last: bool = True

    def __post_init__(self) -> None:
        if self.step_size:  # 0 is fgsm's with a budget of 0
            check_rule(ATTACKS["pgd"], "step_size", self.step_size)

    def begin(self, rows: Rows) -> State:
        points = rows.images.clone() if self.start is None else self.start[rows.index]
        if self.random_start:
            draws = Draws.of(self.seed, "pgd", rows.ids)
            points = self.ball.random_in_ball(draws, rows.images, self.eps, rows.attempt)
        state = {"x": points}
        if self.leaves_cycles and self.ball.signs:
            nothing = torch.full_like(points[:, 0, 0, 0], torch.nan)
            state |= {"anchor": torch.full_like(points, -1), "anchor_margin": nothing}
        return state

    def step(self, passes: Passes, rows: Rows, state: State) -> Step:
        x, k = state["x"], rows.k
        done = k >= self.length
        logits, gradient = passes.gradient(
            x, lambda z, index: cross_entropy(z, rows.labels[index]), skip=done
        )
        size = self.eps / 4 if self.step_size is None else self.step_size
        state["x"] = self.ball.ascend(x, gradient, rows.images, size, self.eps)
        if "anchor" not in state:
            return Step(x, logits, done)
        cycled = ~done & self._repeats(x, margin(logits, rows.labels), k, state)
        return Step(x, logits, done | cycled, cycled=cycled)

    def _repeats(self, x: Tensor, margins: Tensor, k: Tensor, state: State) -> Tensor:
        """(m,) bool: the iterate is one seen before, and the model answers as it did there: nothing new will come.

        Brent's method: one earlier iterate is kept, and renewed at every power of two.
        """
        near = (margins - state["anchor_margin"]).abs() <= SAME_ANSWER * (1 + margins.abs())
        looks = free_to_look(x)
        found = near if looks and not bool(near.any()) else near & (x == state["anchor"]).flatten(1).all(1)
        renewed = (k & (k - 1)) == 0
        if not looks or bool(renewed.any()):
            state["anchor"] = torch.where(column(renewed, x), x, state["anchor"])
            state["anchor_margin"] = torch.where(renewed, margins, state["anchor_margin"])
        return found


@attack
def pgd(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    steps: int = 20,
    step_size: float | None = None,
    random_start: bool = True,
    restarts: int = 1,
    eot: int = 1,
    start: Tensor | None = None,
    **run: Unpack[Run],
) -> AttackResult:
    """Maximise the cross-entropy inside a ball by projected gradient steps.

    Args:
        model: maps images in [0, 1] to logits; a module is left as it is, but for what its own forward pass changes.
            A function is called as it is: put the modules in it into evaluation mode first.
        images: (n, c, h, w) float32 or float64 in [0, 1], not normalised.
        labels: (n,) int64.
        eps: radius in the units of `images`.
        norm: "linf", "l2" or "l1".
        steps: at most this many gradient steps per restart.
        step_size: length of a step; None means eps / 4.
        random_start: begin at a random point of the ball, drawn from seed and sample id.
        restarts: runs per sample, one after another until one breaks it.
        eot: gradients averaged per step (expectation over transformation), for models that draw random numbers.
        start: (n, c, h, w) points within `eps` of the images to begin at, instead of the images or a random start.
        early_stop: a sample leaves at its first success; False runs every sample to its last iterate.
        precision: "auto", "float32" or "bfloat16", of the search; successes are always confirmed in float32, in which
            smallest perturbations are sought, too.
        sample_ids: (n,) ids that key the random draws; None numbers the samples from 0, anew in every call.
        batch_size: at most this many samples at once; None means 100, on a GPU 500 (100 of more than 64 x 64 pixels).
        answers: of a model that draws random numbers: so many fresh ones on the final image decide, never those of the
            search; `extra["hits"]` (n,) holds how many were right, and `protocol` how they count (`specs.Repeats`).
            Without them such a model is warned of, found out by two more passes of four images.

    Returns:
        Outcomes per sample; without a success, the image is the one closest to breaking (the last iterate of
        the worst restart when `early_stop` is False). In linf steps have one size in every value, so that iterates
        can repeat: a restart ends at the first repetition, which changes no outcome, and `extra["cycled"]` (n,)
        bool says of which robust samples one did.

    Raises:
        InputError: an argument is out of range.
        ModelError: the model raised, returned logits that are not finite, or lets no gradient through.
    """
    search = partial(
        PgdSearch,
        length=positive("steps", steps),
        step_size=step_size,
        random_start=random_start and start is None,
        attempts=positive("restarts", restarts),
        leaves_cycles=run.get("early_stop", True) and run.get("answers") is None,
    )
    return run_native("pgd", search, model, images, labels, eps=eps, repeats=eot, start=start, **run)


@attack
def fgsm(
    model: Classifier, images: Tensor, labels: Tensor, *, eps: float, **run: Unpack[Run]
) -> AttackResult:
    """Fast gradient sign method (Goodfellow et al. 2015, arXiv:1412.6572): one full step from the image.

    x + eps * sign(gradient of the cross-entropy), or the steepest step of length eps; arguments as in `pgd`.
    """
    return pgd(model, images, labels, eps=eps, steps=1, step_size=eps, random_start=False, **run)
