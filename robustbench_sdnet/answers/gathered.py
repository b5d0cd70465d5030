"""Per-sample answers of a store by question, so that subjects are compared on the same images. Needs no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..specs import AttackSpec, Cell, CorruptionSpec, LambdaSpec, ModelSpec, decimal_text
from ..store.outcome import Outcome
from ..store.store import Store
from .distances import is_minimal
from .records import answered_exactly

EVERY = "every attack"


@dataclass(frozen=True, slots=True)
class Subject:
    """A model at a lambda."""

    model: ModelSpec
    lam: LambdaSpec | None

    @property
    def is_default(self) -> bool:
        """Whether the lambda is the one that the model was trained at; a model without any is at its default."""
        trained = self.model.training_lambda
        return self.lam == (None if trained is None else LambdaSpec(decimal_text(trained)))


@dataclass(frozen=True, slots=True)
class Question:
    """What every subject is asked: the same images under the same perturbation.

    Attributes:
        kind: clean, corruption, noise, attack, or worst_case over everything run in a ball, whatever it was made at.
        eps: as it was written.
    """

    data: str
    content: str
    kind: str
    perturbation: str
    severity: int | None = None
    norm: str | None = None
    eps: str | None = None
    source: str = "generated"


@dataclass(frozen=True, slots=True, eq=False)
class Right:
    """Which of the images `ids` (m,) are answered rightly, (m,) bool."""

    ids: NDArray[np.int64]
    right: NDArray[np.bool_]

    def at(self, ids: NDArray[np.int64]) -> NDArray[np.bool_]:
        """The answers on `ids`, all of which must be there."""
        order = np.argsort(self.ids, kind="stable")
        found: NDArray[np.bool_] = self.right[order[np.searchsorted(self.ids[order], ids)]]
        return found


Answers = Mapping[Question, Mapping[Subject, Right]]


def answered_cells(store: Store) -> list[tuple[Cell, Outcome]]:
    """Every answered cell; screened answers only where the same question was not answered in float32."""
    seen = {cell_id: n for cell_id, (_, n, _) in store.progress().items()}
    outcomes = (
        (cell, store.outcome(cell_id)) for cell_id, cell in answered_exactly(store.cells(), seen).items()
    )
    return [(cell, outcome) for cell, outcome in outcomes if outcome is not None]


def gather(cells: Iterable[tuple[Cell, Outcome]]) -> dict[Question, dict[Subject, Right]]:
    """Answers by question and subject, chains as one attack, and the worst case of every ball beside."""
    known = list(cells)
    stages = stages_before(cell for cell, _ in known)
    found: dict[Question, dict[Subject, Right]] = {}
    balls: dict[tuple[Question, Subject], list[Right]] = {}
    for cell, outcome in known:
        subject, answer = Subject(cell.model, cell.lam), Right(outcome.ids, outcome.right)
        # What a minimal-norm attack leaves right says how often it found nothing, not how robust a model is.
        if cell.kind != "transfer" and cell.id not in stages and not is_minimal(cell):
            _keep(found.setdefault(question(cell), {}), subject, answer)
        spec = cell.perturbation
        if isinstance(spec, AttackSpec) and spec.eps is not None:
            balls.setdefault((_ball(cell), subject), []).append(answer)
    for (asked, subject), answers in balls.items():
        if len(answers) > 1:
            found.setdefault(asked, {})[subject] = worst(answers)
    return found


def stages_before(cells: Iterable[Cell]) -> set[str]:
    """Ids of the chains' stages that a later stage of the same eps goes on from."""
    known = {cell.id: cell for cell in cells}
    return {
        parent
        for cell in known.values()
        if isinstance(cell.perturbation, AttackSpec) and cell.perturbation.chain
        for parent in cell.parents
        if parent in known and question(known[parent]) == question(cell)
    }


def worst(answers: Iterable[Right]) -> Right:
    """Right under every one, on the images that all of them saw."""
    found = list(answers)
    ids = shared(found)
    right = np.ones(len(ids), bool)
    for answer in found:
        right &= answer.at(ids)
    return Right(ids, right)


def shared(answers: Iterable[Right]) -> NDArray[np.int64]:
    """The images that all saw, in order."""
    found = [answer.ids for answer in answers]
    ids = np.unique(found[0])
    for other in found[1:]:
        ids = np.intersect1d(ids, other)
    return ids


def question(cell: Cell) -> Question:
    """What a cell asks, without who is asked."""
    spec = cell.perturbation
    asked = Question(cell.data.name, cell.data.content, cell.kind, spec.label)
    if isinstance(spec, CorruptionSpec):
        return replace(asked, severity=spec.severity, source=spec.source)
    eps = None if spec.eps is None else spec.eps.text
    return replace(asked, perturbation=spec.chain or spec.label, norm=spec.norm, eps=eps)


def _ball(cell: Cell) -> Question:
    return replace(question(cell), kind="worst_case", perturbation=EVERY)


def _keep(answers: dict[Subject, Right], subject: Subject, answer: Right) -> None:
    """Of two answers to one question (searched at two precisions), the one on more images."""
    if subject not in answers or len(answer.ids) > len(answers[subject].ids):
        answers[subject] = answer
