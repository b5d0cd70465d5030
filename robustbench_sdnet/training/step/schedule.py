"""Learning rates as functions of the step: a resumed run needs no scheduler state."""

from __future__ import annotations

import math

from ..recipes.options import TrainOptions


def learning_rate(options: TrainOptions, step: int, steps_total: int) -> float:
    """The learning rate of one step.

    "cosine" falls from `lr` at step 0 towards `lr_min` (Loshchilov and Hutter 2017, per iteration); "one-cycle" rises
    linearly to `lr` over `warmup` of all steps, 30 % by default, and falls linearly to zero.
    """
    progress = step / steps_total
    if options.schedule == "one-cycle":
        peak = options.warmup or 0.3
        return options.lr * (
            min((step + 1) / (peak * steps_total), 1) if progress < peak else (1 - progress) / (1 - peak)
        )
    rise = min(1.0, (step + 1) / (options.warmup * steps_total)) if options.warmup else 1.0
    if options.schedule == "step":
        epoch = step * options.epochs // steps_total
        passed = sum(epoch >= milestone for milestone in options.milestones)
        return rise * options.lr * options.gamma**passed
    return rise * (options.lr_min + (options.lr - options.lr_min) * (1 + math.cos(math.pi * progress)) / 2)
