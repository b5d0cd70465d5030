"""What minimal-norm attacks found: the distance within which a share of the images breaks, and accuracy at any eps."""

from __future__ import annotations

from ...answers.per_image import quantile, quantile_interval
from ...specs import norm_facts
from ...statistics import wilson
from ..document import Item, Table
from ..numbers import Estimate
from ..results import Result, Results, lambda_text

SHARES = (0.25, 0.5, 0.75)
NOTES = (
    "distance: norm of the smallest perturbation found that makes an image wrong; an upper bound, as accuracies "
    "under attack are.",
    "25, 50, 75 %: the distance within which that share of all images is wrong (those wrong from the start at 0), "
    "with its exact 95 % interval; 50 % is the median.",
    '"-": so many images were not broken; "...": an interval without an upper end.',
)


def distance_table(results: Results, data: str) -> Table:
    """Every minimal-norm attack at every lambda, one row each."""
    found = [result for result in results.of("attack", data=data) if len(result.distances)]
    rows: list[tuple[Item, ...]] = [
        (
            result.name,
            _unit_text(result.norm),
            result.subject.model,
            lambda_text(result.subject.lam),
            *(_quantile(result, share) for share in SHARES),
            str(result.estimate.n),
        )
        for result in found
    ]
    columns = ("attack", "norm", "model", "lambda", *(f"{100 * share:.0f} %" for share in SHARES), "n")
    title = "Distances of minimal-norm attacks"
    return Table(columns, tuple(rows), title=title, left=(0, 1, 2), notes=NOTES)


def accuracy_at(result: Result, eps: float) -> Estimate:
    """Accuracy of a minimal-norm attack at a budget: the share of images whose distance is larger."""
    n = len(result.distances)
    right = n - int(result.distances.searchsorted(eps, side="right"))
    low, high = wilson(right, n)
    return Estimate(right / n, low, high, n, untrusted=result.estimate.untrusted)


def _quantile(result: Result, share: float) -> str:
    """The order statistic with its interval."""
    value = quantile(result.distances, share)
    if value is None:
        return "-"
    low, high = quantile_interval(result.distances, share)
    ends = (_number(low, result.norm), "..." if high is None else _number(high, result.norm))
    return f"{_number(value, result.norm)} ({'-'.join(ends)})"


def _number(distance: float, norm: str | None) -> str:
    return f"{distance * norm_facts(norm).scale:.3g}"


def _unit_text(norm: str | None) -> str:
    """The norm, with the unit that its distances are in."""
    return f"{norm}, 1{norm_facts(norm).unit}" if norm_facts(norm).unit else norm or "-"
