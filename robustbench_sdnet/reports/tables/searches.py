"""How near the best known distances each minimal-norm attack came, beside what it cost."""

from __future__ import annotations

from collections.abc import Sequence

from ...answers.searches import Optimality
from ..document import Table
from ..results import lambda_text

NOTES = (
    "optimality: 1 where no other attack of the store came nearer for any image, lower the farther from the best "
    "known: 1 minus the area between the curves of accuracy against distance of the attack and of the best, over the "
    "largest there can be (AttackBench).",
    "passes/image: forward and backward.",
)


def optimality_table(rows: Sequence[Optimality]) -> Table:
    """One row an attack, where a model saw two."""
    columns = ("attack", "norm", "model", "lambda", "optimality", "passes/image", "attacks", "n")
    found = tuple(
        (
            row.attack,
            row.norm,
            row.model,
            lambda_text(row.lam),
            f"{row.optimality:.3f}",
            f"{row.passes:,.0f}",
            str(row.attacks),
            str(row.n),
        )
        for row in rows
    )
    title = "How near the best known distances"
    return Table(columns, found, title=title, left=(0, 1, 2), notes=NOTES)
