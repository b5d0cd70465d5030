"""The `train.*` keys of a recipe, their defaults and ranges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...errors import InputError
from ...reading.options import Rule, between, check
from ...specs import BUDGETED, Eps


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """The `train.*` keys.

    Attributes:
        init: weights to start from: a run, a checkpoint or a name of the zoo of the same body; or "random".
        epochs: passes over the training images.
        batch_size: images a step, over all devices together.
        lr: largest learning rate.
        momentum: of SGD.
        nesterov: Nesterov's form of it.
        weight_decay: on every parameter.
        schedule: "cosine" (per iteration, to `lr_min`), "step" (x `gamma` at `milestones`) or "one-cycle".
        lr_min: where cosine ends.
        milestones: epochs at which "step" lowers the rate.
        gamma: factor of "step".
        warmup: share of all steps in which "one-cycle" rises, or the others warm up linearly.
        crop: pixels of zero padding for random crops, 0 for none.
        flip: mirror half of the images.
        cutout: side of a square hole in pixels, 0 for none.
        sizes: side in pixels to which images are reduced, epoch by epoch; epochs after the last take them whole.
        augmix: weight of AugMix's consistency loss (Hendrycks et al. 2020), 0 for none.
        label_smoothing: share of the target spread over all classes.
        ema: decay of a moving average of the weights, 0 for none; the average is what is saved.
        auxiliary: factor of the reconstruction-and-sparsity loss of the sparse layers.
        adversary: "none", "fgsm" (random start, Wong et al. 2020), "pgd" (Madry et al. 2018) or "trades"
            (Zhang et al. 2019).
        eps: the adversary's budget, a fraction such as 8/255.
        norm: "linf" or "l2".
        attack_steps: of the adversary.
        attack_step_size: a fraction; "auto" is 1.25 eps for fgsm, else 2.5 eps / steps.
        beta: weight of TRADES' robust term.
        precision: "auto", "float32", "bfloat16" or "float64".
        channels_last: memory format of images and weights.
        compile: pass the model through torch.compile.
        hold_out: share of the training images kept aside to choose the best checkpoint, 0 for none.
        limit: use the first so many training images, 0 for all.
        seed: of weights, order and augmentation.
        threads: CPU threads, 0 for torch's default.
        workers: threads that decode images which do not fit in memory.
        save_minutes: save the state this often, and at the end of epochs where that is a twentieth of the time at most.
        test_every: measure test accuracy every so many epochs, for the curve alone; 0 for the end only.
    """

    init: str = "random"
    epochs: int = 220
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = True
    weight_decay: float = 5e-4
    schedule: str = "cosine"
    lr_min: float = 1e-6
    milestones: tuple[int, ...] = (30, 60, 90)
    gamma: float = 0.1
    warmup: float = 0.0
    crop: int = 4
    flip: bool = True
    cutout: int = 0
    sizes: tuple[int, ...] = ()
    augmix: float = 0.0
    label_smoothing: float = 0.0
    ema: float = 0.0
    auxiliary: float = 0.0
    adversary: str = "none"
    eps: str = "8/255"
    norm: str = "linf"
    attack_steps: int = 10
    attack_step_size: str = "auto"
    beta: float = 6.0
    precision: str = "auto"
    channels_last: bool = True
    compile: bool = False
    hold_out: float = 0.0
    limit: int = 0
    seed: int = 0
    threads: int = 0
    workers: int = 8
    save_minutes: float = 1.0
    test_every: int = 0

    def __post_init__(self) -> None:
        check({name: getattr(self, name) for name in _RULES}, _RULES, "train.")
        if not all(4 <= side <= 1024 for side in self.sizes):
            raise InputError(f"train.sizes must lie in 4 to 1024, got {', '.join(map(str, self.sizes))}.")
        self.radius  # noqa: B018  an eps that cannot be read is refused here, not in the first step
        self.step_radius  # noqa: B018  likewise
        if self.augmix and self.adversary != "none":
            raise InputError("train.augmix and train.adversary cannot be combined: each brings its own loss.")

    def side(self, epoch: int, whole: int) -> int:
        """The side of the images of an epoch, from 0, where they are `whole` pixels on their longer side."""
        return min(self.sizes[epoch], whole) if epoch < len(self.sizes) else whole

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


_RULES: Mapping[str, Rule | tuple[str, ...]] = {
    "epochs": between(1, 100_000),
    "batch_size": between(1, 1_000_000),
    "lr": between(0, 1000),
    "momentum": between(0, 1),
    "weight_decay": between(0, 10),
    "lr_min": between(0, 1000),
    "gamma": between(0, 1),
    "warmup": between(0, 1),
    "crop": between(0, 256),
    "cutout": between(0, 1024),
    "augmix": between(0, 1000),
    "label_smoothing": between(0, 0.999),
    "ema": between(0, 0.99999),
    "auxiliary": between(0, 1000),
    "attack_steps": between(1, 1000),
    "beta": between(0, 1000),
    "hold_out": between(0, 0.9),
    "limit": between(0),
    "seed": between(0, 2**63 - 1),
    "threads": between(0, 4096),
    "workers": between(1, 1024),
    "save_minutes": between(0, 1e6),
    "test_every": between(0, 100_000),
    "schedule": ("cosine", "step", "one-cycle"),
    "adversary": ("none", "fgsm", "pgd", "trades"),
    "norm": BUDGETED,
    "precision": ("auto", "float32", "bfloat16", "float64"),
}
