"""A model by its weights and a split of a data set by its content, and the one text of what identifies them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

Params = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A model by its weights. `name` is for readers, `source` is what `load_model` takes; neither identifies it."""

    name: str
    source: str
    arch: str
    weights: str
    options: Params = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    training_lambda: float | None = None

    @property
    def has_lambda(self) -> bool:
        """Whether the model has CSC layers, and so a lambda to choose."""
        return self.training_lambda is not None

    @property
    def key(self) -> str:
        """The identity as one text: equal for equal models, whatever they are called."""
        return canonical(self.identity())

    def identity(self) -> dict[str, Any]:
        """What can change an answer."""
        return {
            "arch": self.arch,
            "weights": self.weights,
            "options": dict(self.options),
            "mean": self.mean,
            "std": self.std,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """A split of a data set by its content. `source` is what `data.load` takes."""

    name: str
    source: str
    split: str
    content: str

    def identity(self) -> dict[str, Any]:
        """What can change an answer."""
        return {"split": self.split, "content": self.content}


def params(pairs: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> Params:
    """Hyper-parameters as a sorted, hashable tuple of pairs; lists become tuples."""
    items = pairs.items() if isinstance(pairs, Mapping) else pairs
    return tuple(sorted((str(key), _frozen(value)) for key, value in items))


def _frozen(value: Any) -> Any:
    return tuple(_frozen(item) for item in value) if isinstance(value, list | tuple) else value


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
