"""The first table: every model at its main lambda, in one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from ...answers.rows import eps_order, lambda_text
from ...specs import SEVERITIES, Eps
from ...wording import natural
from ..document import Item, Table
from ..numbers import ABSENT, Value, reasons
from ..results import DIRECT, Results, Subject, distinct
from .attacks import display_name, passes_text, strongest
from .corruptions import MAIN, at_severity, grid, kinds_text, levels_run, levels_text, over_corruptions


def overview(results: Results, data: str) -> Table:
    """Clean, corrupted (mean, severity 5) and attacked accuracy of every model, on the same images of one source."""
    subjects = results.main_subjects(data)
    asked = (r for subject in subjects for r in results.of("corruption", subject=subject))
    sources = sorted({r.source for r in asked if r.severity})
    source = sources[0] if sources else "generated"
    grids = {subject: grid(results, subject, source) for subject in subjects}
    run = {name for found in grids.values() for name in found}
    names = MAIN if run >= set(MAIN) else tuple(sorted(run, key=natural))
    budget = headline_budget(results, data)
    columns: tuple[str, ...] = ("model", "lambda", "clean")
    left: tuple[int, ...] = (0,)
    notes = []
    levels = levels_run(grids.values())
    highest = levels[-1:] if len(levels) > 1 else ()  # beside the mean
    if names:
        columns += (kinds_text(names, source, levels, several=len(sources) > 1),)
        columns += tuple(f"at severity {level}" for level in highest)
    if len(sources) > 1:
        notes.append(f"{columns[3]}: of these alone; {', '.join(sources[1:])} below.")
    if names and highest and levels != SEVERITIES:
        notes.append(f"{columns[3]}: mean over {levels_text(levels)}.")
    if budget:
        columns += (f"{budget[0] or '-'} {budget[1] or ''}".rstrip(), "by")
        left += (len(columns) - 1,)
        notes.append(
            f"{columns[-2]}: the lowest accuracy that an attack at this budget and the deployed lambda left, of those "
            "on the most images, and which attack; for minimal-norm attacks, see their distances. Compare only rows of "
            "the same attack."
        )
    rows: dict[Subject, tuple[Item, ...]] = {}
    for subject in subjects:
        row: list[Item] = [subject.model, lambda_text(subject.lam)]
        row.append(results.estimate("clean", subject=subject) or ABSENT)
        if names:
            row.append(over_corruptions(grids[subject], names, levels))
            row += (at_severity(grids[subject], names, level) for level in highest)
        if budget:
            worst = strongest(results, subject, *budget)
            row += [worst.estimate, display_name(worst)] if worst else [ABSENT, "-"]
        rows[subject] = tuple(row)
    if names:
        notes += reasons((subject.label, row[3:4]) for subject, row in rows.items())
    return Table(columns, tuple(rows.values()), left=left, notes=tuple(notes), stacked=len(columns) > 5)


USUAL = ("linf", Fraction(8, 255))


def headline_budget(results: Results, data: str) -> tuple[str | None, Eps | None] | None:
    """The norm and eps that most subjects were attacked at; of several Linf 8/255, then the largest eps."""
    counts = Counter(
        (norm, eps)
        for _, norm, eps in {(r.subject, r.norm, r.eps) for r in results.of(DIRECT, data=data) if r.eps}
    )
    return max(counts, key=lambda b: (counts[b], is_usual(*b), eps_order(b[1]), b[0] or ""), default=None)


def is_usual(norm: str | None, eps: Eps | None) -> bool:
    """Whether a budget is the one that most of the field reports."""
    return (norm, eps and eps.fraction) == USUAL


def everything(results: Results) -> Table:
    """One row a data set, model, lambda and threat: clean, the mean over corruptions, and the strongest attack of each
    budget, with what it cost."""
    rows: list[tuple[Item, ...]] = []
    gaps: list[tuple[str, list[Value]]] = []
    for data in results.data:
        for subject in results.subjects(data):
            lam, met = lambda_text(subject.lam), list(threats(results, subject))
            rows.extend((subject.model, lam, *threat, data) for threat in met)
            where = f" on {data}" if len(results.data) > 1 else ""
            gaps.append((f"{subject.label}{where}", [threat.accuracy for threat in met]))
    columns = ("model", "lambda", "threat", "by", "accuracy", "passes/image", "verdict", "data")
    end = None if len(results.data) > 1 else -1  # the data set stands last, where there are several
    notes = (
        "A mean over corruptions is over all that this model was run on at this lambda; compare equal ones only.",
        "passes/image: for an attack that began with the survivors of a smaller eps, only those that it added.",
        *reasons(gaps),
    )
    lines = tuple(row[:end] for row in rows)
    return Table(columns[:end], lines, left=(0, 2, 3, 6, 7)[:end], notes=notes, filters=(0, 1, 2, 6, 7)[:end])


class Threat(NamedTuple):
    """What a subject was asked, by what, its accuracy there, passes per image and the verdict."""

    name: str
    by: str
    accuracy: Value
    passes: str = ""
    verdict: str = ""


def threats(results: Results, subject: Subject) -> Iterator[Threat]:
    """Clean images, corruptions by where they come from, and the strongest attack of each budget."""
    clean = next(iter(results.of("clean", subject=subject)), None)
    if clean:
        yield Threat("clean", "", clean.estimate, passes_text(clean))
    for source in distinct(r.source for r in results.of("corruption", subject=subject)):
        found = grid(results, subject, source)
        levels, names = levels_run([found]), tuple(found)
        if names:
            mean = over_corruptions(found, names, levels)
            yield Threat(kinds_text(names, source), levels_text(levels), mean, "-")
    budgets = {(r.norm, r.eps) for r in results.of(DIRECT, subject=subject) if r.eps}
    for norm, eps in sorted(budgets, key=lambda b: (b[0] or "", eps_order(b[1]))):
        worst = strongest(results, subject, norm, eps)
        if worst:
            yield Threat(worst.budget, display_name(worst), worst.estimate, passes_text(worst), worst.verdict)
