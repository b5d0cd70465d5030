"""Per-sample answers by question, so that subjects are compared on the same images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from ..planning.chains import is_stage, whole_name
from ..specs import AttackSpec, Cell, CorruptionSpec, Eps, LambdaSpec, ModelSpec
from .answered import Answered
from .per_image import Right, is_minimal, worst
from .rows import is_noise, lambda_text
from .snapshot import Snapshot
from .trust import UNTRUSTED, doubt

EVERY = "every attack"


@dataclass(frozen=True, slots=True)
class Subject:
    """A model at a lambda."""

    model: ModelSpec
    lam: LambdaSpec | None

    @property
    def is_default(self) -> bool:
        """Whether the lambda is the one that the model was trained at; a model without any is at its default."""
        return self.lam == self.model.default_lambda

    @property
    def name(self) -> str:
        """How readers tell it from others."""
        return self.model.name + ("" if self.lam is None else f" @ {lambda_text(self.lam)}")


@dataclass(frozen=True, slots=True)
class Question:
    """What every subject is asked: the same images under the same perturbation.

    Attributes:
        kind: clean, corruption, noise, attack, mean over corruptions, or worst_case over everything run in a ball,
            whatever it was made at.
        corruption: its own name, without level and seed; other versions of it give other images.
        seed: of its draws; 0 where it draws nothing.
        is_noise: a corruption of the category noise, or a mean over such.
        met: of a worst case, by name what was run at the deployed lambda itself, and of a mean what it is over: sides
            that met other attacks or conditions are not asked the same.
    """

    data: str
    content: str
    kind: str
    perturbation: str
    severity: int | None = None
    norm: str | None = None
    eps: Eps | None = None
    source: str = "generated"
    corruption: str = ""
    seed: int = 0
    version: int = 1
    is_noise: bool = False
    met: tuple[str, ...] = ()

    @property
    def origin(self) -> str:
        """Where the images come from, and of other draws than the usual by which seed."""
        return f"{self.source}, seed {self.seed}" if self.seed else self.source

    @property
    def ball(self) -> str:
        """Norm and eps in words."""
        return f"{self.norm} {self.eps}"


Answers = Mapping[Question, Mapping[Subject, Right]]


def gather(store: Snapshot) -> dict[Question, dict[Subject, Right]]:
    """Answers by question and subject, chains as one attack, and the worst case of every ball beside.

    What was attacked at another lambda alone has no worst case: nobody tried to break it.
    """
    found: dict[Question, dict[Subject, Right]] = {}
    balls: dict[tuple[Question, Subject], list[Answered]] = {}
    for answered in store.standing:
        cell, spec = answered.cell, answered.cell.perturbation
        # A sequence asks whether predictions stay, not whether they are right; what a minimal-norm attack leaves right
        # says how often it found nothing, not how robust a model is.
        if cell.kind not in ("sequence", "transfer") and not (is_stage(spec) or is_minimal(cell)):
            right = replace(answered.credit, untrusted=store.verdicts[answered.id] == UNTRUSTED)
            found.setdefault(question_of(cell), {})[Subject(cell.model, cell.lam)] = right
    for answered in store.exact:
        cell, spec = answered.cell, answered.cell.perturbation
        if isinstance(spec, AttackSpec) and spec.eps is not None:
            balls.setdefault((question_of_ball(cell), Subject(cell.model, cell.lam)), []).append(answered)
    for (question, subject), run in balls.items():
        distinct = {(one.cell.kind, one.cell.perturbation.label) for one in run}
        if len(distinct) > 1 and any(one.cell.kind == "attack" for one in run):
            met = {whole_name(one.cell.perturbation) for one in run if one.cell.kind != "transfer"}
            alike = replace(question, met=tuple(sorted(met)))
            doubted = doubt(store.verdicts[one.id] for one in run if one.cell.kind == "attack")
            right = replace(worst(one.right for one in run), untrusted=doubted)
            found.setdefault(alike, {})[subject] = right
    return found


def question_of(cell: Cell) -> Question:
    """What a cell asks, without who is asked."""
    spec = cell.perturbation
    shared = cell.data.label, cell.data.content, cell.kind, whole_name(spec)
    if isinstance(spec, CorruptionSpec):
        return Question(
            *shared,
            severity=spec.severity,
            source=spec.origin,
            corruption=spec.name,
            seed=spec.seed,
            version=spec.version,
            is_noise=is_noise(spec),
        )
    if isinstance(spec, AttackSpec):
        return Question(*shared, norm=spec.norm, eps=spec.eps)
    return Question(*shared)


def question_of_ball(cell: Cell) -> Question:
    """The question of everything that was run in the same ball."""
    return replace(question_of(cell), kind="worst_case", perturbation=EVERY)
