"""Paired tests: how many of each family found a difference, those that did, and the published noise experiment."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ...answers.comparisons import Comparison
from ...answers.gathered import Subject
from ...answers.published import NOISES, SOURCE, VERDICT_CONFIDENCE, Beside, Claim, Published
from ...answers.rows import grouped, lambda_text
from ...wording import counted, share_text
from ..document import Item, Section, Table
from ..numbers import ABSENT, Estimate, Missing, percent, points, probability, span

TESTS = (
    "Two sides are compared on the same images: by an exact two-sided McNemar test where both answer one perturbation, "
    "and for a mean over several perturbations or over draws by an exact sign test over images (an image counts for "
    "the side that classifies it correctly more often) and by the test of the mean, of which the larger p counts. P "
    "values are corrected by Holm's method within each family, which is a row of the first table. A difference is "
    "called significant if the corrected p is below 0.05 and its 95 % interval does not contain 0; only then is one "
    "side called better."
)
UNEVEN = (
    "Worst cases of a model with lambda also count transfer from its other lambdas, where that was run: no other model "
    "faced it, nor did those of its lambdas that nothing was transferred to."
)
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


def family_table(rows: Sequence[Comparison]) -> Table:
    """One row a family: tests, those that found a difference, and those that did not."""
    found: list[tuple[Item, ...]] = []
    for family, same in grouped(rows, lambda row: row.family).items():
        significant = sum(row.better is not None for row in same)
        found.append((family, len(same), significant, len(same) - significant))
    return Table(("family", "tests", "significant", "not significant"), tuple(found), notes=_uneven(rows))


def significant_table(rows: Sequence[Comparison]) -> Table:
    """Every significant difference of one family."""
    found = [_line(row) for row in rows if row.better]
    left = len(rows) - len(found)
    notes = [
        "only a, only b: images that this side alone classifies correctly, or more often. Accuracies in per cent."
    ]
    if left:
        notes.append(f"{counted(left, 'other comparison')} of this family found no significant difference.")
    notes += _uneven(rows)
    if any(row.better and (row.untrusted_a or row.untrusted_b) for row in rows):
        notes.append(
            "untrusted: accuracy left by a weak attack; such a side is better only by what that attack found."
        )
    columns = ("a", "b", "perturbation", "n", "a %", "b %", "only a", "only b", "p", "corrected", "better")
    return Table(columns, tuple(found), left=(0, 1, 2, 10), notes=tuple(notes))


def _uneven(rows: Sequence[Comparison]) -> tuple[str, ...]:
    worst = (row for row in rows if row.asked.kind == "worst_case")
    return (UNEVEN,) if any(row.a.lam or row.b.lam for row in worst) else ()


def _perturbation(row: Comparison) -> str:
    """What both sides were asked, with its severity or budget."""
    asked = row.asked
    if asked.eps is not None:
        return f"{asked.perturbation}, {asked.ball}"
    return f"{asked.perturbation} {asked.severity}" if asked.severity else asked.perturbation


def _line(row: Comparison) -> tuple[Item, ...]:
    asked = row.a.name, row.b.name, _perturbation(row), row.n
    shares = _share(row.accuracy_a, row.untrusted_a), _share(row.accuracy_b, row.untrusted_b)
    tested = row.only_a, row.only_b, probability(row.p), probability(row.p_corrected)
    hollow = row.untrusted_a if row.gains else row.untrusted_b
    better = f"{row.better.name}{' (untrusted)' if hollow else ''}" if row.better else ""
    return (*asked, *shares, *tested, better)


def _share(accuracy: float, untrusted: bool) -> str:
    return f"{share_text(accuracy)}{' untrusted' if untrusted else ''}"


def published_section(found: Published) -> Iterator[Section]:
    """The section, where the store holds the experiment."""
    if found.numbers:
        places = grouped(found.numbers, lambda one: place(one.data, one.origin))
        tables = [_published_table(numbers, where) for where, numbers in places.items()]
        said = *claim_sentences(found), RULE, SAMPLES, *([OVER] if found.over_networks else []), LINES
        yield Section("The published noise experiment", (*said, *tables, *_single_table(found)))


def claim_sentences(found: Published) -> tuple[str, ...]:
    """A sentence for each claim, noise by noise; over all networks of an architecture where there are several."""
    alone = (one for one in found.claims if not one.summed)
    pairs = _by_pair((*found.over_networks, *alone))
    return tuple(f"{same[0].found.name}{where}: {'; '.join(map(_claim, same))}." for where, same in pairs)


def place(name: str, origin: str) -> str:
    """A data set or a mean, with where its corrupted images come from unless they are generated."""
    return name if origin == "generated" else f"{name} ({origin})"


def _by_pair(claims: Iterable[Claim]) -> Iterator[tuple[str, list[Claim]]]:
    """The claims of each pair in each place, and where that is, in words, if there are several places."""

    def of(one: Claim) -> tuple[str, Subject, Subject]:
        return place(one.found.asked.data, one.found.asked.origin), one.found.a, one.found.b

    pairs = grouped(claims, of)
    several = len({where for where, _, _ in pairs}) > 1
    for (where, _, _), same in pairs.items():
        yield f" on {where}" if several else "", same


def _claim(one: Claim) -> str:
    found = one.found
    interval = f"{CLAIMED} {span(found.low, found.high)}"
    return (
        f"{one.noise.replace('_', ' ')} {one.verdict} ({points(found.gain, signed=True)}, {interval}; "
        f"published {points(one.published, signed=True)})"
    )


def _single_table(found: Published) -> Iterator[Table]:
    """The claims that were summed over networks, pair by pair."""
    rows: list[tuple[Item, ...]] = []
    for where, same in _by_pair(one for one in found.claims if one.summed):
        pair, by_noise = same[0].found, {one.noise: one for one in same}
        cells = (_gain(by_noise[noise]) if noise in by_noise else ABSENT for noise in NOISES)
        rows.append((pair.a.name, f"{pair.b.name}{where}", *cells))
    if rows:
        columns = ("of", "over", *(noise.replace("_", " ") for noise in NOISES))
        notes = (f"Points of accuracy, with the {CLAIMED} over images.",)
        yield Table(columns, tuple(rows), title="The gains, network by network", left=(0, 1), notes=notes)


def _gain(one: Claim) -> str:
    found = one.found
    return f"{100 * found.gain:+.1f} ({span(found.low, found.high)})"


def _published_table(numbers: Sequence[Beside], where: str) -> Table:
    rows: list[tuple[Item, ...]] = []
    for subject, own in grouped(numbers, lambda one: one.subject).items():
        by_noise = {one.noise: one for one in own}
        cells: list[Item] = []
        for noise in NOISES:
            one = by_noise.get(noise)
            cells += _pair(one) if one else [ABSENT, ABSENT]
        rows.append((subject.model.name, lambda_text(subject.lam), *cells))
    names = [part for noise in NOISES for part in (noise.replace("_", " "), "published")]
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
