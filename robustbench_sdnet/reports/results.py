"""The results of a store under names that readers can tell apart, and the questions that tables ask of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from ..answers.rows import Row, grouped, lambda_name, lambda_order, lambda_text, lambda_value
from ..answers.trust import UNTRUSTED
from ..planning.chains import is_stage
from ..specs import LambdaSpec
from .numbers import Estimate

Lambda = LambdaSpec | None
DIRECT = ("attack", "worst_case")


@dataclass(frozen=True, slots=True)
class Subject:
    """What is judged: a model at a lambda (None without CSC layers), on a data set."""

    data: str
    model: str
    lam: Lambda = None

    @property
    def label(self) -> str:
        """How tables name it within one data set."""
        return self.model if self.lam is None else f"{self.model} @ {lambda_text(self.lam)}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Result(Row):
    """A row under its names.

    Attributes:
        name: the perturbation, with what tells it from another of the same name; a chain's last stage by the chain's.
        passes: forward and backward an image; of all stages for a chain, of all attacks for a worst case.
    """

    subject: Subject
    name: str
    passes: tuple[float, float]

    @property
    def estimate(self) -> Estimate:
        """The accuracy with its interval."""
        untrusted, transfer = self.verdict == UNTRUSTED, self.kind == "transfer"
        return Estimate(self.accuracy, *self.interval, self.n, untrusted, transfer, self.images)

    @property
    def is_stage(self) -> bool:
        """Whether this is a stage of a chain on the way to its result."""
        return is_stage(self.perturbation)

    @property
    def budget(self) -> str:
        """Norm and eps as tables print them."""
        return f"{self.norm or ''} {self.eps or '-'}".strip()


@dataclass(frozen=True)
class Results:
    """Every result of a store, in a fixed order."""

    all: tuple[Result, ...]

    def of(
        self,
        kind: str | Sequence[str],
        subject: Subject | None = None,
        *,
        data: str | None = None,
        model: str | None = None,
        **wanted: Any,
    ) -> Iterator[Result]:
        """Results of a kind (or several) whose attributes equal `wanted`, of a subject, a data set, a model, or all."""
        kinds = (kind,) if isinstance(kind, str) else kind
        found = self._by_model.get((data, model)) if subject is None else self._by_subject.get(subject)
        for result in found or ():
            if result.kind in kinds and all(getattr(result, key) == value for key, value in wanted.items()):
                yield result

    @cached_property
    def _by_model(self) -> Mapping[tuple[str | None, str | None], Sequence[Result]]:
        """By data set and model, None for any."""
        found: dict[tuple[str | None, str | None], list[Result]] = defaultdict(list)
        for result in self.all:
            for place in product((result.subject.data, None), (result.subject.model, None)):
                found[place].append(result)
        return found

    @cached_property
    def _by_subject(self) -> dict[Subject, list[Result]]:
        return grouped(self.all, lambda result: result.subject)

    def attacks(self, data: str, **wanted: Any) -> tuple[tuple[str, str | None], ...]:
        """Name and norm of every direct attack, chains as a whole."""
        return distinct((r.name, r.norm) for r in self.of("attack", data=data, **wanted) if not r.is_stage)

    def estimate(self, kind: str, **wanted: Any) -> Estimate | None:
        """The accuracy of the first result that `of` finds, or None where there is none."""
        return next((result.estimate for result in self.of(kind, **wanted)), None)

    @cached_property
    def data(self) -> tuple[str, ...]:
        """The data sets, in order."""
        return distinct(subject.data for subject in self._by_subject)

    def sources(self, data: str) -> tuple[str, ...]:
        """Where the corrupted images of a data set come from, as generated here first."""
        return tuple(sorted({result.source for result in self.of("corruption", data=data)}))

    def models(self, data: str) -> tuple[str, ...]:
        """The models with results on a data set."""
        return distinct(subject.model for subject in self._by_subject if subject.data == data)

    def lambdas(self, data: str, model: str) -> tuple[Lambda, ...]:
        """The lambdas of a model in order: numbers first, then policies."""
        found = distinct(result.subject.lam for result in self._by_model.get((data, model), ()))
        return tuple(sorted(found, key=lambda_order))

    def main_lambda(self, data: str, model: str) -> Lambda:
        """The lambda that stands for a model where one must: the one it was trained at, or the first."""
        lambdas = self.lambdas(data, model)
        trained = self._by_subject[Subject(data, model, lambdas[0])][0].model.default_lambda
        return trained if trained in lambdas else lambdas[0]

    def main_subjects(self, data: str) -> tuple[Subject, ...]:
        """Every model at its main lambda and at every policy that was run."""
        main = {model: self.main_lambda(data, model) for model in self.models(data)}
        return tuple(s for s in self.subjects(data) if s.lam == main[s.model] or is_named(s.lam))

    def subjects(self, data: str) -> tuple[Subject, ...]:
        """Every model at every lambda."""
        return tuple(
            Subject(data, model, lam) for model in self.models(data) for lam in self.lambdas(data, model)
        )

    def subject_named(self, data: str, name: str) -> Subject | None:
        """The subject "MODEL@LAMBDA", or "MODEL" at its main lambda; None where there is none."""
        for subject in self.subjects(data):
            main = subject.lam == self.main_lambda(data, subject.model)
            lambdas = lambda_text(subject.lam), lambda_name(subject.lam)
            if name in {f"{subject.model}@{lam}" for lam in lambdas} or (main and name == subject.model):
                return subject
        return None


def listed(lambdas: Iterable[Lambda]) -> str:
    """Several lambdas in order, in one text."""
    return ", ".join(map(lambda_text, sorted(lambdas, key=lambda_order)))


def is_named(lam: Lambda) -> bool:
    """Whether a lambda stands beside the axis of plain numbers: a policy, or a number for all layers."""
    return isinstance(lambda_value(lam), str)


def distinct(values: Iterable[Any]) -> tuple[Any, ...]:
    """Each value once, in the order of first appearance."""
    return tuple(dict.fromkeys(values))
