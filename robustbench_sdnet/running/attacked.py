"""A cell's attack, run on its images."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import GradientWarning, ModelError
from ..specs import AttackSpec, Cell

if TYPE_CHECKING:
    from ..attacks.engine.result import AttackResult


def run_attack(
    cell: Cell,
    classifier: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    ids: NDArray[np.int64],
    batch_size: int,
    start: Tensor | None = None,
) -> AttackResult:
    """Run a cell's attack, from `start` where given; what goes wrong inside names the model and the attack."""
    from .. import attacks

    spec = cell.perturbation
    assert isinstance(spec, AttackSpec)  # narrows the type: corruptions are answered by predictions
    repeats = cell.model.repeats
    params = dict(spec.params) | ({} if start is None else {"random_start": False})
    try:
        with warnings.catch_warnings():
            # The answer holds the counts, from which the command line warns.
            warnings.simplefilter("ignore", GradientWarning)
            return attacks.run(
                spec.name,
                classifier,
                images,
                labels,
                eps=None if spec.eps is None else float(spec.eps),
                norm=spec.norm,
                params=params,
                seed=spec.seed,
                sample_ids=torch.from_numpy(ids),
                precision=cell.precision,
                batch_size=batch_size,
                start=start,
                answers=None if repeats is None else repeats.draws,
                protocol="mean" if repeats is None else repeats.protocol,
            )
    except ModelError as error:
        raise ModelError(f"{cell.model.name} under {spec.label}: {error}") from error
