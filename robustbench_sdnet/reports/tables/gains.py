"""What other lambdas gain over the training lambda: what the conclusion rests on."""

from __future__ import annotations

from ...answers.comparisons import Comparison
from ...answers.rows import lambda_text
from ...wording import share_text
from ..document import Item, Table
from ..evidence import NEGLIGIBLE, Evidence, reading
from ..numbers import points, probability, span
from .corruptions import place

NOTES = (
    "Accuracies in per cent, gains in points over the training lambda, paired on the same n images. gain, loss: the "
    "corrected p is below 0.05, and the interval does not hold 0. no change: the interval lies within "
    f"{points(NEGLIGIBLE)}. no gain: it ends below that. Elsewhere there are too few images to tell.",
)
DOUBTS = (
    "untrusted: weak attacks may stand behind it. unchecked: neither diagnostics nor Square checked the attacks behind "
    "the gain.",
)


def gain_table(evidence: Evidence) -> Table:
    """One row for each mean over noises and each ball, at every other lambda."""
    every = *evidence.means, *evidence.worst
    rows = tuple(_line(evidence, comparison) for comparison in every)
    base = f"at {lambda_text(evidence.trained)}"
    columns = (
        "perturbation", "lambda", "n", base, "accuracy", "gain", "95 % interval", "corrected p", "reading",
    )  # fmt: skip
    doubted = any(map(evidence.caution, every))
    return Table(columns, rows, left=(0, 8), notes=NOTES + (DOUBTS if doubted else ()))


def _line(evidence: Evidence, comparison: Comparison) -> tuple[Item, ...]:
    question = comparison.question
    what = (
        f"mean of {place(question.perturbation, question.source)}"
        if question.kind == "mean"
        else f"worst case, {question.ball}"
    )
    found = ", ".join(filter(None, (reading(comparison), evidence.caution(comparison))))
    shares = (
        share_text(comparison.accuracy_b),
        share_text(comparison.accuracy_a),
        f"{100 * comparison.gain:+.1f}",
    )
    tested = span(comparison.low, comparison.high), probability(comparison.p_corrected)
    return (what, lambda_text(comparison.a.lam), comparison.n, *shares, *tested, found)
