"""The flat records of a store as typed results, and the questions that tables ask of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .numbers import Estimate

Lambda = float | str | None
SEVERITIES = (1, 2, 3, 4, 5)
DIRECT = ("attack", "worst_case")
DEFAULT_LAMBDA = 0.1


@dataclass(frozen=True, slots=True)
class Subject:
    """What is judged: a model at a lambda (a number, a policy, or None without CSC layers), on a data set."""

    data: str
    model: str
    lam: Lambda = None

    @property
    def label(self) -> str:
        """How tables name it within one data set."""
        return self.model if self.lam is None else f"{self.model} @ {lambda_text(self.lam)}"


@dataclass(frozen=True, slots=True)
class Result:
    """One record: see `evaluation.records` for its source.

    Attributes:
        name: the perturbation, with the settings that tell it from another of the same name.
        eps: as it was written; None without a budget.
        lam_attack: the lambda that the attack took its gradients at.
        distances: of a minimal-norm attack, (n,) sorted; empty for everything else.
    """

    subject: Subject
    kind: str
    name: str
    estimate: Estimate
    severity: int | None = None
    norm: str | None = None
    eps: str | None = None
    lam_attack: Lambda = None
    source: str = "generated"
    verdict: str = "unchecked"
    passes: tuple[int, int] = (0, 0)
    cell: str = ""
    distances: NDArray[np.float64] = field(default_factory=lambda: np.empty(0), compare=False)

    @property
    def is_stage(self) -> bool:
        """Whether this is a stage of a chain on the way to its result ("autoattack/apgd-ce")."""
        return "/" in self.name


@dataclass(frozen=True)
class Results:
    """Every result of a store, in a fixed order."""

    all: tuple[Result, ...]

    def of(self, kind: str | Sequence[str], **wanted: Any) -> Iterator[Result]:
        """Results of a kind (or several) whose attributes equal `wanted`; so may data, model and lam."""
        kinds = (kind,) if isinstance(kind, str) else kind
        for result in self.all:
            if result.kind in kinds and all(
                _attribute(result, key) == value for key, value in wanted.items()
            ):
                yield result

    def attacks(self, data: str, **wanted: Any) -> tuple[tuple[str, str | None], ...]:
        """Name and norm of every direct attack, chains as a whole."""
        return distinct((r.name, r.norm) for r in self.of("attack", data=data, **wanted) if not r.is_stage)

    def one(self, kind: str, **wanted: Any) -> Estimate | None:
        """The number of the only such result, or None where there is none."""
        return next((result.estimate for result in self.of(kind, **wanted)), None)

    @property
    def data(self) -> tuple[str, ...]:
        """The data sets, in order."""
        return tuple(dict.fromkeys(result.subject.data for result in self.all))

    def models(self, data: str) -> tuple[str, ...]:
        """The models with results on a data set."""
        return tuple(dict.fromkeys(r.subject.model for r in self.all if r.subject.data == data))

    def lambdas(self, data: str, model: str, kinds: Sequence[str] = ()) -> tuple[Lambda, ...]:
        """The lambdas of a model in order: numbers first, then policies."""
        found = {
            r.subject.lam
            for r in self.all
            if (r.subject.data, r.subject.model) == (data, model) and (not kinds or r.kind in kinds)
        }
        return tuple(sorted(found, key=lambda_order))

    def main_lambda(self, data: str, model: str) -> Lambda:
        """The lambda that stands for a model where one must: the usual training value, or the first."""
        lambdas = self.lambdas(data, model)
        return DEFAULT_LAMBDA if DEFAULT_LAMBDA in lambdas else lambdas[0]

    def main_subjects(self, data: str) -> tuple[Subject, ...]:
        """Every model at its main lambda and at every policy that was run."""
        return tuple(
            Subject(data, model, lam)
            for model in self.models(data)
            for lam in self.lambdas(data, model)
            if lam == self.main_lambda(data, model) or isinstance(lam, str)
        )

    def subjects(self, data: str) -> tuple[Subject, ...]:
        """Every model at every lambda."""
        return tuple(
            Subject(data, model, lam) for model in self.models(data) for lam in self.lambdas(data, model)
        )

    def subject_named(self, data: str, name: str) -> Subject | None:
        """The subject "MODEL@LAMBDA", or "MODEL" at its main lambda; None where there is none."""
        for subject in self.subjects(data):
            main = subject.lam == self.main_lambda(data, subject.model)
            if name == f"{subject.model}@{lambda_text(subject.lam)}" or (main and name == subject.model):
                return subject
        return None


def eps_value(text: str | None) -> float:
    """A budget as a number, to order by; -1 where there is none."""
    try:
        return float(Fraction(text)) if text is not None else -1.0
    except (ValueError, ZeroDivisionError):
        return float("inf")


def lambda_text(lam: Lambda) -> str:
    """A lambda as tables print it."""
    if isinstance(lam, str):
        return f"{lam} (upper bound)" if lam.endswith("oracle") else lam
    return "-" if lam is None else f"{lam:g}"


def lambda_order(lam: Lambda) -> tuple[int, float, str]:
    """Numbers in order, then policies by name; no lambda first."""
    if lam is None:
        return 0, 0.0, ""
    return (2, 0.0, lam) if isinstance(lam, str) else (1, float(lam), "")


def distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    """Each value once, in the order of first appearance."""
    return tuple(dict.fromkeys(values))


def _attribute(result: Result, key: str) -> Any:
    return getattr(result.subject if key in ("data", "model", "lam") else result, key)
