"""What other lambdas gain over the training lambda: what the conclusion rests on."""

from __future__ import annotations

from ...answers.comparisons import Comparison
from ...answers.rows import lambda_text
from ..document import Item, Table
from ..evidence import NEGLIGIBLE, Evidence, reading
from ..numbers import points, probability

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
    rows = tuple(_line(evidence, one) for one in (*evidence.means, *evidence.worst))
    base = f"at {lambda_text(evidence.trained)}"
    columns = (
        "perturbation",
        "lambda",
        "n",
        base,
        "accuracy",
        "gain",
        "95 % interval",
        "corrected p",
        "reading",
    )
    doubted = any("," in str(row[-1]) for row in rows)
    return Table(columns, rows, left=(0, 8), notes=NOTES + (DOUBTS if doubted else ()))


def _line(evidence: Evidence, one: Comparison) -> tuple[Item, ...]:
    asked = one.asked
    where = "" if asked.source in ("", "generated") else f" ({asked.source})"
    what = f"worst case, {asked.ball}" if asked.eps is not None else f"mean of {asked.perturbation}{where}"
    found = ", ".join(filter(None, (reading(one), evidence.caution(one))))
    shares = f"{100 * one.accuracy_b:.1f}", f"{100 * one.accuracy_a:.1f}", f"{100 * one.gain:+.1f}"
    interval = f"{100 * one.low:+.1f} to {100 * one.high:+.1f}"
    return (what, lambda_text(one.a.lam), one.n, *shares, interval, probability(one.p_corrected), found)
