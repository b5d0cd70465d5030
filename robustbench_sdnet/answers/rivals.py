"""What other perturbations of the same ball break that the gradient attacks at the deployed lambda left. No torch."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..specs import AttackSpec, Cell
from ..statistics import exceeds_rare_rate
from ..store.store import Store
from .gathered import Question, Right, Subject, answered_cells, question, shared, worst
from .records import lambda_value

Row = dict[str, Any]


def rivals(store: Store | str) -> list[Row]:
    """Images that another perturbation of the same ball breaks and no gradient attack at the deployed lambda did.

    Where they are more than a rare rate explains (`suspicious`), the direct attack's accuracy is too high.

    Returns:
        Rows of data, model, lambda, norm, eps, n, left (right under the direct attacks), rival ("square", "noise" or
        "transfer"), broken (of those left), suspicious.
    """
    if isinstance(store, str):
        with Store(store, must_exist=True) as opened:
            return rivals(opened)
    balls: dict[tuple[Question, Subject], dict[str, list[Right]]] = {}
    for cell, outcome in answered_cells(store):
        spec = cell.perturbation
        if isinstance(spec, AttackSpec) and spec.eps is not None:
            asked = replace(question(cell), kind="worst_case", perturbation="")
            found = balls.setdefault((asked, Subject(cell.model, cell.lam)), {})
            found.setdefault(_role(cell, spec), []).append(Right(outcome.ids, outcome.right))
    rows = []
    for (asked, subject), roles in balls.items():
        if "direct" in roles:
            direct = worst(roles.pop("direct"))
            rows += [_rival(asked, subject, direct, name, worst(found)) for name, found in roles.items()]
    return sorted(
        rows, key=lambda row: [str(row[key]) for key in ("data", "model", "eps", "lambda", "rival")]
    )


def _role(cell: Cell, spec: AttackSpec) -> str:
    if cell.kind in ("transfer", "noise"):
        return cell.kind
    return "square" if spec.name == "square" and not spec.chain else "direct"


def _rival(asked: Question, subject: Subject, direct: Right, name: str, rival: Right) -> Row:
    ids = shared((direct, rival))
    left = direct.at(ids)
    broken = int((left & ~rival.at(ids)).sum())
    return {
        "data": asked.data,
        "model": subject.model.name,
        "lambda": lambda_value(subject.lam),
        "norm": asked.norm,
        "eps": asked.eps,
        "n": len(ids),
        "left": int(left.sum()),
        "rival": name,
        "broken": broken,
        "suspicious": exceeds_rare_rate(broken, len(ids)),
    }
