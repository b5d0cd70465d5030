"""Paired comparisons: models at the lambda they were trained at, and lambdas of one model.

Every test is two-sided on the same images: McNemar's exact one for one perturbation; for a mean over several or over
draws the sign test over images (an image counts for the side that has more of them right) and the test of the mean, of
which the larger p counts: the one asks how many images a side wins, the other how much. P values are corrected (Holm)
within a family: one kind of perturbation, between models or between the lambdas of one model.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from operator import attrgetter
from typing import Any

import numpy as np

from ..statistics import CONFIDENCE, difference_interval, difference_p, holm, mcnemar, summed_interval
from ..wording import natural
from .gathered import Answers, Question, Subject, gather
from .per_image import Right, shared
from .rows import eps_order, grouped, lambda_order, lambda_value
from .snapshot import Snapshot

ALPHA = 0.05
KINDS = {
    "clean": "clean",
    "corruption": "corruptions",
    "mean": "mean over corruptions",
    "noise": "random noise",
    "attack": "attacks",
    "worst_case": "worst case of every attack",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Two subjects on one question.

    Attributes:
        a, b: the sides; of two lambdas of one model `b` is the one it was trained at.
        n: images that both saw.
        low, high: 95 % interval of accuracy a minus accuracy b.
        square: the mean over images of the squared difference: 1 where every answer is another.
        only_a, only_b: images that one side alone has right (for means: has right more often).
        p_corrected: `p` after Holm's correction within the family.
        untrusted_a, untrusted_b: whether a diagnostic of the attack failed, so that the accuracy may be far too high.
    """

    question: Question
    a: Subject
    b: Subject
    n: int
    accuracy_a: float
    accuracy_b: float
    low: float
    high: float
    square: float
    only_a: int
    only_b: int
    p: float
    p_corrected: float = math.nan
    untrusted_a: bool = False
    untrusted_b: bool = False

    @property
    def name(self) -> str:
        """What is compared with what."""
        return f"{self.a.name} over {self.b.name}"

    @property
    def within(self) -> bool:
        """Whether it is between two lambdas of one model."""
        return self.a.model == self.b.model

    @property
    def family(self) -> str:
        """The tests that it is corrected with."""
        between = f"lambdas of {self.a.model.name}" if self.within else "models"
        source = "" if self.question.source == "generated" else f" ({self.question.source})"
        return f"{self.question.data}: {between}, {KINDS[self.question.kind]}{source}"

    @property
    def better(self) -> Subject | None:
        """The side with significantly more images, by the corrected p, whose gain the interval tells from 0."""
        if not self.p_corrected < ALPHA:
            return None
        if self.only_a > self.only_b:
            return self.a if self.low > 0 else None
        return self.b if self.high < 0 else None

    @property
    def gain(self) -> float:
        """Accuracy a minus accuracy b; of equal means, which as floats may differ in the last digit, 0 and not -0."""
        return round(self.accuracy_a - self.accuracy_b, 12) + 0.0

    def picked(self, among: int) -> tuple[float, float]:
        """The 95 % interval of the gain where it was picked by its result `among` several (Bonferroni).

        Its own holds the true gain of the best of 13 that gain alike in 79 to 90 % of cases (1,000 images), this one in
        98 % or more: all of them hold theirs at once in 95 %, so also the one picked.
        """
        return summed_interval(self.gain * self.n, self.square * self.n, self.n, 1 - (1 - CONFIDENCE) / among)

    @property
    def gains(self) -> bool:
        """Whether a is significantly better."""
        return self.better is self.a

    @property
    def loses(self) -> bool:
        """Whether b is significantly better."""
        return self.better is self.b

    def record(self) -> dict[str, Any]:
        """As one flat dictionary."""
        question = self.question
        return {
            "family": self.family,
            "data": question.data,
            "model_a": self.a.model.name,
            "lambda_a": lambda_value(self.a.lam),
            "model_b": self.b.model.name,
            "lambda_b": lambda_value(self.b.lam),
            "kind": question.kind,
            "perturbation": question.perturbation,
            "severity": question.severity,
            "norm": question.norm,
            "eps": question.eps and question.eps.text,
            **{key: getattr(self, key) for key in _NUMBERS},
            "better": self.better.name if self.better else "",
        }


_NUMBERS = (
    "n", "accuracy_a", "accuracy_b", "untrusted_a", "untrusted_b", "low", "high", "only_a", "only_b", "p",
    "p_corrected",
)  # fmt: skip


def comparisons(store: Snapshot) -> tuple[Comparison, ...]:
    """Every comparison that the answers allow, in a fixed order."""
    answers = gather(store)
    single = (one for question, found in answers.items() for one in _single(question, found))
    made = [comparison for comparison in (*single, *_means(answers)) if comparison.n]
    return tuple(sorted(_corrected(made), key=_order))


def _single(question: Question, found: Mapping[Subject, Right]) -> Iterator[Comparison]:
    """Every pair on one question; of yes or no on the same images all at once, as `compared` says one by one."""
    sides, pairs = list(found.values()), list(_pairs(found))
    if not all(len(side.ids) and side.ids is sides[0].ids and side.right.dtype == bool for side in sides):
        for pair in pairs:
            yield compared(question, pair, [(found[pair[0]], found[pair[1]])])
        return
    n, right = len(sides[0].ids), np.stack([side.right for side in sides]).astype(np.float32)
    both = (right @ right.T).astype(int).tolist()  # images that each two have right; exact below 2^24
    place = {subject: position for position, subject in enumerate(found)}
    for pair in pairs:
        a, b = place[pair[0]], place[pair[1]]
        only_a, only_b = both[a][a] - both[a][b], both[b][b] - both[a][b]
        low, high = summed_interval(only_a - only_b, only_a + only_b, n)
        yield Comparison(
            question=question,
            a=pair[0],
            b=pair[1],
            n=n,
            accuracy_a=both[a][a] / n,
            accuracy_b=both[b][b] / n,
            low=low,
            high=high,
            square=(only_a + only_b) / n,
            only_a=only_a,
            only_b=only_b,
            p=mcnemar(only_a, only_b),
            untrusted_a=sides[a].untrusted,
            untrusted_b=sides[b].untrusted,
        )


def _pairs(found: Iterable[Subject]) -> Iterator[tuple[Subject, Subject]]:
    """Models against each other at their defaults, then each lambda against its model's default."""
    subjects = list(found)
    defaults = sorted(
        (subject for subject in subjects if subject.is_default), key=lambda s: natural(s.model.name)
    )
    yield from combinations(defaults, 2)
    own = grouped(subjects, attrgetter("model"))
    for default in defaults:
        yield from ((subject, default) for subject in own[default.model] if subject is not default)


def _means(answers: Answers) -> Iterator[Comparison]:
    """Means over the noises, and over everything where that is more than noises, on what both sides were asked."""
    corrupted = [question for question in answers if question.kind == "corruption"]
    for (data, content, source), here in grouped(corrupted, attrgetter("data", "content", "source")).items():
        mean = Question(data, content, "mean", "", source=source)
        noises = [question for question in here if question.is_noise]
        for every in (noises, here):
            of = replace(mean, is_noise=every is noises)
            answered: dict[Subject, dict[Question, Right]] = {}
            for question in every:
                for subject, right in answers[question].items():
                    answered.setdefault(subject, {})[question] = right
            for pair in _pairs(answered):
                a, b = answered[pair[0]], answered[pair[1]]
                both = [question for question in a if question in b]
                # The same test twice would count twice in the correction.
                if len(both) > 1 and (of.is_noise or not all(question.is_noise for question in both)):
                    conditions = tuple(f"{question.perturbation} {question.severity}" for question in both)
                    named = replace(of, perturbation=_mean_name(both, of.is_noise), met=conditions)
                    yield compared(named, pair, [(a[question], b[question]) for question in both])


def _mean_name(questions: Sequence[Question], noises: bool) -> str:
    names = len({question.corruption for question in questions})
    what = ("noise" if noises else "corruption") + ("s" if names > 1 else "")
    return f"{names} {what}, {len(questions)} conditions"


def compared(
    question: Question,
    pair: tuple[Subject, Subject],
    answers: Sequence[tuple[Right, Right]],
    confidence: float = CONFIDENCE,
) -> Comparison:
    """The paired test of two subjects, by their answers to all that `question` covers; p is not corrected yet."""
    ids = shared([side for both in answers for side in both])
    # Per image the share of perturbations, and of draws, under which it is right, (m,).
    a, b = (np.mean([both[side].at(ids) for both in answers], axis=0) for side in (0, 1))
    low, high = difference_interval(a - b, confidence)
    gained = (a - b).round(9)  # equal shares of draws may be floats that differ in the last digit
    only_a, only_b = int((gained > 0).sum()), int((gained < 0).sum())
    p = mcnemar(only_a, only_b)
    if (gained % 1).any():  # many small gains and few large losses may come to nothing
        p = max(p, difference_p(a - b))
    return Comparison(
        question=question,
        a=pair[0],
        b=pair[1],
        n=len(ids),
        accuracy_a=float(a.mean()) if len(ids) else math.nan,
        accuracy_b=float(b.mean()) if len(ids) else math.nan,
        low=low,
        high=high,
        square=float(((a - b) ** 2).mean()) if len(ids) else math.nan,
        only_a=only_a,
        only_b=only_b,
        p=p,
        untrusted_a=any(one.untrusted for one, _ in answers),
        untrusted_b=any(one.untrusted for _, one in answers),
    )


def _corrected(made: Sequence[Comparison]) -> Iterator[Comparison]:
    """The same with corrected p values, family by family."""
    for family in grouped(made, attrgetter("family")).values():
        for comparison, p in zip(family, holm([one.p for one in family]), strict=True):
            yield replace(comparison, p_corrected=float(p))


def _order(comparison: Comparison) -> tuple[Any, ...]:
    question = comparison.question
    return (
        question.data,
        comparison.within,
        list(KINDS).index(question.kind),
        natural(comparison.family),
        natural(question.perturbation),
        question.severity or 0,
        question.norm or "",
        eps_order(question.eps),
        natural(comparison.a.model.name),
        lambda_order(comparison.a.lam),
        natural(comparison.b.model.name),
    )
