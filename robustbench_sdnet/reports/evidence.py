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
        return [one for one in self.compared if one.question.kind == "mean" and one.question.is_noise]

    @property
    def worst(self) -> list[Comparison]:
        """The comparisons of everything that was run in a ball."""
        return [one for one in self.compared if one.question.kind == "worst_case"]

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

    def doubts(self, one: Comparison) -> bool:
        """Whether weak attacks may stand behind it: a gain at its own lambda, anything else at the training lambda,
        which may then have nothing to lose."""
        return _rests_on(one) in self.too_high

    def standing(self, one: Comparison) -> tuple[bool, bool, bool, float]:
        """What a verdict rests on stands first: a gain by attacks that were checked, then one that nothing speaks
        against, any gain, and the larger difference of those that are alike."""
        undoubted = one.gains and not self.doubts(one)
        return undoubted and not self.unchecked(one), undoubted, one.gains, one.gain

    @cached_property
    def checked(self) -> set[tuple[str | None, Eps | None, Lambda]]:
        """The norms, budgets and lambdas at which an attack was diagnosed and found sound, or Square was run, which
        uses no gradient: alone, or as the last stage of AutoAttack."""
        return {
            (row.norm, row.eps, row.lam)
            for row in self.rows
            if row.verdict == TRUSTED or (row.kind == "attack" and row.perturbation.name == "square")
        }

    def unchecked(self, one: Comparison) -> bool:
        """Whether nothing is known of the attacks that it rests on, as in `doubts`."""
        return one.question.norm is not None and _rests_on(one) not in self.checked

    def caution(self, one: Comparison) -> str:
        """What weakens it: "untrusted" where weak attacks may stand behind it, "unchecked" for a gain by such as
        nothing checked; empty where nothing does."""
        if self.doubts(one):
            return "untrusted"
        return "unchecked" if one.gains and self.unchecked(one) else ""


def reading(one: Comparison, among: int = 1) -> str:
    """What a test and its interval, widened where it was picked by its result among so many, say of a lambda."""
    if one.gains or one.loses:
        return "gain" if one.gains else "loss"
    low, high = one.picked(among)
    if max(-low, high) <= NEGLIGIBLE:
        return "no change"
    return "no gain" if one.high <= NEGLIGIBLE else "too few images"


def _rests_on(one: Comparison) -> tuple[str | None, Eps | None, Lambda]:
    """The norm, budget and lambda whose attacks must be strong for what the comparison says."""
    return one.question.norm, one.question.eps, (one.a if one.gains else one.b).lam


def evidences(rows: Sequence[Row], compared: Sequence[Comparison], rivals: Sequence[Rival]) -> list[Evidence]:
    """What is known of each model that was asked at several lambdas."""
    within = [one for one in compared if one.within and one.b.lam and one.a.lam and not one.a.lam.upper_bound]
    subjects = distinct((one.question.data, one.question.content, one.a.model) for one in within)
    several = len({data for data, _, _ in subjects}) > 1
    results = grouped(rows, attrgetter("data.content", "model"))
    tests = grouped(within, attrgetter("question.content", "a.model"))
    broken = grouped(rivals, attrgetter("question.content", "subject.model"))
    found = []
    for data, content, model in subjects:
        name, key = f"{model.name} on {data}" if several else model.name, (content, model)
        found.append(Evidence(name, results.get(key, []), tests[key], broken.get(key, [])))
    return found
