"""The sign that every gradient attack leaves for free: first gradients that were zero or not finite. Needs no torch."""

from __future__ import annotations

from ..statistics import exceeds_rare_rate


def stands_still(gradients: int, silent: int) -> str | None:
    """What to say of an attack more of whose first gradients were silent than chance explains; None of others."""
    if not exceeds_rare_rate(silent, gradients):
        return None
    return (
        f"The first gradient is zero or not finite on {silent} of {gradients} images, where the attack stands still. "
        "Attack with square, which needs no gradient, or see what stops the gradient (saturated logits, rounding)."
    )
