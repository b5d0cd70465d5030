"""What the diagnostics of attacks found: every warning and failure with its number and its sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ..document import Item, Table
from ..results import Result, Results, lambda_text

Checks = Mapping[str, Sequence[Mapping[str, Any]]]


def diagnostics_table(results: Results, data: str, checks: Checks) -> Table | None:
    """One row a finding, one for an attack without any; None where no attack was diagnosed.

    Args:
        checks: cell -> its diagnostics, each with check, verdict (pass, warn, fail, not_run), value,
            sentence and images.
    """
    rows: list[tuple[Item, ...]] = []
    for result in results.of("attack", data=data):
        if result.cell in checks:
            rows += _findings(result, checks[result.cell])
    if not rows:
        return None
    columns = ("model", "attack", "eps", "lambda", "verdict", "check", "value", "images", "finding")
    notes = ("A fail marks the accuracy untrusted; a warning does not.",)
    return Table(columns, tuple(rows), left=(0, 1, 4, 5, 8), notes=notes)


def _findings(result: Result, checks: Sequence[Mapping[str, Any]]) -> list[tuple[Item, ...]]:
    subject = result.subject
    start = (
        subject.model,
        result.name,
        f"{result.norm or ''} {result.eps or '-'}".strip(),
        lambda_text(subject.lam),
    )
    found: list[tuple[Item, ...]] = [
        (
            *start,
            check["verdict"],
            check["check"],
            _number(check["value"]),
            _images([check]),
            check["sentence"],
        )
        for check in checks
        if check["verdict"] in ("fail", "warn")
    ]
    counts = Counter(check["verdict"] for check in checks)
    return found or [
        (*start, "pass", f"{counts['pass']} checks", "-", _images(checks), f"{counts['not_run']} not run")
    ]


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _images(checks: Sequence[Mapping[str, Any]]) -> str:
    """How many images the checks looked at, the most of them; unknown where a store does not say."""
    found = [check["images"] for check in checks if check.get("images") is not None]
    return str(max(found)) if found else "-"
