"""The published noise experiment beside ours: a number a model, lambda and noise, and each claimed gain in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...answers.published import NOISES, SOURCE, Beside, Claim, Published
from ..conclusion import percent, points
from ..document import Item, Section, Table
from ..numbers import Estimate, Missing
from ..results import distinct, lambda_text
from .comparisons import probability

RULE = (
    "Reproduced: a significant gain (paired on the same images, Holm over the four noises) whose 95 % interval lies "
    "above 0 and reaches half of the published gain. Not reproduced: the interval ends below that half. Else: cannot "
    "tell."
)

SAMPLES = (
    "Tests and intervals are over images. A sparse stem stands beside every plain network of its depth in the store: "
    "what another seed would give is not in the interval, and that both were trained alike is not checked."
)
LINES = (
    "Lambda per sample is read from one line for all four noises and clean images, drawn on as many images as the "
    "calibration takes: a deployed model does not know its noise. The released code draws a line for each noise, on "
    "all test images."
)


def published_section(found: Published) -> Iterator[Section]:
    """The section, where the store holds the experiment."""
    if found.numbers:
        tables = [_table(found.numbers, data) for data in distinct(one.data for one in found.numbers)]
        yield Section(
            "The published noise experiment", (*sentences(found.claims), RULE, SAMPLES, LINES, *tables)
        )


def sentences(claims: Sequence[Claim]) -> tuple[str, ...]:
    """A sentence for each claim, noise by noise."""
    pairs = distinct((one.found.asked.data, one.found.a, one.found.b) for one in claims)
    return tuple(
        f"{a.name} over {b.name}: "
        + "; ".join(
            _words(one) for one in claims if (one.found.asked.data, one.found.a, one.found.b) == (data, a, b)
        )
        + "."
        for data, a, b in pairs
    )


def _words(one: Claim) -> str:
    found = one.found
    interval = f"95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}"
    return (
        f"{one.noise.replace('_', ' ')} {one.verdict} ({points(found.gain, signed=True)}, {interval}, "
        f"corrected p {probability(found.p_corrected)}; published {points(one.published, signed=True)})"
    )


def _table(numbers: Sequence[Beside], data: str) -> Table:
    here = [one for one in numbers if one.data == data]
    rows: list[tuple[Item, ...]] = []
    for subject in distinct(one.subject for one in here):
        by_noise = {one.noise: one for one in here if one.subject == subject}
        cells: list[Item] = []
        for noise in NOISES:
            one = by_noise.get(noise)
            cells += _pair(one) if one else [Missing("not run"), Missing("not run")]
        rows.append((subject.model.name, lambda_text(subject.lam), *cells))
    names = [part for noise in NOISES for part in (noise.replace("_", " "), "published")]
    return Table(
        ("model", "lambda", *names),
        tuple(rows),
        title=f"Mean accuracy over severities 1 to 5 on {data}, ours and published",
        left=(0, 1),
        notes=(f"published: {SOURCE}; other weights, so for information.",),
        stacked=True,
    )


def _pair(one: Beside) -> list[Item]:
    ours = Estimate(one.accuracy, one.low, one.high, one.n)
    return [ours, Missing("not in the paper") if one.published is None else percent(one.published)]
