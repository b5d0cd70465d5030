"""What the diagnostics of attacks found: every warning and failure with its number and its sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from ...answers.trust import FAIL, NOT_RUN, PASS, WARN, Finding
from ..document import Item, Table
from ..results import Results, lambda_text


def diagnostics_table(results: Results, data: str) -> Table:
    """One row a finding, one for an attack without any."""
    rows: list[tuple[Item, ...]] = []
    for result in results.of("attack", data=data):
        start = result.subject.model, result.name, result.budget, lambda_text(result.subject.lam)
        rows += ((*start, *cells) for cells in _findings(result.findings))
    columns = ("model", "attack", "eps", "lambda", "verdict", "check", "value", "images", "finding")
    notes = ("A fail marks the accuracy untrusted; a warning does not.",)
    return Table(columns, tuple(rows), left=(0, 1, 4, 5, 8), notes=notes)


def _findings(checks: Sequence[Finding]) -> Iterator[tuple[Item, ...]]:
    counts = Counter(check.verdict for check in checks)
    for check in checks:
        if check.verdict in (FAIL, WARN):
            value = "-" if check.value is None else f"{check.value:.3g}"
            yield check.verdict, check.check, value, _images([check]), check.sentence
    if checks and not counts[FAIL] + counts[WARN]:
        yield PASS, f"{counts[PASS]} checks", "-", _images(checks), f"{counts[NOT_RUN]} not run"


def _images(checks: Sequence[Finding]) -> str:
    """How many images the checks looked at, the most of them; unknown where a store does not say."""
    found = [check.images for check in checks if check.images is not None]
    return str(max(found)) if found else "-"
