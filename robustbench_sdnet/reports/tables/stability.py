"""How steady predictions are along sequences: flip probability, top-5 distance, and both relative to a baseline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...answers.per_image import Stability
from ...answers.rows import lambda_text
from ...corruptions.sequences.members import MAIN, SEQUENCES
from ..document import Item, Table
from ..numbers import ABSENT, Estimate, Missing, Value, mean, reasons, unexplained
from ..results import Result, Results, Subject, distinct
from .corruptions import COLUMNS_AT_ONCE

Steady = Mapping[str, Result]  # a sequence's name -> its result
NOTES = (
    "flips: flip probability, the share of compared frames whose predictions differ; noise is compared with the "
    "clean image, anything else with the frame before, or one further back at a greater difficulty.",
    "top-5 distance: how far the five likeliest classes move in the order, 0 to 15.",
)


def difficulties(results: Results, data: str) -> tuple[int, ...]:
    """Those that were run."""
    return tuple(sorted({_difficulty(result) for result in results.of("sequence", data=data)}))


def steady(results: Results, data: str, difficulty: int) -> dict[Subject, dict[str, Result]]:
    """The results of every subject at a difficulty, in the published order; of several seeds the first stands under the
    sequence's name alone, of whatever subject."""
    order = list(SEQUENCES)
    asked = (r for r in results.of("sequence", data=data) if _difficulty(r) == difficulty)
    every = sorted(asked, key=lambda r: (order.index(r.perturbation.name), r.perturbation.seed))
    usual = {r.perturbation.name: r.name for r in reversed(every)}
    found: dict[Subject, dict[str, Result]] = {}
    for result in every:
        name = result.perturbation.name
        found.setdefault(result.subject, {})[name if usual[name] == result.name else result.name] = result
    return found


def flips(result: Result) -> Estimate:
    """The flip probability of a result."""
    value = _stability(result).flip_probability
    return Estimate(value.value, value.low, value.high, result.n, images=result.images)


def summary_table(found: Mapping[Subject, Steady], baseline: Subject | None) -> Table:
    """Means over the ten published sequences, or over those of them that any subject was asked; where a baseline is
    named also mFR and mT5D, the means of the ratios to its own."""
    run = distinct(name for own in found.values() for name in own)
    names = tuple(name for name in MAIN if name in run) or run
    columns: tuple[str, ...] = ("model", "lambda", f"flips, mean of {len(names)}", "top-5 distance")
    base = found.get(baseline) if baseline else None
    columns += ("mFR", "mT5D") if base else ()
    notes = list(NOTES)
    if base and baseline:
        notes.append(f"mFR, mT5D: per cent of {baseline.label}, sequence by sequence; without interval.")
    rows: dict[Subject, tuple[Item, ...]] = {}
    for subject, own in found.items():
        value = mean({name: flips(own[name]) if name in own else None for name in names})
        ratios = [_relative(own, base, names, baseline.label, what) for what in _NEVER if base and baseline]
        who = subject.model, lambda_text(subject.lam)
        rows[subject] = (*who, value, _mean_distance(own, names, value), *ratios)
    notes += reasons((subject.label, unexplained(row[2], row[4:])) for subject, row in rows.items())
    return Table(columns, tuple(rows.values()), left=(0,), notes=tuple(notes))


def _mean_distance(own: Steady, names: Sequence[str], value: Value) -> str:
    if isinstance(value, Missing):
        return "-"
    return f"{sum(_stability(own[name]).top5_distance.value for name in names) / len(names):.3f}"


_NEVER = {"flip_probability": "no mFR, {} never flips", "top5_distance": "no mT5D, {} keeps its first five"}


def _relative(own: Steady, base: Steady, names: Sequence[str], label: str, what: str) -> Item:
    """The mean of ratios in per cent, or why there is none."""
    ratios = []
    for name in names:
        if name not in own:
            return ABSENT
        if name not in base:
            return Missing(f"no mFR and mT5D, {label} was not run under {name}")
        if own[name].estimate.image_set != base[name].estimate.image_set:
            return Missing(f"no mFR and mT5D, {label} was run under {name} on other images")
        other = getattr(_stability(base[name]), what).value
        if not other:
            return Missing(f"{_NEVER[what].format(label)} under {name}")
        ratios.append(getattr(_stability(own[name]), what).value / other)
    return f"{100 * sum(ratios) / len(ratios):.1f}"


def flip_tables(found: Mapping[Subject, Steady]) -> list[Table]:
    """Flip probability and top-5 distance, a row a sequence and two columns a subject, a few subjects at a time."""
    names = distinct(name for own in found.values() for name in own)
    subjects = list(found)
    tables = []
    for start in range(0, len(subjects), COLUMNS_AT_ONCE // 2):
        chunk = subjects[start : start + COLUMNS_AT_ONCE // 2]
        heads = (head for subject in chunk for head in (f"{subject.label}: flips", "top-5 distance"))
        rows = [(name, *(item for s in chunk for item in _pair(found[s].get(name)))) for name in names]
        tables.append(Table(("sequence", *heads), tuple(rows), stacked=len(chunk) > 1))
    return tables


def _pair(result: Result | None) -> tuple[Item, Item]:
    if result is None:
        return ABSENT, "-"
    return flips(result), f"{_stability(result).top5_distance.value:.3f}"


def _difficulty(result: Result) -> int:
    return getattr(result.perturbation, "difficulty", 1)


def _stability(result: Result) -> Stability:
    found = result.stability
    assert found is not None  # narrows the type: every result of a sequence has it
    return found
