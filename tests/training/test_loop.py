"""The loop's bookkeeping: an epoch's record is made once, whenever a state was saved."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
import torch

from robustbench_sdnet.training.recipes.options import TrainOptions
from robustbench_sdnet.training.step import loop
from robustbench_sdnet.training.step.device import Device
from robustbench_sdnet.training.step.feed import Batch
from robustbench_sdnet.training.step.loop import Session
from robustbench_sdnet.training.step.objective import Objective
from robustbench_sdnet.zoo import build_model


class Stopped(Exception):
    """The process was stopped after a step."""


@pytest.fixture
def session(monkeypatch):
    """Two epochs of three steps with a loss of 1 a step, nothing else."""

    def step(session, batch):
        session.step += 1
        session.loss += 1

    monkeypatch.setattr(loop, "train_step", step)
    monkeypatch.setattr(loop, "check_finite", lambda session: None)
    feed = SimpleNamespace(steps=3, epoch=lambda epoch, offset=0: range(offset, 3))
    model = torch.nn.Identity()
    return SimpleNamespace(
        feed=feed,
        model=model,
        step=0,
        steps_total=6,
        loss=torch.zeros(()),
        history=[],
        options=SimpleNamespace(learning_rate=lambda step, total: 0.1),
        seconds=0.0,
        device=SimpleNamespace(wait=lambda: None),
    )


@pytest.mark.parametrize("stop", range(1, 7))
def test_a_stop_after_any_step_loses_no_epoch(session, stop):
    def after_step():
        if session.step == stop:
            raise Stopped

    with pytest.raises(Stopped):
        loop.fit(session, after_step=after_step, after_epoch=lambda record: None)
    loop.fit(session, after_step=lambda: None, after_epoch=lambda record: None)
    assert [(row["epoch"], row["step"], row["loss"]) for row in session.history] == [(1, 3, 1.0), (2, 6, 1.0)]


def test_the_time_of_training_holds_what_a_device_has_still_to_do(session):
    session.device = SimpleNamespace(wait=lambda: time.sleep(0.05))
    loop.fit(session, after_step=lambda: None, after_epoch=lambda record: None)
    assert session.seconds >= 2 * 0.05, "two epochs"


def test_the_average_follows_the_model_by_its_decay_and_copies_the_counters():
    torch.manual_seed(0)
    model, average = (build_model("sdnet20", width=4) for _ in range(2))
    model.layer0[1].num_batches_tracked.fill_(7)
    before = {name: tensor.clone() for name, tensor in average.state_dict().items()}
    device = SimpleNamespace(device="cpu", widest=torch.float64)
    session = Session(model, None, average, None, None, TrainOptions(ema=0.9), device)
    for decay in (0.9, 0.5):
        session.move_average(decay)
    for name, found in average.state_dict().items():
        theirs = model.state_dict()[name]
        if found.is_floating_point():
            expected = (before[name].double() * 0.9 + theirs.double() * 0.1) / 2 + theirs.double() / 2
            torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=1e-7)
        else:
            assert torch.equal(found, theirs)
    assert int(average.layer0[1].num_batches_tracked) == 7


@pytest.mark.parametrize(("kind", "mode"), [("cpu", "default"), ("cuda", "reduce-overhead")])
def test_what_is_compiled_runs_as_a_graph_where_launches_cost_most(monkeypatch, kind, mode):
    asked = []
    monkeypatch.setattr(torch, "compile", lambda model, mode: asked.append(mode))
    device = Device(torch.device(kind), torch.float32, autocast=False, channels_last=True)
    Objective(build_model("resnet20", width=4), TrainOptions(), device, compiled=True)
    assert asked == [mode]


def test_a_run_is_sgd_with_nesterov_momentum_decay_and_a_moving_average_worked_by_hand():
    torch.manual_seed(0)
    images = torch.randint(256, (8, 3, 4, 4), dtype=torch.uint8)
    labels, ids = torch.arange(8) % 3, torch.arange(8)
    batches = [Batch(*(part[start : start + 4] for part in (images, labels, ids))) for start in (0, 4)]
    feed = SimpleNamespace(
        steps=2, epoch=lambda epoch, first=0: iter(batches[first:]), data=SimpleNamespace(image_shape=(4, 4))
    )
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 3)).double()
    model.register_buffer("counter", torch.tensor(0))
    weight, bias = (parameter.detach().clone() for parameter in model.parameters())
    options = TrainOptions(
        epochs=2,
        batch_size=4,
        lr=0.3,
        momentum=0.8,
        weight_decay=0.02,
        lr_min=0.1,
        ema=0.25,
        label_smoothing=0.1,
    )
    device = Device(torch.device("cpu"), torch.float64, autocast=False, channels_last=False)
    session = loop.start(model, feed, options, device)
    loop.fit(session, after_step=lambda: None, after_epoch=lambda record: None)

    rates = [0.3, 0.1 + 0.2 * (1 + 0.5**0.5) / 2, 0.2, 0.1 + 0.2 * (1 - 0.5**0.5) / 2]
    decays = [0.1, 2 / 11, 0.25, 0.25]  # (1 + step) / (10 + step) until it is 0.25
    average, velocity, losses = (weight, bias), (0.0, 0.0), []
    for step, (rate, decay) in enumerate(zip(rates, decays, strict=True)):
        batch = batches[step % 2]
        x = batch.images.flatten(1).double() / 255
        chances = (x @ weight.T + bias).softmax(1)
        target = torch.eye(3).double()[batch.labels] * 0.9 + 0.1 / 3
        losses.append(float(-(target * chances.log()).sum(1).mean()))
        wrong = (chances - target) / 4
        gradients = (wrong.T @ x + 0.02 * weight, wrong.sum(0) + 0.02 * bias)
        velocity = tuple(0.8 * v + g for v, g in zip(velocity, gradients, strict=True))
        weight, bias = (
            p - rate * (g + 0.8 * v) for p, g, v in zip((weight, bias), gradients, velocity, strict=True)
        )
        average = tuple(decay * a + (1 - decay) * p for a, p in zip(average, (weight, bias), strict=True))
    for module, expected in ((session.model, (weight, bias)), (session.result, average)):
        for found, wanted in zip(module.parameters(), expected, strict=True):
            torch.testing.assert_close(found, wanted)
    rows = [(row["epoch"], row["step"], row["loss"], row["lr"]) for row in session.history]
    assert rows[0] == pytest.approx((1, 2, sum(losses[:2]) / 2, rates[1]))
    assert rows[1] == pytest.approx((2, 4, sum(losses[2:]) / 2, rates[3]))
    assert session.images == 16
