"""The first words of a report: the highest numbers, and whether another lambda helps, in a sentence each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import attrgetter

from ..answers.comparisons import Comparison
from ..answers.rows import eps_order, grouped, lambda_text
from ..wording import counted, percent
from .conclusion import answer, interval_text
from .evidence import Evidence
from .numbers import Estimate, images_text, points, usual_image_set
from .results import Results, distinct
from .tables.attacks import at_budget, display_name
from .tables.corruptions import place
from .tables.overview import conditions, headline_budget, is_usual

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
    asked = list(conditions(results, data))
    usual = usual_image_set(
        value for one in asked for value in one.found.values() if isinstance(value, Estimate)
    )
    uneven = _attacked_unevenly(results, data)
    parts = []
    for condition in asked:
        estimates = {
            subject: value
            for subject, value in condition.found.items()
            if isinstance(value, Estimate) and not (subject.lam and subject.lam.upper_bound)
        }
        if not estimates:
            continue
        first, best = max(estimates.items(), key=lambda pair: pair[1].accuracy)
        details = first.label
        if others := sum(estimate.accuracy == best.accuracy for estimate in estimates.values()) - 1:
            details += f" and {others} more"
        if condition.by:
            if uneven or len({condition.by[subject] for subject in estimates}) > 1:
                details += f", by {condition.by[first].replace('worst case of', 'the worst case of')}"
            if uneven:
                details += "; others faced other attacks"
        if best.image_set != usual:
            details += f", {images_text(best.image_set)}"
        doubt = " (untrusted)" if best.untrusted else ""
        parts.append(f"{best.percent} %{doubt} {condition.told} ({details})")
    if parts:
        images = f", {images_text(usual)}" if usual else ""
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
