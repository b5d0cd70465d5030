"""The published noise experiment beside ours: what is claimed and holds, and every accuracy with the paper's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ...answers.gathered import Subject
from ...answers.published import NOISES, SOURCE, VERDICT_CONFIDENCE, Claim, MeanAccuracy, Published
from ...answers.rows import grouped, lambda_text
from ...wording import percent
from ..document import Item, Section, Table, filled
from ..numbers import ABSENT, Estimate, Missing, points, span
from .corruptions import place

CLAIMED = f"{100 * VERDICT_CONFIDENCE:g} % interval"
RULE = (
    f"Each verdict is read off the {CLAIMED} beside it, paired on the same images. Reproduced: the interval lies at or "
    "above half of the published gain. Not reproduced: it ends below that half. Some gain: above 0, but it holds that "
    "half. Otherwise: cannot tell. Only one end of an interval can make its verdict false, so that all of a line's "
    "four verdicts are true in about 95 % of cases. Whoever picks one of several lines or networks by its verdict must "
    "allow for that."
)
SAMPLES = (
    "Intervals of two networks are over images. A network with a sparse stem is compared with every plain network of "
    "its depth and width in the store: what another seed would give is not in the interval, and the store does not "
    "record whether both were trained alike."
)
OVER = (
    "Over several networks of an architecture, networks are a sample just as images are: intervals are over "
    "both, and cover what another seed would give if seeds alone set those networks apart, which the store does not "
    "record."
)
LINES = (
    "Lambda per sample is read from one line for all four noises and clean images, since a deployed model does not "
    "know its noise; the line is drawn on as many images as the calibration takes. line-per-noise, which must be told "
    "the noise, is what the released code is meant to do (its list of residuals is never cleared, and mixes levels): a "
    "line for each noise through the mean residual and the most accurate lambda of each level, on all test images "
    "that were evaluated. It is read from the stored answers, at the nearest of the fourteen lambdas."
)


def published_section(experiment: Published) -> Iterator[Section]:
    """The section, where the store holds the experiment."""
    if experiment.numbers:
        places = grouped(experiment.numbers, lambda number: place(number.data, number.origin))
        tables = [_published_table(places[where], where) for where in sorted(places)]
        rules = RULE, SAMPLES, *([OVER] if experiment.over_networks else []), LINES
        claims, singles = _verdict_table(experiment), _single_table(experiment)
        yield from filled("The published noise experiment", (claims, *rules, *tables, singles))


def claim_sentences(experiment: Published) -> tuple[str, ...]:
    """A sentence for each claim, noise by noise."""
    return tuple(f"{name}: {'; '.join(map(_claim_text, claims))}." for name, claims in _by_name(experiment))


def _by_name(experiment: Published) -> Iterator[tuple[str, list[Claim]]]:
    """The claims to decide by what gains over what, a claim a noise; over all networks of an architecture where there
    are several."""
    alone = (claim for claim in experiment.claims if not claim.summed)
    for where, claims in _by_pair((*experiment.over_networks, *alone)):
        yield f"{claims[0].ours.name}{where}", claims


def _by_pair(claims: Iterable[Claim]) -> Iterator[tuple[str, list[Claim]]]:
    """The claims of each pair, place by place, and where that is, in words, if there are several places."""

    def pair_of(claim: Claim) -> tuple[str, Subject, Subject]:
        question = claim.ours.question
        return place(question.data, question.origin), claim.ours.a, claim.ours.b

    pairs = grouped(claims, pair_of)
    several = len({where for where, _, _ in pairs}) > 1
    for (where, _, _), same in sorted(pairs.items(), key=lambda item: item[0][0]):
        yield f" on {where}" if several else "", same


def _claim_text(claim: Claim) -> str:
    return (
        f"{_called(claim.noise)} {claim.verdict} ({points(claim.ours.gain, signed=True)}, {CLAIMED} "
        f"{_interval(claim)}; published {points(claim.published, signed=True)})"
    )


def _called(noise: str) -> str:
    return noise.replace("_", " ")


def _interval(claim: Claim) -> str:
    return span(claim.ours.low, claim.ours.high)


def _verdict_table(experiment: Published) -> Table:
    """One row a claim and noise: the gain, ours and published, and what that comes to."""
    rows: list[tuple[Item, ...]] = []
    for name, claims in _by_name(experiment):
        for claim in claims:
            gains = _signed(claim.ours.gain), _interval(claim), _signed(claim.published)
            rows.append((name, _called(claim.noise), *gains, claim.verdict))
    columns = ("claim", "noise", "gain", CLAIMED, "published", "verdict")
    notes = ("Gains in points of accuracy, mean over severities 1 to 5.",)
    title = "The claimed gains"
    return Table(columns, tuple(rows), title=title, left=(0, 1, 5), notes=notes, filters=(0, 1, 5))


def _single_table(experiment: Published) -> Table:
    """The claims that were summed over networks, pair by pair."""
    rows: list[tuple[Item, ...]] = []
    for where, claims in _by_pair(claim for claim in experiment.claims if claim.summed):
        pair, by_noise = claims[0].ours, {claim.noise: claim for claim in claims}
        cells = (_gain(by_noise[noise]) if noise in by_noise else ABSENT for noise in NOISES)
        rows.append((pair.a.name, f"{pair.b.name}{where}", *cells))
    columns = ("of", "over", *map(_called, NOISES))
    notes = (f"Points of accuracy, with the {CLAIMED} over images.",)
    return Table(columns, tuple(rows), title="The gains, network by network", left=(0, 1), notes=notes)


def _gain(claim: Claim) -> str:
    return f"{_signed(claim.ours.gain)} ({_interval(claim)})"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}"


def _published_table(numbers: Sequence[MeanAccuracy], where: str) -> Table:
    """One row a model and lambda: under each noise our accuracy, and the paper's."""
    rows: list[tuple[Item, ...]] = []
    for subject, of_subject in grouped(numbers, lambda number: number.subject).items():
        by_noise = {number.noise: number for number in of_subject}
        cells: list[Item] = []
        for noise in NOISES:
            cells += _ours_and_papers(by_noise[noise]) if noise in by_noise else [ABSENT, ABSENT]
        rows.append((subject.model.name, lambda_text(subject.lam), *cells))
    names = [part for noise in NOISES for part in (_called(noise), "published")]
    return Table(
        ("model", "lambda", *names),
        tuple(rows),
        title=f"Mean accuracy over severities 1 to 5 on {where}, ours and published",
        left=(0, 1),
        notes=(f"published: {SOURCE}; for information only, since the weights differ.",),
        stacked=True,
    )


def _ours_and_papers(number: MeanAccuracy) -> list[Item]:
    ours = Estimate(number.accuracy, number.low, number.high, number.n)
    return [ours, Missing("not in the paper") if number.published is None else percent(number.published)]
