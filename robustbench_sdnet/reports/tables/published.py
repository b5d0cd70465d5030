"""The published noise experiment beside ours: what is claimed and holds, and every accuracy with the paper's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ...answers.gathered import Subject
from ...answers.published import NOISES, SOURCE, VERDICT_CONFIDENCE, Beside, Claim, Published
from ...answers.rows import grouped, lambda_text
from ..document import Block, Item, Section, Table
from ..numbers import ABSENT, Estimate, Missing, percent, points, span
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


def published_section(found: Published) -> Iterator[Section]:
    """The section, where the store holds the experiment."""
    if found.numbers:
        places = grouped(found.numbers, lambda one: place(one.data, one.origin))
        tables = [_published_table(places[where], where) for where in sorted(places)]
        rules = RULE, SAMPLES, *([OVER] if found.over_networks else []), LINES
        blocks: tuple[Block, ...] = (*_verdict_table(found), *rules, *tables, *_single_table(found))
        yield Section("The published noise experiment", blocks)


def claim_sentences(found: Published) -> tuple[str, ...]:
    """A sentence for each claim, noise by noise."""
    return tuple(f"{claim}: {'; '.join(map(_claim, same))}." for claim, same in _decided(found))


def _decided(found: Published) -> Iterator[tuple[str, list[Claim]]]:
    """What each claim is of, with its noises; over all networks of an architecture where there are several."""
    alone = (one for one in found.claims if not one.summed)
    for where, same in _by_pair((*found.over_networks, *alone)):
        yield f"{same[0].found.name}{where}", same


def _by_pair(claims: Iterable[Claim]) -> Iterator[tuple[str, list[Claim]]]:
    """The claims of each pair, place by place, and where that is, in words, if there are several places."""

    def of(one: Claim) -> tuple[str, Subject, Subject]:
        return place(one.found.question.data, one.found.question.origin), one.found.a, one.found.b

    pairs = grouped(claims, of)
    several = len({where for where, _, _ in pairs}) > 1
    for (where, _, _), same in sorted(pairs.items(), key=lambda one: one[0][0]):
        yield f" on {where}" if several else "", same


def _claim(one: Claim) -> str:
    return (
        f"{_called(one.noise)} {one.verdict} ({points(one.found.gain, signed=True)}, {CLAIMED} {_interval(one)}; "
        f"published {points(one.published, signed=True)})"
    )


def _called(noise: str) -> str:
    return noise.replace("_", " ")


def _interval(one: Claim) -> str:
    return span(one.found.low, one.found.high)


def _verdict_table(found: Published) -> Iterator[Table]:
    """One row a claim and noise: the gain, ours and published, and what that comes to."""
    rows = tuple(
        (
            claim,
            _called(one.noise),
            _signed(one.found.gain),
            _interval(one),
            _signed(one.published),
            one.verdict,
        )
        for claim, same in _decided(found)
        for one in same
    )
    if rows:
        columns = ("claim", "noise", "gain", CLAIMED, "published", "verdict")
        notes = ("Gains in points of accuracy, mean over severities 1 to 5.",)
        yield Table(columns, rows, title="The claimed gains", left=(0, 1, 5), notes=notes, filters=(0, 1, 5))


def _single_table(found: Published) -> Iterator[Table]:
    """The claims that were summed over networks, pair by pair."""
    rows: list[tuple[Item, ...]] = []
    for where, same in _by_pair(one for one in found.claims if one.summed):
        pair, by_noise = same[0].found, {one.noise: one for one in same}
        cells = (_gain(by_noise[noise]) if noise in by_noise else ABSENT for noise in NOISES)
        rows.append((pair.a.name, f"{pair.b.name}{where}", *cells))
    if rows:
        columns = ("of", "over", *map(_called, NOISES))
        notes = (f"Points of accuracy, with the {CLAIMED} over images.",)
        yield Table(columns, tuple(rows), title="The gains, network by network", left=(0, 1), notes=notes)


def _gain(one: Claim) -> str:
    return f"{_signed(one.found.gain)} ({_interval(one)})"


def _signed(share: float) -> str:
    return f"{100 * share:+.1f}"


def _published_table(numbers: Sequence[Beside], where: str) -> Table:
    rows: list[tuple[Item, ...]] = []
    for subject, own in grouped(numbers, lambda one: one.subject).items():
        by_noise = {one.noise: one for one in own}
        cells: list[Item] = []
        for noise in NOISES:
            one = by_noise.get(noise)
            cells += _pair(one) if one else [ABSENT, ABSENT]
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


def _pair(one: Beside) -> list[Item]:
    ours = Estimate(one.accuracy, one.low, one.high, one.n)
    return [ours, Missing("not in the paper") if one.published is None else percent(one.published)]
