"""The training loop: read it from `fit` downwards.

Nothing in a step waits for the device: learning rates are functions of the step, losses are summed where
they arise, and the first step with a loss that is not finite is remembered there too. Results are read at
the end of an epoch, and when the state is saved.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from ...errors import TrainingError
from ...zoo.nets.control import settle_step_sizes
from ..recipes.options import TrainOptions
from ..run.distributed import distribute, total, world
from .augment import reduced
from .device import Device
from .feed import Batch, Feed
from .objective import Objective

Event = Mapping[str, Any]
NEVER = 2**62
SETTLED = 100  # power iterations an epoch, without which the saved network is not the trained one


@dataclass
class Session:
    """Everything that changes while a model is trained.

    Attributes:
        objective: `Objective` of the model, or its distributed wrapper.
        average: moving average of the model, or None.
        step: steps done.
        loss: sum of this epoch's losses, on the device.
        bad_step: first step with a loss that is not finite, on the device.
        history: one record an epoch.
        best: (held-out accuracy, weights) of the best epoch, where images are held out.
        images, seconds: trained on, whatever their size, and how long that took, saving and testing left out.
    """

    model: nn.Module
    objective: nn.Module
    average: nn.Module | None
    optimiser: torch.optim.Optimizer
    feed: Feed
    options: TrainOptions
    device: Device
    step: int = 0
    history: list[dict[str, float]] = field(default_factory=list)
    best: tuple[float, dict[str, Tensor]] | None = None
    images: int = 0
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self.loss = torch.zeros((), dtype=self.device.widest, device=self.device.device)
        self.bad_step = torch.full((), NEVER, dtype=torch.int64, device=self.device.device)
        # Tensors of the average beside those of the model: looked up once, they stay where they are.
        sides = [] if self.average is None else [self.average, self.model]
        states = [list(module.state_dict().values()) for module in sides]
        self._floats = [[tensor for tensor in state if tensor.is_floating_point()] for state in states]
        self._counters = [[tensor for tensor in state if not tensor.is_floating_point()] for state in states]

    @property
    def steps_total(self) -> int:
        """Of the whole run."""
        return self.feed.steps * self.options.epochs

    def side(self, epoch: int) -> int:
        """The side of the images of an epoch, from 0."""
        sizes, whole = self.options.sizes, max(self.feed.data.image_shape)
        return min(sizes[epoch], whole) if epoch < len(sizes) else whole

    def cost(self, step: int) -> float:
        """What the steps before this one cost, in steps on whole images: smaller ones cost by their area."""
        whole, steps = max(self.feed.data.image_shape), self.feed.steps
        spared = (
            (1 - (self.side(epoch) / whole) ** 2) * min(max(step - epoch * steps, 0), steps)
            for epoch in range(len(self.options.sizes))
        )
        return step - sum(spared)

    @property
    def speed(self) -> float | None:
        """Images a second, over every size they had; None before the first step."""
        return round(self.images / self.seconds, 1) if self.seconds else None

    @property
    def result(self) -> nn.Module:
        """The model that is evaluated and saved."""
        return self.model if self.average is None else self.average

    def reopen_epoch(self) -> None:
        """Take back the record of the epoch that has just ended: `fit` makes it again before it goes on."""
        self.loss.fill_(self.history.pop()["loss"] * self.feed.steps)

    @torch.no_grad()
    def move_average(self, decay: float) -> None:
        """Move the average towards the model; counters are copied."""
        average, model = self._floats
        torch._foreach_lerp_(average, model, 1 - decay)
        average, model = self._counters
        torch._foreach_copy_(average, model)


def start(model: nn.Module, feed: Feed, options: TrainOptions, device: Device) -> Session:
    """A session at step 0; the model is moved to the device."""
    model = device.place(model).train()
    objective: nn.Module = Objective(model, options, device, compiled=options.compile)
    if world().processes > 1:
        objective = distribute(objective, device.device)
    optimiser = torch.optim.SGD(
        model.parameters(),
        lr=options.lr,
        momentum=options.momentum,
        nesterov=options.nesterov and options.momentum > 0,
        weight_decay=options.weight_decay,
        fused=True,
    )
    average = copy.deepcopy(model).requires_grad_(False) if options.ema else None
    return Session(model, objective, average, optimiser, feed, options, device)


def fit(
    session: Session, *, after_step: Callable[[], None], after_epoch: Callable[[dict[str, float]], None]
) -> None:
    """Train to the last step, from any; TrainingError where the loss is not finite.

    `after_step` may raise to stop; `after_epoch` gets the epoch's record, which it may extend.
    """
    feed = session.feed
    if session.step and session.step % feed.steps == 0 and len(session.history) < session.step // feed.steps:
        _end_epoch(session, after_epoch)  # the state was saved after an epoch's last step, before its record
    while session.step < session.steps_total:
        epoch, offset = divmod(session.step, feed.steps)
        session.model.train()
        begun = time.monotonic()
        if offset == 0:
            settle_step_sizes(session.model, SETTLED - feed.steps)
        for batch in feed.epoch(epoch, offset):
            train_step(session, batch)
            session.seconds += time.monotonic() - begun
            after_step()
            begun = time.monotonic()
        session.device.wait()  # the host is ahead of a GPU by steps that this epoch's images still take
        session.seconds += time.monotonic() - begun
        _end_epoch(session, after_epoch)


def _end_epoch(session: Session, after_epoch: Callable[[dict[str, float]], None]) -> None:
    check_finite(session)
    steps = session.feed.steps
    record = {"epoch": session.step // steps, "step": session.step, "loss": float(session.loss) / steps}
    record["lr"] = session.options.learning_rate(session.step - 1, session.steps_total)
    session.loss.zero_()
    session.history.append(record)
    after_epoch(record)


def train_step(session: Session, batch: Batch) -> None:
    """One update."""
    options, step = session.options, session.step
    rate = options.learning_rate(step, session.steps_total)
    for group in session.optimiser.param_groups:
        group["lr"] = rate
    images = reduced(batch.images, session.side(step // session.feed.steps))
    loss = session.objective(images, batch.labels, batch.ids, step)
    loss.backward()
    session.optimiser.step()
    # The fused kernel does not raise the versions by which sparse layers see that their atoms have moved.
    for group in session.optimiser.param_groups:
        for parameter in group["params"]:
            torch.autograd.graph.increment_version(parameter)
    session.optimiser.zero_grad(set_to_none=True)
    if session.average is not None:
        session.move_average(min(options.ema, (1 + step) / (10 + step)))
    loss = total(loss.detach()) / world().processes
    session.loss += loss
    session.bad_step = torch.where(loss.isfinite(), session.bad_step, session.bad_step.clamp_max(step))
    session.step += 1
    session.images += len(batch.labels) * world().processes
    if not session.device.is_gpu:
        check_finite(session)


def check_finite(session: Session) -> None:
    """Stop where a loss was not finite, with a TrainingError that says the step, its learning rate and what to try."""
    bad = int(session.bad_step)
    if bad == NEVER:
        return
    if bad == 0:
        raise TrainingError(
            "The loss is not finite at step 1, before any update. Check model.mean, model.std and train.init, and name "
            "another --output."
        )
    rate = session.options.learning_rate(bad, session.steps_total)
    hint = "train.precision=float32" if session.device.autocast else "a longer train.warmup"
    raise TrainingError(
        f"The loss is not finite at step {bad + 1} (learning rate {rate:.3g}). "
        f"Lower the rate (--set train.lr={session.options.lr / 3:.2g}) or try {hint}, with another --output."
    )
