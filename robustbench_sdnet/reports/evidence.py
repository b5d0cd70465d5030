"""What is known of a model that was asked at several lambdas, and how far attacks on it can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter

from ..answers.comparisons import Comparison
from ..answers.rivals import Rival
from ..answers.rows import Row, grouped
from ..answers.trust import TRUSTED, UNTRUSTED
from ..specs import Eps
from .results import Lambda, distinct

NEGLIGIBLE = 0.03  # of all images: a gain or a loss that is none


@dataclass(frozen=True)
class Evidence:
    """What is known of one model on one data set: its name, with the data set's where there are several; its results,
    its lambdas against the one it was trained at, and what broke images that the direct attacks left."""

    name: str
    rows: Sequence[Row]
    compared: Sequence[Comparison]
    rivals: Sequence[Rival]

    @property
    def trained(self) -> Lambda:
        """The lambda that all others are compared with."""
        return self.compared[0].b.lam

    @property
    def means(self) -> list[Comparison]:
        """The comparisons of means over noises."""
        return [
            comparison
            for comparison in self.compared
            if comparison.question.kind == "mean" and comparison.question.is_noise
        ]

    @property
    def worst(self) -> list[Comparison]:
        """The comparisons of everything that was run in a ball."""
        return [comparison for comparison in self.compared if comparison.question.kind == "worst_case"]

    @property
    def attacked(self) -> bool:
        """Whether any attack was run."""
        return bool(self.worst) or any(row.kind == "attack" for row in self.rows)

    @cached_property
    def too_high(self) -> set[tuple[str | None, Eps | None, Lambda]]:
        """The norms, budgets and lambdas at which gradient attacks were shown to be weak: beaten by what should be
        weaker, or doubted by diagnostics where no other attack was found sound."""
        attacks = [row for row in self.rows if row.kind == "attack"]
        failed, sound = (
            {(row.norm, row.eps, row.lam) for row in attacks if row.verdict == verdict}
            for verdict in (UNTRUSTED, TRUSTED)
        )
        beaten = {(r.question.norm, r.question.eps, r.subject.lam) for r in self.rivals if r.suspicious}
        return beaten | (failed - sound)

    def doubts(self, comparison: Comparison) -> bool:
        """Whether weak attacks may stand behind it: a gain at its own lambda, anything else at the training lambda,
        which may then have nothing to lose."""
        return _rests_on(comparison) in self.too_high

    def standing(self, comparison: Comparison) -> tuple[bool, bool, bool, float]:
        """What a verdict rests on stands first: a gain by attacks that were checked, then one that nothing speaks
        against, any gain, and the larger difference of those that are alike."""
        undoubted = comparison.gains and not self.doubts(comparison)
        return undoubted and not self.unchecked(comparison), undoubted, comparison.gains, comparison.gain

    @cached_property
    def checked(self) -> set[tuple[str | None, Eps | None, Lambda]]:
        """The norms, budgets and lambdas at which an attack was diagnosed and found sound, or Square was run, which
        uses no gradient: alone, or as the last stage of AutoAttack."""
        return {
            (row.norm, row.eps, row.lam)
            for row in self.rows
            if row.verdict == TRUSTED or (row.kind == "attack" and row.perturbation.name == "square")
        }

    def unchecked(self, comparison: Comparison) -> bool:
        """Whether nothing is known of the attacks that it rests on, as in `doubts`."""
        return comparison.question.norm is not None and _rests_on(comparison) not in self.checked

    def caution(self, comparison: Comparison) -> str:
        """What weakens it: "untrusted" where weak attacks may stand behind it, "unchecked" for a gain by such as
        nothing checked; empty where nothing does."""
        if self.doubts(comparison):
            return "untrusted"
        return "unchecked" if comparison.gains and self.unchecked(comparison) else ""


def reading(comparison: Comparison, among: int = 1) -> str:
    """What a test and its interval, widened where it was picked by its result among so many, say of a lambda."""
    if comparison.gains or comparison.loses:
        return "gain" if comparison.gains else "loss"
    low, high = comparison.picked(among)
    if max(-low, high) <= NEGLIGIBLE:
        return "no change"
    return "no gain" if comparison.high <= NEGLIGIBLE else "too few images"


def _rests_on(comparison: Comparison) -> tuple[str | None, Eps | None, Lambda]:
    """The norm, budget and lambda whose attacks must be strong for what the comparison says."""
    return (
        comparison.question.norm,
        comparison.question.eps,
        (comparison.a if comparison.gains else comparison.b).lam,
    )


def evidences(rows: Sequence[Row], compared: Sequence[Comparison], rivals: Sequence[Rival]) -> list[Evidence]:
    """What is known of each model that was asked at several lambdas."""
    within = [
        comparison
        for comparison in compared
        if comparison.within and comparison.b.lam and comparison.a.lam and not comparison.a.lam.upper_bound
    ]
    subjects = distinct(
        (comparison.question.data, comparison.question.content, comparison.a.model) for comparison in within
    )
    several = len({data for data, _, _ in subjects}) > 1
    results = grouped(rows, attrgetter("data.content", "model"))
    tests = grouped(within, attrgetter("question.content", "a.model"))
    broken = grouped(rivals, attrgetter("question.content", "subject.model"))
    found = []
    for data, content, model in subjects:
        name, key = f"{model.name} on {data}" if several else model.name, (content, model)
        found.append(Evidence(name, results.get(key, []), tests[key], broken.get(key, [])))
    return found
