"""The conclusion in plain words, drawn from rows and paired tests alone: does raising lambda make a model robust?

A gain or a loss is claimed only where a corrected paired test found one and the interval of the difference does not
hold 0, and against an adversary only where the attacks behind it were diagnosed, or Square was run beside. Elsewhere
the interval decides: if it lies within `NEGLIGIBLE` the answer is no, else the images were too few.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from operator import attrgetter, itemgetter
from statistics import fmean

from ..answers.comparisons import Comparison
from ..answers.rows import Row, eps_order, grouped, is_noise, lambda_name, lambda_text
from ..statistics import images_needed
from ..wording import counted, percent
from .document import Section, filled
from .evidence import NEGLIGIBLE, Evidence, reading
from .masking import masking
from .numbers import points, probability, span
from .results import listed
from .tables.corruptions import place
from .tables.gains import gain_table

UNFOLDED = 6  # paragraphs
UNCHECKED = "by attacks that nothing checked"
CAUTIONS = {
    "": "",
    "untrusted": ", which is not to be trusted: see below",
    "unchecked": f", {UNCHECKED}",
}
NO_MEAN = "No mean over noises: it needs two conditions measured at both lambdas on the same images."
ALIKE = "Run the same attacks, and random noise, at several lambdas."
NOT_ATTACKED = f"not measured. {ALIKE}"


def conclusion(known: Sequence[Evidence]) -> Iterator[Section]:
    """What it all comes to, then what it rests on; nothing where no model was asked at several lambdas."""
    paragraphs = [paragraph for _, paragraph in sentences(known)]
    yield from filled("Conclusion", paragraphs, folded=len(paragraphs) > UNFOLDED)
    for evidence in known:
        title = f"{evidence.name}: gains over lambda {lambda_text(evidence.trained)}"
        yield from filled(title, [gain_table(evidence)], level=3, folded=True)


def sentences(known: Sequence[Evidence]) -> Iterator[tuple[str, str]]:
    """Paragraphs with the question each answers: noise, adversary or masking; where nothing was attacked that is said
    once."""
    attacked = any(evidence.attacked for evidence in known)
    for evidence in known:
        yield "noise", f"{evidence.name}, noise: {noise(evidence)}"
        if attacked:
            yield "adversary", f"{evidence.name}, an adversary who knows lambda: {adversary(evidence)}"
            yield "masking", f"{evidence.name}, transfer and masking: {masking(evidence)}"
    if known and not attacked:
        yield "adversary", f"An adversary who knows lambda: {NOT_ATTACKED}"


def noise(evidence: Evidence) -> str:
    """Whether another lambda helps under noise, which, and by how much."""
    means = evidence.means
    single = [
        comparison
        for comparison in evidence.compared
        if comparison.question.kind == "corruption" and comparison.question.is_noise
    ]
    if not (means or single):
        return "not measured. Run noise at several lambdas, at two or more severities."
    parts = [] if means else [NO_MEAN]
    for same in grouped(means, attrgetter("question")).values():  # one mean is not over what another is
        parts += _mean(evidence, same)
    if single:
        gains = sum(comparison.gains for comparison in single)
        losses = sum(comparison.loses for comparison in single)
        parts.append(
            f"Of {counted(len(single), 'test')} of one noise at one strength, {gains} found a gain and {losses} a loss."
        )
    return " ".join([*parts, *_oracles(evidence)])


def _mean(evidence: Evidence, same: Sequence[Comparison]) -> Iterator[str]:
    """What other lambdas do to one mean over noises."""
    over = place(same[0].question.perturbation, same[0].question.source)
    yield (
        f"{answer(evidence, same)[0]} The mean over {over} is {_trained(same)} at the training "
        f"lambda {lambda_text(evidence.trained)}."
    )
    for comparison in same:
        if comparison.a.lam and comparison.a.lam.fixed is None:
            yield f"{lambda_text(comparison.a.lam)} {_effect(comparison)}."
    numbers = [
        (comparison, lam.fixed) for comparison in same if (lam := comparison.a.lam) and lam.fixed is not None
    ]
    if numbers:
        best, _ = max(numbers, key=lambda pair: (pair[0].gains, pair[0].gain, -pair[1]))
        # A larger gain may be there, which cannot be told from chance.
        is_largest = all(comparison.gain <= best.gain for comparison, _ in numbers)
        name, effect = lambda_text(best.a.lam), _effect(best, len(numbers))
        if best.gain > 0:
            among = "" if is_largest else " of those distinguished from chance"
            yield f"Of the fixed numbers, {name} comes out highest{among}: it {effect}."
        else:
            yield f"Of the fixed numbers none comes out higher: {name} {effect}."


def _trained(same: Sequence[Comparison]) -> str:
    """What the training lambda leaves right, on the most images: named where comparisons are not on as many."""
    most = max(same, key=lambda comparison: comparison.n)
    where = "" if all(comparison.n == most.n for comparison in same) else f" of {counted(most.n, 'image')}"
    return f"{percent(most.accuracy_b)}{where}"


def adversary(evidence: Evidence) -> str:
    """Whether another lambda survives the worst case that was found at it, which gain, and how many lose."""
    balls = list(grouped(evidence.worst, attrgetter("question.ball")).values())
    if not balls:
        not_compared = list(_not_compared(evidence))
        return " ".join([*not_compared, ALIKE]) if not_compared else NOT_ATTACKED
    worst = f"At the training lambda {lambda_text(evidence.trained)} the worst case, image by image, of everything run"
    parts = []
    for verdict, alike in grouped(balls, lambda same: answer(evidence, same)[0]).items():
        left = ", ".join(f"{_trained(same)} under {same[0].question.ball}" for same in alike)
        parts.append(f"{verdict} {worst} leaves {left}.")
        worst = "That worst case"
        parts += [_best(evidence, same) for same in alike if any(comparison.gains for comparison in same)]
    parts.append(_counted(evidence))
    return " ".join([*parts, *_not_compared(evidence)])


def _best(evidence: Evidence, same: Sequence[Comparison]) -> str:
    """The gain that stands best of those in one ball."""
    best = max(same, key=evidence.standing)
    effect = f"{_effect(best, len(same))}{CAUTIONS[evidence.caution(best)]}"
    return f"Under {best.question.ball}, lambda {lambda_text(best.a.lam)} {effect}."


def _counted(evidence: Evidence) -> str:
    """How many tests in balls found a gain, and how many a loss."""
    gains = [comparison for comparison in evidence.worst if comparison.gains]
    losses = [comparison for comparison in evidence.worst if comparison.loses]
    weak = Counter(filter(None, map(evidence.caution, gains)))
    why = ", ".join(f"{count} {caution}" for caution, count in weak.items())
    sentence = f"{len(gains)} found a gain{f' ({why})' if why else ''} and {len(losses)} a loss"
    if losses:
        most = min(losses, key=lambda comparison: comparison.gain)
        where = f"at {lambda_text(most.a.lam)} under {most.question.ball}{CAUTIONS[evidence.caution(most)]}"
        sentence += f", the largest of {points(-most.gain)} {where}"
    return f"Of {counted(len(evidence.worst), 'test')} of another lambda in a ball, {sentence}."


def _not_compared(evidence: Evidence) -> Iterator[str]:
    """Lambdas that met other attacks than the training lambda, so that nothing is said of them."""
    compared = grouped(evidence.worst, attrgetter("question.norm", "question.eps"))
    rows = [row for row in evidence.rows if row.eps and row.lam and not row.lam.upper_bound]
    balls = grouped(sorted(rows, key=lambda row: eps_order(row.eps)), attrgetter("norm", "eps"))
    for ball, here in balls.items():
        same = compared.get(ball, [])
        # Where nothing is compared, transfer and noise alone are no attack on a lambda.
        met = {row.lam for row in here if same or row.kind == "attack"}
        left = met - {evidence.trained, *(comparison.a.lam for comparison in same)}
        if left and evidence.trained in met:
            yield (
                f"Under {' '.join(map(str, ball))}, other attacks were run at {listed(left)} than at the training "
                "lambda: not compared."
            )


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
        condition = ", ".join([name, *([] if source == "generated" else [source]), counted(n, "image")])
        yield (
            f"The number chosen on the test labels for each noise and strength ({condition}) gains {points(gain)}; it "
            "bounds any single number, and nobody can deploy it."
        )


def answer(evidence: Evidence, compared: Sequence[Comparison]) -> tuple[str, str]:
    """Yes, no or cannot tell, over every other lambda that was tried: in a sentence, and before the names of models."""
    best = max(compared, key=evidence.standing)
    if best.gains:
        if evidence.doubts(best):
            doubt = "looks like a gain is not to be trusted"
            return f"What {doubt}.", f"what {doubt} for"
        if evidence.unchecked(best):
            sentence = "What looks like a gain may come from weak attacks, which nothing checked."
            return sentence, f"{UNCHECKED}, another lambda seems to help"
        return "Another lambda helps.", "another lambda helps"
    if any(evidence.doubts(comparison) for comparison in compared):
        why = "the accuracy at the training lambda is"
        sentence = f"Cannot tell whether another lambda helps: {why} not to be trusted."
        return sentence, f"{why} too doubtful to tell for"
    if all(comparison.high <= NEGLIGIBLE for comparison in compared):
        sentence, no = f"No other lambda helps (by more than {points(NEGLIGIBLE)})", "no other lambda helps"
        if any(map(evidence.unchecked, compared)):
            return f"{sentence}, {UNCHECKED}.", f"{UNCHECKED}, {no}"
        return f"{sentence}.", no
    sentence = f"Cannot tell whether another lambda helps: too few images{_needed(compared)}."
    return sentence, "the images are too few to tell for"


def _needed(compared: Iterable[Comparison]) -> str:
    """How many images a no takes at least, where more would do."""
    undecided = [comparison for comparison in compared if comparison.high > NEGLIGIBLE]
    needed, n = max(
        ((images_needed(comparison.square, NEGLIGIBLE), comparison.n) for comparison in undecided),
        key=itemgetter(0),
    )
    return f" ({n:,}, and a no takes about {needed:,} or more)" if needed > n else ""


def interval_text(comparison: Comparison, among: int) -> str:
    """The interval of a gain that was picked by its result among so many."""
    low, high = comparison.picked(among)
    wide = f"95 % interval, widened for the choice among {among}," if among > 1 else "95 % interval"
    return f"{wide} {span(low, high)}"


def _effect(comparison: Comparison, among: int = 1) -> str:
    """What a lambda does, as a claim that its test allows; picked by its result among so many."""
    tested = (
        f"{interval_text(comparison, among)}, corrected p {probability(comparison.p_corrected)}, "
        f"{counted(comparison.n, 'image')}"
    )
    outcome = reading(comparison, among)
    if outcome == "gain":
        return f"gains {points(comparison.gain)} ({tested})"
    if outcome == "loss":
        return f"costs {points(-comparison.gain)} ({tested})"
    if outcome == "no change":
        return f"changes nothing beyond {points(NEGLIGIBLE)} ({tested})"
    moved = f"moves accuracy by {100 * comparison.gain:+.1f} points, which cannot be told from chance"
    if outcome == "no gain":  # as a no asks of each lambda, of which it picks none
        own = " by its own interval" if comparison.picked(among)[1] > NEGLIGIBLE else ""
        return f"{moved}, and{own} gains no more than {points(NEGLIGIBLE)} ({tested})"
    if comparison.only_a == comparison.only_b == 0:
        return f"changes no answer, on too few images to tell more ({tested})"
    return f"{moved}: too few images ({tested})"
