"""What other perturbations of the same ball break that the gradient attacks at the deployed lambda left."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..specs import AttackSpec, Cell
from ..statistics import exceeds_rare_rate
from ..wording import natural
from .gathered import Question, Subject, question_of_ball
from .per_image import Right, shared, worst
from .rows import eps_order, lambda_order, lambda_value
from .snapshot import Snapshot


@dataclass(frozen=True, slots=True, kw_only=True)
class Rival:
    """Images that another perturbation breaks and no gradient attack at the deployed lambda did.

    Attributes:
        n: images that both saw.
        left: of those, right under the direct attacks.
        name: "square", "noise" or "transfer".
        broken: of those left, wrong under the rival.
    """

    question: Question
    subject: Subject
    n: int
    left: int
    name: str
    broken: int

    @property
    def suspicious(self) -> bool:
        """Whether they are more than a rare rate explains, so that the direct attack's accuracy is too high."""
        return exceeds_rare_rate(self.broken, self.n)

    def record(self) -> dict[str, Any]:
        """As one flat dictionary."""
        return {
            "data": self.question.data,
            "model": self.subject.model.name,
            "lambda": lambda_value(self.subject.lam),
            "norm": self.question.norm,
            "eps": self.question.eps and self.question.eps.text,
            "n": self.n,
            "left": self.left,
            "rival": self.name,
            "broken": self.broken,
            "suspicious": self.suspicious,
        }


def rivals(store: Snapshot) -> tuple[Rival, ...]:
    """Every rival of every subject and ball that gradient attacks were run in, in a fixed order.

    Models that draw random numbers have none: fresh draws break some of what any attack left.
    """
    balls: dict[tuple[Question, Subject], dict[str, list[Right]]] = {}
    for answered in store.exact:
        cell, spec = answered.cell, answered.cell.perturbation
        if isinstance(spec, AttackSpec) and spec.eps is not None and cell.model.repeats is None:
            found = balls.setdefault((question_of_ball(cell), Subject(cell.model, cell.lam)), {})
            found.setdefault(_role(cell, spec), []).append(answered.right)
    made = [
        _rival(question, subject, worst(roles["direct"]), name, worst(found))
        for (question, subject), roles in balls.items()
        if "direct" in roles
        for name, found in roles.items()
        if name != "direct"
    ]
    return tuple(sorted((rival for rival in made if rival.n), key=_order))


def _role(cell: Cell, spec: AttackSpec) -> str:
    if cell.kind in ("transfer", "noise"):
        return cell.kind
    return "square" if spec.name == "square" and not spec.chain else "direct"


def _rival(question: Question, subject: Subject, direct: Right, name: str, rival: Right) -> Rival:
    ids = shared((direct, rival))
    left = direct.at(ids)
    broken = int((left & ~rival.at(ids)).sum())
    return Rival(
        question=question, subject=subject, n=len(ids), left=int(left.sum()), name=name, broken=broken
    )


def _order(rival: Rival) -> tuple[Any, ...]:
    question, who = rival.question, rival.subject
    name = natural(who.model.name)
    return question.data, name, question.norm, eps_order(question.eps), lambda_order(who.lam), rival.name
