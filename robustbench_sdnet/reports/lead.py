"""The first words of a report: the highest numbers, and whether another lambda helps, in a sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter

from ..answers.comparisons import Comparison
from ..answers.rows import eps_order, grouped, lambda_text
from ..wording import counted, percent
from .conclusion import answer, interval_text
from .document import Item
from .evidence import Evidence
from .numbers import Estimate, images_text, points
from .results import Results, distinct
from .tables.attacks import at_budget, display_name
from .tables.corruptions import place
from .tables.overview import headline_budget, is_usual, overview

NAMED = 3  # models that a sentence names


def lead(results: Results, known: Sequence[Evidence]) -> Iterator[str]:
    """At most one sentence for each data set, one on noise and one on attacks."""
    for data in results.data:
        yield from _highest(results, data)
    yield from _helps("Under noise", [(evidence, evidence.means) for evidence in known])
    attacked = [(evidence, _worst(evidence)) for evidence in known]
    balls = distinct(comparison.question.ball for _, compared in attacked for comparison in compared)
    yield from _helps(f"Against an adversary who knows lambda ({', '.join(balls)})", attacked)


def _worst(evidence: Evidence) -> list[Comparison]:
    """Worst cases at one budget: the usual one where it was run, else the largest."""
    by_budget = grouped(evidence.worst, attrgetter("question.norm", "question.eps"))
    chosen = max(by_budget, key=lambda budget: (is_usual(*budget), eps_order(budget[1])), default=None)
    return [] if chosen is None else by_budget[chosen]


def _helps(
    question: str, compared_by_model: Sequence[tuple[Evidence, Sequence[Comparison]]]
) -> Iterator[str]:
    """Which models another lambda helps, which it does not, and of which that cannot be told."""
    models_by_verdict: dict[str, list[str]] = {}
    for evidence, compared in compared_by_model:
        if compared:
            # What the verdict rests on, not a larger difference that chance or a weak attack may have made.
            best = max(compared, key=evidence.standing)
            # Means and worst cases are of the images that all of it was asked on, often fewer than elsewhere.
            base = f"{percent(best.accuracy_b)} of {counted(best.n, 'image')} at the training lambda"
            base += f" {lambda_text(best.b.lam)}"
            if best.question.kind == "mean" and len({comparison.question for comparison in compared}) > 1:
                base += f" under {place(best.question.perturbation, best.question.source)}"
            change = f"{points(best.gain, signed=True)} at {lambda_text(best.a.lam)}"
            change += f", {interval_text(best, len(compared))}"
            _, verdict = answer(evidence, compared)
            models_by_verdict.setdefault(verdict, []).append(f"{evidence.name} ({base}, {change})")
    if models_by_verdict:
        parts = (f"{verdict} {_some(models)}" for verdict, models in models_by_verdict.items())
        yield f"{question}, {'; '.join(parts)}."


def _highest(results: Results, data: str) -> Iterator[str]:
    """The highest accuracy in each column of the overview, bounds that were chosen on test labels left out."""
    table = overview(results, data)
    lambdas = [subject.lam for subject in results.subjects(data)]
    bounds = [lambda_text(lam) for lam in lambdas if lam is not None and lam.upper_bound]
    uneven = _attacked_unevenly(results, data)
    parts = []
    for column, name in enumerate(table.columns):
        estimates: list[tuple[Estimate, tuple[Item, ...]]] = []
        for row in table.rows:
            value = row[column]
            if isinstance(value, Estimate) and row[1] not in bounds:
                estimates.append((value, row))
        if not estimates:
            continue
        best, best_row = max(estimates, key=lambda pair: pair[0].accuracy)
        subject = str(best_row[0]) if best_row[1] == "-" else f"{best_row[0]} @ {best_row[1]}"
        if others := sum(estimate.accuracy == best.accuracy for estimate, _ in estimates) - 1:
            subject += f" and {others} more"
        if table.columns[column + 1 :] == ("by",):
            if uneven or len({row[-1] for _, row in estimates}) > 1:
                subject += f", by {str(best_row[-1]).replace('worst case of', 'the worst case of')}"
            if uneven:
                subject += "; others faced other attacks"
        if best.image_set != table.usual_image_set:
            subject += f", {images_text(best.image_set)}"
        doubt = " (untrusted)" if best.untrusted else ""
        under = name if name == "clean" or name.startswith("at ") else f"under {name}"
        if name.startswith("at ") and not any(isinstance(row[column - 1], Estimate) for row in table.rows):
            under += f" of {table.columns[column - 1]}"
        parts.append(f"{best.percent} %{doubt} {under} ({subject})")
    if parts:
        images = f", {table.images}" if table.images else ""
        yield f"Highest accuracies on {data}{images}: {'; '.join(parts)}."


def _attacked_unevenly(results: Results, data: str) -> bool:
    """Whether some subjects of the overview faced other attacks at its budget than others that were attacked."""
    budget = headline_budget(results, data) or (None, None)
    attacks = set()
    for subject in results.main_subjects(data):
        attacks.add(frozenset(map(display_name, at_budget(results, subject, *budget))))
    return len(attacks - {frozenset()}) > 1


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
