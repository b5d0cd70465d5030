"""Diagnostics on the terminal: a table that fits it, and one line that sums it up."""

from __future__ import annotations

import shutil
import textwrap
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ..wording import counted

if TYPE_CHECKING:
    from ..diagnostics import Finding

WIDEST = 120


def table(verdicts: Sequence[Finding]) -> str:
    """One check a line, its finding wrapped to the terminal; what was not run stands below, by reason."""
    lines = [f"{'verdict':<7}  {'check':<22}  {'number':>8}  {'images':>6}  finding"]
    for verdict in verdicts:
        if verdict.verdict != "not_run":
            number = "-" if verdict.value is None else f"{verdict.value:.3g}"
            images = "-" if verdict.images is None else str(verdict.images)
            start = f"{verdict.verdict:<7}  {verdict.check:<22}  {number:>8}  {images:>6}  "
            lines.append(_wrapped(start, verdict.sentence, len(start)))
    reasons: dict[str, list[str]] = {}
    for verdict in verdicts:
        if verdict.verdict == "not_run":
            reasons.setdefault(verdict.sentence, []).append(verdict.check)
    lines += [_wrapped("not run: ", f"{', '.join(names)}. {why}", 9) for why, names in reasons.items()]
    return "\n".join(lines)


def summary(verdicts: Iterable[Finding]) -> str:
    """How many checks passed, warned, failed and were not run, and what that means."""
    counts = Counter(verdict.verdict for verdict in verdicts)
    text = f"{counts['pass']} pass, {counts['warn']} warn, {counts['fail']} fail, {counts['not_run']} not run"
    if counts["fail"]:
        return f"{text}: accuracies under attack are not to be trusted."
    if not counts["pass"] + counts["warn"]:
        return f"{text}: nothing could be checked."
    return f"{text}: " + ("look at the warnings." if counts["warn"] else "no sign of masked gradients.")


def of_attacks(found: Sequence[Sequence[Finding]]) -> str:
    """The same over several attacks."""
    if not found:
        return (
            "Diagnostics: none. They apply to attacks with a budget above 0 whose first images are answered."
        )
    return f"Diagnostics of {counted(len(found), 'attack')}: {summary(v for verdicts in found for v in verdicts)}"


def _wrapped(start: str, text: str, indent: int) -> str:
    width = min(shutil.get_terminal_size((100, 24)).columns, WIDEST)
    return textwrap.fill(
        start + text,
        max(width, indent + 30),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
