"""The conclusion in plain words, drawn from rows and paired tests alone: does raising lambda make a model robust?

A gain or a loss is claimed only where a corrected paired test found one and the interval of the difference does not
hold 0. Elsewhere the interval decides: if it lies within `NEGLIGIBLE` the answer is no, else the images were too few.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from ..answers.comparisons import Comparison
from ..answers.rivals import Rival
from ..answers.rows import Row, is_noise, lambda_name, lambda_order
from ..answers.trust import UNCHECKED, UNTRUSTED
from ..wording import counted
from .document import Section
from .numbers import percent, points, probability
from .results import Lambda, distinct, grouped, lambda_text

NEGLIGIBLE = 0.03
UNFOLDED = 6  # paragraphs
NOT_ATTACKED = "not asked. Run the same attacks, and random noise, at several lambdas."


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
        return [one for one in self.compared if one.asked.kind == "mean" and one.asked.is_noise]

    @property
    def worst(self) -> list[Comparison]:
        """The comparisons of everything that was run in a ball."""
        return [one for one in self.compared if one.asked.kind == "worst_case"]

    @property
    def attacked(self) -> bool:
        """Whether any attack was run."""
        return bool(self.worst) or any(row.kind == "attack" for row in self.rows)

    def doubts(self, one: Comparison) -> bool:
        """Whether it finds a gain against gradient attacks that were shown to be weak."""
        beaten = [(r.asked.norm, r.asked.eps, r.subject.lam) for r in self.rivals if r.suspicious]
        failed = [(row.norm, row.eps, row.lam) for row in self.rows if row.verdict == UNTRUSTED]
        return one.gains and (one.asked.norm, one.asked.eps, one.a.lam) in (*beaten, *failed)


def conclusion(known: Iterable[Evidence]) -> Iterator[Section]:
    """What it all comes to; nothing where no model was asked at several lambdas."""
    paragraphs = tuple(paragraph for _, paragraph in sentences(known))
    if paragraphs:
        yield Section("Conclusion", paragraphs, folded=len(paragraphs) > UNFOLDED)


def sentences(known: Iterable[Evidence]) -> Iterator[tuple[str, str]]:
    """Paragraphs with the question each answers: noise, adversary or masking; where nothing was attacked that is said
    once."""
    every = tuple(known)
    attacked = any(one.attacked for one in every)
    for one in every:
        yield "noise", f"{one.name}, noise: {noise(one)}"
        if attacked:
            yield "adversary", f"{one.name}, an adversary who knows lambda: {adversary(one)}"
            yield "masking", f"{one.name}, transfer and masking: {masking(one)}"
    if every and not attacked:
        yield "adversary", f"An adversary who knows lambda: {NOT_ATTACKED}"


def evidences(
    rows: Sequence[Row], compared: Sequence[Comparison], rivals: Sequence[Rival]
) -> Iterator[Evidence]:
    """What is known of each model that was asked at several lambdas."""
    within = [one for one in compared if one.within and one.b.lam and one.a.lam and not one.a.lam.upper_bound]
    subjects = distinct((one.asked.data, one.asked.content, one.a.model) for one in within)
    several = len({data for data, _, _ in subjects}) > 1
    for data, content, model in subjects:
        yield Evidence(
            f"{model.name} on {data}" if several else model.name,
            [row for row in rows if (row.data.content, row.model) == (content, model)],
            [one for one in within if (one.asked.content, one.a.model) == (content, model)],
            [one for one in rivals if (one.asked.content, one.subject.model) == (content, model)],
        )


def noise(evidence: Evidence) -> str:
    """Whether another lambda helps under noise, which, and by how much."""
    means = evidence.means
    single = [one for one in evidence.compared if one.asked.kind == "corruption" and one.asked.is_noise]
    if not (means or single):
        return "not asked. Run noise at several lambdas, at two severities or more."
    parts = [] if means else ["No mean over noises, which takes two conditions that both lambdas were asked."]
    for same in grouped(means, lambda one: one.asked).values():  # one mean is not over what another is
        parts += _mean(evidence, same)
    if single:
        parts.append(
            f"Of {counted(len(single), 'test')} of one noise at one strength, "
            f"{sum(one.gains for one in single)} found a gain and {sum(one.loses for one in single)} a loss."
        )
    return " ".join([*parts, *_oracles(evidence)])


def _mean(evidence: Evidence, same: Sequence[Comparison]) -> Iterator[str]:
    """What other lambdas do to one mean over noises."""
    asked = same[0].asked
    source = "" if asked.source == "generated" else f" ({asked.source})"
    yield f"{answer(evidence, same)[0]} The mean over {asked.perturbation}{source} is {_base(evidence, same)}."
    for one in same:
        if one.a.lam and one.a.lam.fixed is None:
            yield f"{lambda_text(one.a.lam)} {_effect(one)}."
    numbers = [(one, lam.fixed) for one in same if (lam := one.a.lam) and lam.fixed is not None]
    if numbers:
        best, _ = max(numbers, key=lambda pair: (pair[0].gains, pair[0].gain, -pair[1]))
        told = " of those told from chance" if any(one.gain > best.gain for one, _ in numbers) else ""
        if best.gain > 0:
            yield f"Of the fixed numbers, {lambda_text(best.a.lam)} comes out highest{told}: it {_effect(best)}."
        else:
            yield f"Of the fixed numbers none comes out higher: {lambda_text(best.a.lam)} {_effect(best)}."


def _base(evidence: Evidence, same: Sequence[Comparison], survive: str = "") -> str:
    """What the training lambda leaves right, on the most images: named where comparisons are not on as many."""
    most = max(same, key=lambda one: one.n)
    where = "" if all(one.n == most.n for one in same) else f" of {counted(most.n, 'image')}"
    return (
        f"{percent(most.accuracy_b)}{where}{survive} at the training lambda {lambda_text(evidence.trained)}"
    )


def adversary(evidence: Evidence) -> str:
    """Whether another lambda survives the worst case that was found at it."""
    worst = evidence.worst
    if not worst:
        return NOT_ATTACKED
    parts = []
    for (norm, eps), same in grouped(worst, lambda one: (one.asked.norm, one.asked.eps)).items():
        parts.append(
            f"{answer(evidence, same)[0]} Under the worst of everything that was run in the ball of {norm} {eps}, "
            f"sample by sample, {_base(evidence, same, ' survive')}."
        )
        effects: dict[str, list[Lambda]] = {}
        for one in same:
            caution = ", which is not to be trusted: see below" if evidence.doubts(one) else ""
            effects.setdefault(f"{_effect(one)}{caution}", []).append(one.a.lam)
        for effect, lams in effects.items():
            parts.append(f"{'Lambda' if len(lams) == 1 else 'Each of lambda'} {_listed(lams)} {effect}.")
        here = [row for row in evidence.rows if (row.norm, row.eps) == (norm, eps)]
        asked = {row.lam for row in here if row.lam and not row.lam.upper_bound}
        left = asked - {evidence.trained, *(one.a.lam for one in same)}
        if left:
            listed = _listed(sorted(left, key=lambda_order))
            parts.append(f"Other attacks than at the training lambda were run at {listed}: not compared.")
    return " ".join(parts)


def masking(evidence: Evidence) -> str:
    """Whether transfer or hidden gradients stand behind what looks like a gain."""
    attacked = [row for row in evidence.rows if row.kind == "attack"]
    if not attacked:
        return "not asked."
    parts = [_transfer(evidence), *_missed(evidence)]
    failed = {row.lam for row in attacked if row.verdict == UNTRUSTED}
    if failed:
        listed = _listed(sorted(failed, key=lambda_order))
        parts.append(
            f"Diagnostics failed at lambda {listed}: accuracies under attack there are not to be trusted."
        )
    elif any(row.verdict != UNCHECKED for row in attacked):
        parts.append("No diagnostic of the attacks failed.")
    else:
        parts.append("The attacks were not diagnosed.")
    return " ".join(parts)


def _transfer(evidence: Evidence) -> str:
    """How much would be gained if perturbations made at the training lambda were all, and how much of it stays."""
    worst = {(one.asked.norm, one.asked.eps, one.a.lam, one.n): one for one in evidence.worst}
    shown = [row for row in evidence.rows if row.kind == "transfer"]
    made = [
        (row, worst[row.norm, row.eps, row.lam, row.n])
        for row in shown
        if row.lam_attack == evidence.trained and (row.norm, row.eps, row.lam, row.n) in worst
    ]
    if not made and shown:
        return "What transfer leaves where the same images were not attacked alike says nothing of their robustness."
    if not made:
        return "Transfer between lambdas was not measured."
    row, found = max(made, key=lambda pair: pair[0].accuracy - pair[1].accuracy_b)
    apparent = row.accuracy - found.accuracy_b
    lost = min(row.accuracy - found.accuracy_a, apparent)
    seen = (
        f"Perturbations of {row.norm} {row.eps} made at the training lambda leave "
        f"{percent(row.accuracy)} at lambda {lambda_text(row.lam)}"
    )
    if apparent <= NEGLIGIBLE:
        return f"{seen}: not even transfer looks like a gain over {percent(found.accuracy_b)}."
    seen += f", which looks like a gain of {points(apparent)}; together, everything run there leaves "
    seen += percent(found.accuracy_a)
    if lost > NEGLIGIBLE:
        return f"{seen}: {points(lost)} of that gain are transfer, not robustness."
    return f"{seen}: transfer does not explain it."


def _missed(evidence: Evidence) -> Iterator[str]:
    """Rivals that broke more than a rare rate of what the gradient attacks left."""
    names = {
        "square": "Square, which uses no gradient,",
        "noise": "Random noise",
        "transfer": "Transfer from another lambda",
    }
    for rival in evidence.rivals:
        if rival.suspicious:
            yield (
                f"{names[rival.name]} breaks {rival.broken} of the {rival.left} images that the gradient "
                f"attacks at lambda {lambda_text(rival.subject.lam)} left ({rival.asked.ball}): those attacks "
                "are weaker than they should be, and the accuracy under them is too high."
            )
    square = [rival for rival in evidence.rivals if rival.name == "square"]
    if square and not any(rival.suspicious for rival in square):
        yield "Square, which uses no gradient, breaks no more than a rare image that the gradient attacks left."
    if not square:
        yield "The gradient-free attack square was not run on its own."


def _oracles(evidence: Evidence) -> Iterator[str]:
    """Mean gains of the best number in hindsight over the training lambda, on what both were asked and alike."""

    def asked(row: Row) -> Hashable:
        return row.perturbation, row.n, row.images

    noises = [row for row in evidence.rows if row.kind == "corruption" and is_noise(row.perturbation)]
    trained = {asked(row): row.accuracy for row in noises if row.lam == evidence.trained}
    bounds = [row for row in noises if row.lam and row.lam.text == "oracle"]
    both = (row for row in bounds if asked(row) in trained)
    for (name, source, n), same in grouped(both, lambda r: (lambda_name(r.lam), r.source, r.n)).items():
        gain = fmean(row.accuracy - trained[asked(row)] for row in same)
        told = ", ".join([name, *([] if source == "generated" else [source]), counted(n, "image")])
        yield (
            f"Choosing the number on the test labels for each noise and strength ({told}), which bounds any one "
            f"number and nobody can deploy, gains {points(gain)}."
        )


def answer(evidence: Evidence, compared: Sequence[Comparison]) -> tuple[str, str]:
    """Yes, no or cannot tell, over every other lambda that was tried: in a sentence, and before the names of models."""
    gains = [one for one in compared if one.gains]
    if not all(evidence.doubts(one) for one in gains):
        return "Another lambda helps.", "another lambda helps"
    if gains:
        doubt = "looks like a gain is not to be trusted"
        return f"What {doubt}.", f"what {doubt} for"
    if all(one.loses or one.high <= NEGLIGIBLE for one in compared):
        return f"No other lambda helps (by more than {points(NEGLIGIBLE)}).", "no other lambda helps"
    return "Cannot tell whether another lambda helps: too few images.", "the images are too few to tell for"


def _effect(one: Comparison) -> str:
    """What a lambda does, as a claim that its test allows."""
    interval = f"95 % interval {100 * one.low:+.1f} to {100 * one.high:+.1f}"
    tested = f"{interval}, corrected p {probability(one.p_corrected)}, {counted(one.n, 'image')}"
    if one.gains:
        return f"gains {points(one.gain)} ({tested})"
    if one.loses:
        return f"costs {points(-one.gain)} ({tested})"
    if max(-one.low, one.high) <= NEGLIGIBLE:
        return f"changes nothing beyond {points(NEGLIGIBLE)} ({tested})"
    if one.only_a == one.only_b == 0:
        return f"changes no answer, on too few images to tell more ({tested})"
    return (
        f"moves accuracy by {100 * one.gain:+.1f} points, cannot tell from chance: too few images ({tested})"
    )


def _listed(lambdas: Iterable[Lambda]) -> str:
    return ", ".join(map(lambda_text, lambdas))
