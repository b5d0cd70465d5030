"""The loop's bookkeeping: an epoch's record is made once, whenever a state was saved."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from robustbench_sdnet.training.step import loop


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
    monkeypatch.setattr(loop, "learning_rate", lambda options, step, total: 0.1)
    feed = SimpleNamespace(steps=3, epoch=lambda epoch, offset=0: range(offset, 3))
    model = torch.nn.Identity()
    return SimpleNamespace(
        feed=feed,
        model=model,
        step=0,
        steps_total=6,
        loss=torch.zeros(()),
        history=[],
        options=None,
        seconds=0.0,
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
