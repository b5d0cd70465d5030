"""Corruption errors: plain means, and relative to a baseline, of the store or published."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from ...answers.rows import lambda_text
from ...specs import SEVERITIES
from ..document import Item, Table
from ..numbers import ABSENT, Estimate, ImageSet, Missing, error, reasons, unexplained
from ..results import Subject, distinct
from .corruptions import MAIN, Grid, kinds_text, levels_run, levels_text, over_corruptions, over_severities


@dataclass(frozen=True)
class Baseline:
    """Whose errors to divide by: on clean images (None where not known of the same), and of each corruption, as the
    mean over the five severities with the images that it is of (None for published ones)."""

    label: str
    clean: float | None
    errors: Mapping[str, tuple[float, ImageSet | None]]


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
    run = distinct(name for grid in grids.values() for name in grid)
    names = MAIN if published is not None else tuple(name for name in MAIN if name in run) or run
    levels = levels_run(grids.values())
    rows: dict[Subject, tuple[Item, ...]] = {}
    notes = [] if names in (MAIN, run) else [f"error: of {', '.join(names)}."]
    notes += [] if levels == SEVERITIES or len(levels) == 1 else [f"error: mean over {levels_text(levels)}."]
    if baseline is not None:
        baseline_grid = {name: row for name, row in grids.get(baseline, {}).items() if name in names}
        published = _baseline_of(baseline, baseline_grid, clean.get(baseline))
    for subject, grid in grids.items():
        corrupted = error(over_corruptions(grid, names, levels))
        clean_accuracy = clean.get(subject)
        ratios = () if published is None else _relative(grid, clean_accuracy, published, names)
        clean_error = error(clean_accuracy) if clean_accuracy else ABSENT
        rows[subject] = (subject.model, lambda_text(subject.lam), clean_error, corrupted, *ratios)
    notes += reasons((subject.label, unexplained(row[3], row[4:])) for subject, row in rows.items())
    columns: tuple[str, ...] = (
        "model",
        "lambda",
        "clean error",
        f"error, {kinds_text(names, levels=levels)}",
    )
    if published is not None:
        columns += ("mCE", "relative mCE")
        notes.append(
            f"mCE and relative mCE: per cent of {published.label}; ratios of estimates, so without interval."
            " They divide corruption by corruption; the error next to them is the plain mean, as in RobustBench."
            " The relative mCE uses clean accuracy on the same images."
        )
    return Table(columns, tuple(rows.values()), left=(0,), notes=tuple(notes))


def _baseline_of(subject: Subject, grid: Grid, clean: Estimate | None) -> Baseline:
    """A subject of the store as baseline: of each corruption its mean error over the five severities, where all ran."""
    errors: dict[str, tuple[float, ImageSet | None]] = {}
    for name, accuracies in grid.items():
        value = error(over_severities(accuracies))
        if isinstance(value, Estimate):
            errors[name] = value.accuracy, value.image_set
    if clean and all(image_set == clean.image_set for _, image_set in errors.values()):
        return Baseline(subject.label, 1 - clean.accuracy, errors)
    return Baseline(subject.label, None, errors)


def _relative(
    grid: Grid, clean: Estimate | None, baseline: Baseline, names: Sequence[str]
) -> tuple[Item, Item]:
    """mCE and relative mCE in per cent, or why there is none."""
    errors: dict[
        str, tuple[Estimate, float]
    ] = {}  # of each corruption the subject's error and the baseline's
    for name in names:
        subject_error = error(over_severities(grid.get(name, {})))
        baseline_error, image_set = baseline.errors.get(name, (0.0, None))
        if isinstance(subject_error, Missing):
            reason = f"{name} {subject_error.reason}"
        elif name not in baseline.errors:
            reason = f"{baseline.label} was not run under {name} at all five severities"
        elif image_set not in (None, subject_error.image_set):
            reason = f"{baseline.label} was run under {name} on other images"
        elif not baseline_error:
            reason = f"{baseline.label} makes no error under {name}"
        else:
            errors[name] = subject_error, baseline_error
            continue
        return Missing(f"no mCE, {reason}"), Missing(f"no mCE, {reason}")
    ratio = fmean(of_subject.accuracy / of_baseline for of_subject, of_baseline in errors.values())
    return f"{100 * ratio:.1f}", _relative_to_clean(errors, clean, baseline)


def _relative_to_clean(
    errors: Mapping[str, tuple[Estimate, float]], clean: Estimate | None, baseline: Baseline
) -> Item:
    """Relative mCE in per cent, which takes the error on clean images off both sides, or why there is none."""
    if clean is None or any(of_subject.image_set != clean.image_set for of_subject, _ in errors.values()):
        return Missing("no relative mCE, clean accuracy of the same images is not known")
    if baseline.clean is None:
        return Missing(f"no relative mCE, clean accuracy of {baseline.label} on the same images is not known")
    # Rounded as means are: what loses nothing may differ from clean images in the last digits of a float.
    losses = {name: round(of_baseline - baseline.clean, 9) for name, (_, of_baseline) in errors.items()}
    steady = [name for name, loss in losses.items() if loss <= 0]
    if steady:
        return Missing(f"no relative mCE, {baseline.label} loses nothing under {', '.join(steady)}")
    ratios = []
    for name, (of_subject, _) in errors.items():
        ratios.append((of_subject.accuracy - (1 - clean.accuracy)) / losses[name])
    return f"{100 * fmean(ratios):.1f}"
