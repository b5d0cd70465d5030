"""Paired tests: how many of each family were run and found a difference, and those that did."""

from __future__ import annotations

from collections.abc import Sequence

from ...answers.comparisons import Comparison
from ...answers.gathered import Subject
from ..document import Item, Table
from ..results import grouped, lambda_text

TESTS = (
    "Two sides are compared on the same images: an exact two-sided McNemar test where both answer one perturbation, an "
    "exact sign test over images for a mean over several (an image counts for the side that has it right more often). "
    "P values are corrected by Holm's method within each family, a row of the first table. A difference is called "
    "significant where the corrected p is below 0.05 and its 95 % interval does not hold 0, and only there is one side "
    "called better."
)


def family_table(rows: Sequence[Comparison]) -> Table:
    """One row a family: tests, those that found a difference, and those that did not."""
    found: list[tuple[Item, ...]] = []
    for family, same in grouped(rows, lambda row: row.family).items():
        significant = sum(row.better is not None for row in same)
        found.append((family, len(same), significant, len(same) - significant))
    return Table(("family", "tests", "significant", "not significant"), tuple(found))


def significant_table(rows: Sequence[Comparison]) -> Table:
    """Every significant difference of one family."""
    found = [_line(row) for row in rows if row.better]
    left = len(rows) - len(found)
    notes = [
        "only a, only b: images that one side alone has right, or has right more often. Accuracies in per cent."
    ]
    if left:
        notes.append(f"{left:,} other comparisons of this family found no significant difference.")
    columns = ("a", "b", "perturbation", "n", "a %", "b %", "only a", "only b", "p", "corrected", "better")
    return Table(columns, tuple(found), left=(0, 1, 2, 10), notes=tuple(notes))


def probability(value: float) -> str:
    """A p value as reports print it."""
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def side(subject: Subject) -> str:
    """How tables name one side."""
    return subject.model.name + ("" if subject.lam is None else f" @ {lambda_text(subject.lam)}")


def _perturbation(row: Comparison) -> str:
    """What both sides were asked, with its severity or budget."""
    asked = row.asked
    if asked.eps is not None:
        return f"{asked.perturbation}, {asked.ball}"
    return f"{asked.perturbation} {asked.severity}" if asked.severity else asked.perturbation


def _line(row: Comparison) -> tuple[Item, ...]:
    return (
        side(row.a),
        side(row.b),
        _perturbation(row),
        row.n,
        f"{100 * row.accuracy_a:.1f}",
        f"{100 * row.accuracy_b:.1f}",
        row.only_a,
        row.only_b,
        probability(row.p),
        probability(row.p_corrected),
        row.better.name if row.better else "",
    )
