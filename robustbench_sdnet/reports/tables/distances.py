"""What minimal-norm attacks found: distances within which images break, accuracy at any eps, and the way to the best.

An attack's optimality says how near the best known distances it came, beside what it cost.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...answers.per_image import quantile, quantile_interval
from ...answers.rows import lambda_text
from ...answers.searches import Optimality
from ...specs import norm_facts
from ...statistics import wilson
from ..document import Table
from ..numbers import Estimate
from ..results import Result, Results

SHARES = (0.25, 0.5, 0.75)
NOTES = (
    "distance: norm of the smallest perturbation found that makes an image wrong; an upper bound, like accuracies "
    "under attack.",
    "25, 50, 75 %: the distance within which that share of all images is wrong (at 0 for those wrong from the start), "
    "with its exact 95 % interval; 50 % is the median.",
    '"-": not that many images were broken; "...": an interval without an upper end.',
)
OPTIMALITY_NOTES = (
    "optimality: 1 if no other attack in the store came nearer for any image, and lower the farther from the best "
    "known: 1 minus the area between the curves of accuracy against distance of the attack and of the best, divided by "
    "the largest possible area (AttackBench).",
    "passes/image: forward and backward.",
)


def distance_table(results: Results, data: str) -> Table:
    """Every minimal-norm attack at every lambda, one row each."""
    rows = []
    for result in results.of("attack", data=data):
        if len(result.distances):
            unit = norm_facts(result.norm).unit
            norm = f"{result.norm}, 1{unit}" if unit else result.norm or "-"
            shares = (_quantile(result, share) for share in SHARES)
            who = result.subject.model, lambda_text(result.subject.lam)
            rows.append((result.name, norm, *who, *shares, str(result.estimate.n)))
    columns = ("attack", "norm", "model", "lambda", *(f"{100 * share:.0f} %" for share in SHARES), "n")
    return Table(columns, tuple(rows), "Distances of minimal-norm attacks", left=(0, 1, 2), notes=NOTES)


def optimality_table(rows: Sequence[Optimality]) -> Table:
    """One row an attack, where a model saw two."""
    columns = ("attack", "norm", "model", "lambda", "optimality", "passes/image", "attacks", "n")
    found = []
    for row in rows:
        near, passes = f"{row.optimality:.3f}", f"{row.passes:,.0f}"
        who = row.attack, row.norm, row.model, lambda_text(row.lam)
        found.append((*who, near, passes, str(row.attacks), str(row.n)))
    title = "How near the best known distances"
    return Table(columns, tuple(found), title, left=(0, 1, 2), notes=OPTIMALITY_NOTES)


def accuracy_at(result: Result, eps: float) -> Estimate:
    """Accuracy of a minimal-norm attack at a budget: the share of images whose distance is larger."""
    n = len(result.distances)
    right = n - int(result.distances.searchsorted(eps, side="right"))
    low, high = wilson(right, n)
    return replace(result.estimate, accuracy=right / n, low=low, high=high)


def _quantile(result: Result, share: float) -> str:
    """The order statistic with its interval."""
    value = quantile(result.distances, share)
    if value is None:
        return "-"
    scale = norm_facts(result.norm).scale
    low, high = quantile_interval(result.distances, share)
    end = "..." if high is None else f"{high * scale:.3g}"
    doubt = " untrusted" if result.estimate.untrusted else ""
    return f"{value * scale:.3g}{doubt} ({low * scale:.3g}-{end})"
