"""Tables of sequences: which results stand under one name, and are compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from robustbench_sdnet.answers.snapshot import Answered
from robustbench_sdnet.reports.numbers import Estimate
from robustbench_sdnet.reports.results import Subject
from robustbench_sdnet.reports.tables.stability import steady, summary_table
from robustbench_sdnet.specs import ModelSpec, SequenceSpec

from .made_records import RESNET, SDNET, record, results_of
from .printed import percents


def sequence(
    seed: int, flips: int, model: ModelSpec = RESNET, lam: float | None = None, first: int = 0
) -> Answered:
    """100 images, from `first` on, whose prediction flips in `flips` of 30 pairs of frames."""
    spec = SequenceSpec(name="shot_noise", frames=31, first=True, seed=seed)
    made = record(50, 100, spec=spec, model=model, lam=lam, images=range(first, first + 100))
    counts = np.full(100, flips, np.int32)
    return replace(made, outcome=replace(made.outcome, flips=counts, shifts=counts))


def test_sequences_of_another_seed_are_not_compared() -> None:
    """Where one model was asked with seed 3 alone, its noise is another one than that of seed 0."""
    base, same, other = Subject("digits", "resnet20"), sequence(0, 6, SDNET, 0.1), sequence(3, 6, SDNET, 0.1)
    found = steady(results_of([sequence(0, 3), same]), "digits", 1)
    assert [row[2:] for row in percents(summary_table(found, base))] == [
        ["10.0", "0.100", "100.0", "100.0"],
        ["20.0", "0.200", "200.0", "200.0"],
    ]
    found = steady(results_of([sequence(0, 3), other]), "digits", 1)
    assert [list(own) for own in found.values()] == [["shot_noise"], ["shot_noise(seed=3)"]]
    table = summary_table(found, base)
    assert [row[2:] for row in percents(table)] == [["10.0", "0.100", "100.0", "100.0"], ["-"] * 4]
    assert "sdnet20 @ 0.1: not run: shot_noise." in table.notes


def test_ratios_are_of_the_same_images_and_over_more_than_nothing() -> None:
    base = Subject("digits", "resnet20")
    elsewhere = steady(results_of([sequence(0, 3), sequence(0, 6, SDNET, 0.1, first=100)]), "digits", 1)
    table = summary_table(elsewhere, base)
    assert [row[2:] for row in percents(table)] == [
        ["10.0", "0.100", "100.0", "100.0"],
        ["20.0", "0.200", "-", "-"],
    ]
    assert [row[2].images for row in table.rows if isinstance(row[2], Estimate)] == ["", "100-199"]
    never = steady(results_of([sequence(0, 0), sequence(0, 6, SDNET, 0.1)]), "digits", 1)
    assert [row[4:] for row in percents(summary_table(never, base))] == [["-", "-"]] * 2
