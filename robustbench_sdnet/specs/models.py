"""A model by its weights and a split of a data set by its content, and the one text of what identifies them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from functools import cached_property
from typing import Any

from ..errors import InputError, unknown
from .lambdas import LambdaSpec
from .ranges import decimal_text

Params = tuple[tuple[str, Any], ...]
PROTOCOLS = ("mean", "majority", "any")
DRAWS = 11
MOST_DRAWS = 10_000
TOLERANCE = 1e-3  # of the largest logit: how far two answers of one model to the same images may lie apart
NO_LAMBDA = "no sparse coding layers, or it sets their lambda itself"  # why a model has none to set


@dataclass(frozen=True, slots=True)
class Repeats:
    """Answers are counted over fresh draws on the final image, which no search has seen; the count alone decides.

    An attack goes on while any draw is right, however the count is read.

    Arrays of counts, NumPy's or torch's, hold how many of the draws were right.

    Attributes:
        draws: fresh answers an image.
        protocol: "mean": an image counts by the share of draws that are right; "majority": it is right where more than
            half are; "any": it is broken by any wrong draw.
    """

    draws: int = DRAWS
    protocol: str = "mean"

    def __post_init__(self) -> None:
        if self.protocol not in PROTOCOLS:
            raise unknown("protocol", self.protocol, PROTOCOLS)
        if type(self.draws) is not int or not 1 <= self.draws <= MOST_DRAWS:
            raise InputError(f"draws must be a whole number from 1 to {MOST_DRAWS:,}, got {self.draws!r}.")

    def __str__(self) -> str:
        return f"{self.protocol} of {self.draws} draws"

    @property
    def rule(self) -> str:
        """What an image's answers come to, behind "counts"."""
        if self.protocol == "mean":
            return f"by the share of {self.draws} draws that are right"
        return f"as right if {'all of' if self.protocol == 'any' else 'more than half of'} {self.draws} draws are"

    def right(self, hits: Any) -> Any:
        """(n,) bool: right as a whole; in the mean of draws, by more than half of them."""
        return hits == self.draws if self.protocol == "any" else 2 * hits > self.draws

    def credit(self, hits: Any) -> Any:
        """(n,) what each image counts in an accuracy: a share in the mean of draws, else 0 or 1."""
        return hits / self.draws if self.protocol == "mean" else self.right(hits)


@dataclass(frozen=True, kw_only=True)
class ModelSpec:
    """A model by its weights, and one of other people by its code and its answers too.

    `name` is for readers, `source` is what `load_model` takes; neither identifies it.

    Attributes:
        fingerprint: of a model that was not built here: height and width of fixed images, then its logits on them.
    """

    name: str
    source: str
    arch: str
    weights: str
    options: Params = ()
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    training_lambda: float | None = None
    fingerprint: tuple[float, ...] = ()

    @property
    def has_lambda(self) -> bool:
        """Whether the model has CSC layers whose lambda can be set."""
        return self.training_lambda is not None

    @cached_property
    def default_lambda(self) -> LambdaSpec | None:
        """The lambda that the model was trained at; None without CSC layers."""
        return None if self.training_lambda is None else LambdaSpec(decimal_text(self.training_lambda))

    @property
    def repeats(self) -> Repeats | None:
        """How the answers of a randomised model are counted; None of a deterministic one."""
        options = dict(self.options)
        return Repeats(options["draws"], options["protocol"]) if "draws" in options else None

    def counted(self, repeats: Repeats) -> ModelSpec:
        """The model as it is asked: a randomised one counts its answers so, and is named after it where unusual."""
        options = dict(self.options)
        if not options.get("randomised"):
            return self
        options |= {"draws": repeats.draws, "protocol": repeats.protocol}
        name = self.name if repeats == Repeats() else f"{self.name} [{repeats}]"
        return replace(self, name=name, options=params(options))

    @cached_property
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
            **({"fingerprint": self.fingerprint} if self.fingerprint else {}),
        }


def same_answers(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    """Whether two fingerprints are of one model: equal but for what processors and libraries round."""
    close = TOLERANCE * max((abs(value) for value in second[2:]), default=0.0)
    return len(first) == len(second) and all(abs(a - b) <= close for a, b in zip(first, second, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class DataSpec:
    """A split of a data set by its content. `source` is what `data.load` takes."""

    name: str
    source: str
    split: str
    content: str

    @property
    def label(self) -> str:
        """The data set as readers know it; another split than the test images is named."""
        return self.name if self.split == "test" else f"{self.name} ({self.split})"

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
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    """What JSON takes for what it does not know: a record's fields, Python's numbers for NumPy's, else a text."""
    if is_dataclass(value):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    return value.item() if hasattr(value, "item") else str(value)
