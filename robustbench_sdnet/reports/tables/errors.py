"""Corruption errors: plain means, and relative to a baseline, of the store or published."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..document import Item, Table
from ..numbers import Estimate, Missing, error
from ..results import SEVERITIES, Subject, distinct, lambda_text
from .corruptions import MAIN, Grid, levels_run, levels_text, named, over_corruptions, over_severities

Met = tuple[int, str] | None


@dataclass(frozen=True)
class Baseline:
    """Whose errors to divide by: on clean images (None where not known of the same), and of each corruption, as the
    mean over the five severities with the images that it is of (None for published ones)."""

    label: str
    clean: float | None
    errors: Mapping[str, tuple[float, Met]]


# AlexNet on the published ImageNet-C (Hendrycks & Dietterich 2019). Its clean error is that of the weights that their
# evaluation loads (alexnet-owt-4df8aa71), of which torchvision's documentation says 56.522 % right.
_ALEXNET = (
    0.886428, 0.894468, 0.922640, 0.819880, 0.826268, 0.785948, 0.798360, 0.866816, 0.826572, 0.819324, 0.564592,
    0.853204, 0.646056, 0.717840, 0.606500,
)  # fmt: skip
ALEXNET = Baseline(
    "AlexNet", 0.435, {name: (share, None) for name, share in zip(MAIN, _ALEXNET, strict=True)}
)


def error_table(
    grids: Mapping[Subject, Grid],
    clean: Mapping[Subject, Estimate | None],
    baseline: Subject | None,
    published: Baseline | None = None,
) -> Table:
    """Clean error and mean corruption error; relative to a baseline where one is named.

    mCE is the mean over corruptions of sum_s E / sum_s E_baseline; relative mCE takes E - E_clean on both
    sides (Hendrycks & Dietterich 2019, arXiv:1903.12261). They are taken over the 15 main corruptions where a
    subject has them all, else over the main ones that any subject has, else over all that were run; mCE over all five
    severities alone.
    `published` errors, known from elsewhere, take the baseline's place; over all 15 alone.
    """
    run = distinct(name for found in grids.values() for name in found)
    complete = published is not None or any(set(found) >= set(MAIN) for found in grids.values())
    names = MAIN if complete else tuple(name for name in MAIN if name in run) or run
    levels = levels_run(grids.values())
    rows: list[tuple[Item, ...]] = []
    notes = [] if levels == SEVERITIES else [f"error: mean over {levels_text(levels)}."]
    if baseline is not None:
        published = _baseline_of(baseline, grids.get(baseline, {}), clean.get(baseline))
    for subject, found in grids.items():
        corrupted = error(over_corruptions(found, names, levels=levels))
        own_clean = clean.get(subject)
        if isinstance(corrupted, Missing):
            notes.append(f"{subject.label}: {corrupted.reason}.")
        row: list[Item] = [subject.model, lambda_text(subject.lam)]
        row += [error(own_clean) if own_clean else Missing("not run"), corrupted]
        if published is not None:
            row += _relative(found, own_clean, published, names)
        rows.append(tuple(row))
    columns: tuple[str, ...] = ("model", "lambda", "clean error", f"error, {named(names)}")
    if published is not None:
        columns += ("mCE", "relative mCE")
        notes.append(
            f"mCE and relative mCE: per cent of {published.label}; ratios of estimates, so without interval."
            " They divide corruption by corruption; the error beside them is the plain mean, RobustBench's way."
            " The relative one takes clean accuracy on the same images."
        )
    return Table(columns, tuple(rows), left=(0,), notes=tuple(notes))


def _baseline_of(subject: Subject, found: Grid, clean: Estimate | None) -> Baseline:
    values = {name: error(over_severities(accuracies)) for name, accuracies in found.items()}
    errors = {name: (v.accuracy, v.met) for name, v in values.items() if isinstance(v, Estimate)}
    alike = clean and all(met == clean.met for _, met in errors.values())
    return Baseline(subject.label, 1 - clean.accuracy if clean and alike else None, errors)


def _relative(found: Grid, clean: Estimate | None, base: Baseline, names: Sequence[str]) -> list[str]:
    ratios, relative = [], []
    for name in names:
        own = error(over_severities(found.get(name, {})))
        other, met = base.errors.get(name, (math.nan, (0, "")))
        if isinstance(own, Missing) or met not in (None, own.met):
            return ["-", "-"]
        ratios.append(own.accuracy / other if other else None)
        if clean and clean.met == own.met and base.clean is not None:
            lost = other - base.clean
            relative.append((own.accuracy - (1 - clean.accuracy)) / lost if lost > 0 else None)
    return [_percent_mean(ratios, len(names)), _percent_mean(relative, len(names))]


def _percent_mean(ratios: Sequence[float | None], wanted: int) -> str:
    found = [ratio for ratio in ratios if ratio is not None]
    return f"{100 * sum(found) / wanted:.1f}" if wanted and len(found) == wanted else "-"
