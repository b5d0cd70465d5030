"""What goes to a worker and what comes back, in whatever process it is: plain values and arrays, never a tensor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..specs import Cell, ModelSpec
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


@dataclass(frozen=True, eq=False, kw_only=True)
class Job:
    """Work on models that is no cell of the store, and that any worker may do.

    Attributes:
        label: what it is, as progress and errors say it.
        models: what it asks of the worker.
        ask: a function of a module, called with the worker and the arguments.
        arguments: made in the driver when the job begins; they travel, as does what `ask` returns.
    """

    label: str
    models: Sequence[ModelSpec]
    ask: Callable[..., Any]
    arguments: Callable[[], tuple[Any, ...]]


@dataclass(frozen=True)
class Failure:
    """Why a model gave no answer; it is left out of what follows."""

    model: str
    message: str
