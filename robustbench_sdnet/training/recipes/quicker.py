"""What would be quicker than a recipe, by its epochs and its passes an update."""

from __future__ import annotations

from .options import TrainOptions
from .recipe import load_recipe

QUICKER, QUICKER_ROBUST = "fast", "fast-at"


def passes(options: TrainOptions) -> int:
    """Forward-backward passes an update."""
    if options.augmix:
        return 3
    return {"none": 1, "fgsm": 2}.get(options.adversary, options.attack_steps + 1)


def quicker(options: TrainOptions) -> tuple[str, float]:
    """The quicker recipe of the same kind, plain or robust, and the share of the time that it takes."""
    name = QUICKER if options.adversary == "none" else QUICKER_ROBUST
    quick = load_recipe(name).train
    return name, quick.epochs * passes(quick) / (options.epochs * passes(options))
