"""The published noise experiment beside ours: a number a model, lambda and noise, and each claimed gain in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...answers.published import NOISES, SOURCE, Beside, Claim, Published
from ..conclusion import percent, points
from ..document import Item, Section, Table
from ..numbers import Estimate, Missing
from ..results import grouped, lambda_text
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
        by_data = grouped(found.numbers, lambda one: one.data)
        tables = [_table(numbers, data) for data, numbers in by_data.items()]
        blocks = (*sentences(found.claims), RULE, SAMPLES, LINES, *tables)
        yield Section("The published noise experiment", blocks)


def sentences(claims: Sequence[Claim]) -> tuple[str, ...]:
    """A sentence for each claim, noise by noise."""
    pairs = grouped(claims, lambda one: (one.found.asked.data, one.found.a, one.found.b))
    return tuple(
        f"{a.name} over {b.name}: {'; '.join(map(_words, same))}." for (_, a, b), same in pairs.items()
    )


def _words(one: Claim) -> str:
    found = one.found
    interval = f"95 % interval {100 * found.low:+.1f} to {100 * found.high:+.1f}"
    return (
        f"{one.noise.replace('_', ' ')} {one.verdict} ({points(found.gain, signed=True)}, {interval}, "
        f"corrected p {probability(found.p_corrected)}; published {points(one.published, signed=True)})"
    )


def _table(numbers: Sequence[Beside], data: str) -> Table:
    rows: list[tuple[Item, ...]] = []
    for subject, own in grouped(numbers, lambda one: one.subject).items():
        by_noise = {one.noise: one for one in own}
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
