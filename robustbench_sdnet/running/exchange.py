"""What goes to a worker and what comes back, in whatever process it is: plain values and arrays, never a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..specs import Cell
from ..store.outcome import Outcome


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a task needs of its parents: outcomes and perturbed images, by cell id."""

    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    images: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Answer:
    """The outcome of one cell of a task, what it cost, and the perturbed images of an attack."""

    cell: Cell
    outcome: Outcome
    cost: dict[str, Any]
    images: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class Failure:
    """Why a model gave no answer; it is left out of what follows."""

    model: str
    message: str
