"""The `train.*` keys of a recipe, their defaults and ranges."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, get_type_hints

from ...errors import InputError
from ...reading.options import FLAG, between, check_fields, count, counts
from ...specs import BUDGETED, Eps, norm_facts

WORK = "how the work is done, not what is learned"  # in the type of a key of which that is true


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """The `train.*` keys.

    Attributes:
        init: weights to start from: a run, a checkpoint or a name of the zoo of the same body; or "random".
        epochs: passes over the training images.
        batch_size: images per step, over all devices together.
        lr: largest learning rate.
        momentum: momentum of SGD.
        nesterov: use Nesterov momentum.
        weight_decay: weight decay on every parameter.
        schedule: "cosine" (per iteration, to `lr_min`), "step" (x `gamma` at `milestones`) or "one-cycle".
        lr_min: learning rate at which "cosine" ends.
        milestones: epochs at which "step" lowers the rate.
        gamma: factor by which "step" lowers the rate.
        warmup: share of all steps in which "one-cycle" rises, or the others warm up linearly.
        crop: pixels of zero padding for random crops, 0 for none.
        flip: mirror half of the images.
        cutout: side of a square hole in pixels, 0 for none.
        sizes: side in pixels to which images are reduced, epoch by epoch; epochs after the last take them whole.
            A recipe's own follow its epochs where those are changed.
        augmix: weight of AugMix's consistency loss (Hendrycks et al. 2020), 0 for none.
        label_smoothing: share of the target spread over all classes.
        ema: decay of a moving average of the weights, 0 for none; the average is what is saved.
        auxiliary: factor of the reconstruction-and-sparsity loss of the sparse layers.
        adversary: "none", "fgsm" (random start, Wong et al. 2020), "pgd" (Madry et al. 2018) or "trades"
            (Zhang et al. 2019).
        eps: the adversary's budget, a fraction such as 8/255.
        norm: "linf", "l2" or "l1"; `eps` is to be given with it.
        attack_steps: steps of the adversary.
        attack_step_size: a fraction; "auto" is 1.25 eps for fgsm, else 2.5 eps / steps.
        beta: weight of TRADES' robust term.
        precision: "auto", "float32", "bfloat16" or "float64".
        channels_last: memory format of images and weights.
        compile: pass the model through torch.compile.
        hold_out: share of the training images kept aside to choose the best checkpoint, 0 for none.
        limit: number of training images, 0 for all: the first, or evenly spaced ones if sorted by class.
        seed: seed of weights, order and augmentation.
        threads: CPU threads, 0 for torch's default.
        workers: threads that decode images which do not fit in memory.
        save_minutes: save the state this often, and after epochs if that takes at most a twentieth of the time.
        test_every: measure test accuracy every this many epochs, for the curve alone; 0: only at the end.
    """

    init: str = "random"
    epochs: Annotated[int, count(1, 100_000)] = 220
    batch_size: Annotated[int, count(1, 1_000_000)] = 128
    lr: Annotated[float, between(0, 1000)] = 0.1
    momentum: Annotated[float, between(0, 1)] = 0.9
    nesterov: Annotated[bool, FLAG] = True
    weight_decay: Annotated[float, between(0, 10)] = 5e-4
    schedule: Annotated[str, ("cosine", "step", "one-cycle")] = "cosine"
    lr_min: Annotated[float, between(0, 1000)] = 1e-6
    milestones: Annotated[tuple[int, ...], counts(1, 100_000)] = (30, 60, 90)
    gamma: Annotated[float, between(0, 1)] = 0.1
    warmup: Annotated[float, between(0, 1)] = 0.0
    crop: Annotated[int, count(0, 256)] = 4
    flip: Annotated[bool, FLAG] = True
    cutout: Annotated[int, count(0, 1024)] = 0
    sizes: Annotated[tuple[int, ...], counts(4, 1024)] = ()
    augmix: Annotated[float, between(0, 1000)] = 0.0
    label_smoothing: Annotated[float, between(0, 0.999)] = 0.0
    ema: Annotated[float, between(0, 0.99999)] = 0.0
    auxiliary: Annotated[float, between(0, 1000)] = 0.0
    adversary: Annotated[str, ("none", "fgsm", "pgd", "trades")] = "none"
    eps: str = "8/255"
    norm: Annotated[str, BUDGETED] = "linf"
    attack_steps: Annotated[int, count(1, 1000)] = 10
    attack_step_size: str = "auto"
    beta: Annotated[float, between(0, 1000)] = 6.0
    precision: Annotated[str, ("auto", "float32", "bfloat16", "float64")] = "auto"
    channels_last: Annotated[bool, FLAG, WORK] = True
    compile: Annotated[bool, FLAG, WORK] = False
    hold_out: Annotated[float, between(0, 0.9)] = 0.0
    limit: Annotated[int, count(0, 2**63 - 1)] = 0
    seed: Annotated[int, count(0, 2**63 - 1)] = 0
    threads: Annotated[int, count(0, 4096), WORK] = 0
    workers: Annotated[int, count(1, 1024), WORK] = 8
    save_minutes: Annotated[float, between(0, 1e6), WORK] = 1.0
    test_every: Annotated[int, count(0, 100_000), WORK] = 0

    def __post_init__(self) -> None:
        check_fields(self, "train.")
        for name in ("milestones", "sizes"):  # a list of Python's is the same
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for key, read in (("eps", "radius"), ("attack_step_size", "step_radius")):
            try:
                getattr(self, read)
            except InputError as error:  # here, not in the first step
                raise InputError(f"train.{key}: {error}") from None
        if self.adversary != "none" and self.norm != "linf" and self.eps == norm_facts("linf").eps:
            raise InputError(
                f"train.eps: {self.eps} is a linf budget and almost nothing in {self.norm}. Give train.eps with "
                f"train.norm, such as {norm_facts(self.norm).eps}."
            )
        if self.schedule == "cosine" and self.lr_min > self.lr:
            raise InputError(
                f"train.lr_min={self.lr_min:g} is above train.lr={self.lr:g}, from which 'cosine' falls. Lower it."
            )
        if self.augmix and self.adversary != "none":
            raise InputError("train.augmix and train.adversary cannot be combined: each brings its own loss.")

    def learning_rate(self, step: int, steps_total: int) -> float:
        """The learning rate of one step: a function of it, so that a resumed run needs no scheduler state.

        "cosine" falls from `lr` at step 0 towards `lr_min` (Loshchilov and Hutter 2017, per iteration); "one-cycle"
        rises linearly to `lr` over `warmup` of all steps, 30 % by default, and falls linearly to zero.
        """
        progress = step / steps_total
        if self.schedule == "one-cycle":
            peak = self.warmup or 0.3
            return self.lr * (
                min((step + 1) / (peak * steps_total), 1) if progress < peak else (1 - progress) / (1 - peak)
            )
        rise = min(1.0, (step + 1) / (self.warmup * steps_total)) if self.warmup else 1.0
        if self.schedule == "step":
            epoch = step * self.epochs // steps_total
            passed = sum(epoch >= milestone for milestone in self.milestones)
            return rise * self.lr * self.gamma**passed
        return rise * (self.lr_min + (self.lr - self.lr_min) * (1 + math.cos(math.pi * progress)) / 2)

    @property
    def radius(self) -> float:
        """The adversary's budget in [0, 1] pixel units."""
        return float(Eps.parse(self.eps, self.norm))

    @property
    def step_radius(self) -> float:
        """The adversary's step size in [0, 1] pixel units."""
        if self.attack_step_size != "auto":
            return float(Eps.parse(self.attack_step_size, self.norm))
        return 1.25 * self.radius if self.adversary == "fgsm" else 2.5 * self.radius / self.attack_steps


WORKING_KEYS = frozenset(
    name
    for name, kind in get_type_hints(TrainOptions, include_extras=True).items()
    if WORK in getattr(kind, "__metadata__", ())
)
