"""Standard AutoAttack (Croce & Hein 2020, arXiv:2003.01690): four attacks in a row, each on the survivors."""

from __future__ import annotations

from torch import Tensor
from typing_extensions import Unpack

from ..engine.passes import Classifier
from ..engine.result import AttackResult
from .chain import run_chain
from .wrapper import Run, attack


@attack
def autoattack(
    model: Classifier,
    images: Tensor,
    labels: Tensor,
    *,
    eps: float,
    variant: str = "standard",
    **run: Unpack[Run],
) -> AttackResult:
    """APGD-CE (100 steps), APGD-T (100 x 9 targets), FAB-T (100 x 9 targets), Square (5,000 queries).

    In l1 APGD-CE has five restarts and APGD-T five targets (Croce & Hein 2021, arXiv:2103.01208).

    Args:
        variant: "standard", or "rand" for models that draw random numbers: APGD-CE and APGD-DLR, each
            gradient averaged over 20 passes.
        early_stop: as in `pgd`, within a stage; stages always run on survivors only.

    Returns what `run_chain` does; other arguments and the errors are those of `pgd`.
    """
    return run_chain("autoattack", {"variant": variant}, model, images, labels, eps, run)
