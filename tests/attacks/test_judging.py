"""How images are ordered where a model draws: by counts of fresh answers, then by margins."""

from __future__ import annotations

import torch

from robustbench_sdnet.attacks.engine.judging import Judge
from robustbench_sdnet.attacks.engine.passes import Passes
from robustbench_sdnet.specs import Repeats


def test_images_that_no_draw_was_asked_about_stand_behind_all_others() -> None:
    judge = Judge(Passes(lambda images: images), Repeats(3, "mean"))
    scores = judge.unjudged(torch.tensor([-100.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 100.0]))
    assert float(scores.min()) > 3, "no count is above 3"
    assert bool((scores.diff() > 0).all()), "in the order of their margins"
