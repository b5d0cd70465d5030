"""What goes to a worker and what comes back, in whatever process it is: plain values and arrays, never a tensor."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import StoreError
from ..specs import Cell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..store.outcome import Outcome

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a task needs of its parents: outcomes and perturbed images, by cell id."""

    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    images: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


def of_parent(inputs: Mapping[str, T], cell: Cell) -> T:
    """What a cell starts from; a StoreError where it went from the store since the run began, as by a repair."""
    if cell.parents[0] not in inputs:
        raise StoreError(
            f"{cell.words} starts from an attack whose answers or images are no longer stored. Run the same command "
            "again."
        )
    return inputs[cell.parents[0]]


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
