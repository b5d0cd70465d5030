"""The first table: every model at its main lambda, in one row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

from ...answers.rows import eps_order, lambda_text
from ...specs import SEVERITIES, Eps
from ...wording import natural
from ..document import Item, Table
from ..numbers import ABSENT, Estimate, Value, reasons
from ..results import DIRECT, Results, Subject, distinct
from .attacks import display_name, passes_text, strongest
from .corruptions import MAIN, at_severity, grid, kinds_text, levels_run, levels_text, over_corruptions


@dataclass(frozen=True)
class Condition:
    """A column of the overview.

    Attributes:
        name: its heading.
        told: what a sentence says after one of its accuracies.
        found: the accuracy of every subject.
        by: the attack that left it, by subject; empty for what is no attack.
        notes: what is to be known of it.
    """

    name: str
    told: str
    found: Mapping[Subject, Value]
    by: Mapping[Subject, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def overview(results: Results, data: str) -> Table:
    """Clean, corrupted (mean, severity 5) and attacked accuracy of every model, on the same images of one source."""
    subjects, asked = results.main_subjects(data), list(conditions(results, data))
    columns = ["model", "lambda"]
    rows: list[list[Item]] = [[subject.model, lambda_text(subject.lam)] for subject in subjects]
    for condition in asked:
        attacks = [("by", condition.by)] if condition.by else []
        for heading, items in ((condition.name, condition.found), *attacks):
            columns.append(heading)
            for subject, row in zip(subjects, rows, strict=True):
                row.append(items[subject])
    left = tuple(place for place, name in enumerate(columns) if name in ("model", "by"))
    notes = tuple(note for condition in asked for note in condition.notes)
    lines = tuple(map(tuple, rows))
    return Table(tuple(columns), lines, left=left, notes=notes, stacked=len(columns) > 5)


def conditions(results: Results, data: str) -> Iterator[Condition]:
    """What the main subjects of a data set were asked: clean images, corruptions of one source, the usual budget."""
    subjects = results.main_subjects(data)
    clean = {subject: results.estimate("clean", subject=subject) or ABSENT for subject in subjects}
    yield Condition("clean", "clean", clean)
    yield from _corrupted(results, subjects)
    if budget := headline_budget(results, data):
        name = f"{budget[0] or '-'} {budget[1] or ''}".rstrip()
        worst = {subject: strongest(results, subject, *budget) for subject in subjects}
        found = {subject: one.estimate if one else ABSENT for subject, one in worst.items()}
        by = {subject: display_name(one) if one else "-" for subject, one in worst.items()}
        note = (
            f"{name}: the lowest accuracy that an attack at this budget and the deployed lambda left, of those "
            "on the most images, and which attack; for minimal-norm attacks, see their distances. Compare only rows of "
            "the same attack."
        )
        yield Condition(name, f"under {name}", found, by, [note])


def _corrupted(results: Results, subjects: Sequence[Subject]) -> Iterator[Condition]:
    """The mean over all corruptions, and the highest severity of several beside it."""
    asked = (r for subject in subjects for r in results.of("corruption", subject=subject))
    sources = sorted({r.source for r in asked if r.severity})
    source = sources[0] if sources else "generated"
    grids = {subject: grid(results, subject, source) for subject in subjects}
    run = {name for found in grids.values() for name in found}
    if not run:
        return
    names = MAIN if run >= set(MAIN) else tuple(sorted(run, key=natural))
    levels = levels_run(grids.values())
    many_levels = len(levels) > 1
    name = kinds_text(names, source, levels, several=len(sources) > 1)
    notes = []
    if len(sources) > 1:
        notes.append(f"{name}: of these alone; {', '.join(sources[1:])} below.")
    if many_levels and levels != SEVERITIES:
        notes.append(f"{name}: mean over {levels_text(levels)}.")
    means = {subject: over_corruptions(found, names, levels) for subject, found in grids.items()}
    notes += reasons((subject.label, [value]) for subject, value in means.items())
    yield Condition(name, f"under {name}", means, notes=notes)
    if many_levels:
        at = f"at severity {levels[-1]}"
        told = at if any(isinstance(value, Estimate) for value in means.values()) else f"{at} of {name}"
        highest = {subject: at_severity(found, names, levels[-1]) for subject, found in grids.items()}
        yield Condition(at, told, highest)


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
