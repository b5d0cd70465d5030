"""Paired tests: how many of each family found a difference, and those that did."""

from __future__ import annotations

from collections.abc import Sequence

from ...answers.comparisons import Comparison
from ...answers.rows import grouped
from ...wording import counted, share_text
from ..document import Item, Table
from ..numbers import probability

TESTS = (
    "Two sides are compared on the same images: by an exact two-sided McNemar test where both answer one perturbation, "
    "and for a mean over several perturbations or over draws by an exact sign test over images (an image counts for "
    "the side that classifies it correctly more often) and by the test of the mean, of which the larger p counts. P "
    "values are corrected by Holm's method within each family, which is a row of the first table. A difference is "
    "called significant if the corrected p is below 0.05 and its 95 % interval does not contain 0; only then is one "
    "side called better."
)
UNEVEN = (
    "Worst cases of a model with lambda also count transfer from its other lambdas, where that was run: no other model "
    "faced it, nor did those of its lambdas that nothing was transferred to."
)


def family_table(rows: Sequence[Comparison]) -> Table:
    """One row a family: tests, those that found a difference, and those that did not."""
    found: list[tuple[Item, ...]] = []
    for family, same in grouped(rows, lambda row: row.family).items():
        significant = sum(row.better is not None for row in same)
        found.append((family, len(same), significant, len(same) - significant))
    return Table(("family", "tests", "significant", "not significant"), tuple(found), notes=_uneven(rows))


def significant_table(rows: Sequence[Comparison]) -> Table:
    """Every significant difference of one family."""
    found = [_line(row) for row in rows if row.better]
    left = len(rows) - len(found)
    notes = [
        "only a, only b: images that this side alone classifies correctly, or more often. Accuracies in per cent."
    ]
    if left:
        notes.append(f"{counted(left, 'other comparison')} of this family found no significant difference.")
    notes += _uneven(rows)
    if any(row.better and (row.untrusted_a or row.untrusted_b) for row in rows):
        notes.append(
            "untrusted: accuracy left by a weak attack; such a side is better only by what that attack found."
        )
    columns = ("a", "b", "perturbation", "n", "a %", "b %", "only a", "only b", "p", "corrected", "better")
    return Table(columns, tuple(found), left=(0, 1, 2, 10), notes=tuple(notes))


def _uneven(rows: Sequence[Comparison]) -> tuple[str, ...]:
    worst = (row for row in rows if row.question.kind == "worst_case")
    return (UNEVEN,) if any(row.a.lam or row.b.lam for row in worst) else ()


def _perturbation(row: Comparison) -> str:
    """What both sides were asked, with its severity or budget."""
    question = row.question
    if question.eps is not None:
        return f"{question.perturbation}, {question.ball}"
    return f"{question.perturbation} {question.severity}" if question.severity else question.perturbation


def _line(row: Comparison) -> tuple[Item, ...]:
    sides = row.a.name, row.b.name, _perturbation(row), row.n
    shares = _share(row.accuracy_a, row.untrusted_a), _share(row.accuracy_b, row.untrusted_b)
    tested = row.only_a, row.only_b, probability(row.p), probability(row.p_corrected)
    hollow = row.untrusted_a if row.gains else row.untrusted_b
    better = f"{row.better.name}{' (untrusted)' if hollow else ''}" if row.better else ""
    return (*sides, *shares, *tested, better)


def _share(accuracy: float, untrusted: bool) -> str:
    return f"{share_text(accuracy)}{' untrusted' if untrusted else ''}"
