"""Tables of sequences: which results stand under one name, and are compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from robustbench_sdnet.answers.answered import Answered
from robustbench_sdnet.reports.numbers import Estimate
from robustbench_sdnet.reports.results import Subject
from robustbench_sdnet.reports.tables.stability import flip_tables, steady, summary_table
from robustbench_sdnet.specs import ModelSpec, SequenceSpec
from robustbench_sdnet.statistics import wilson

from .made_records import RESNET, SDNET, network, record, results_of
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
    assert "sdnet20 @ 0.1: no mFR and mT5D, resnet20 was run under shot_noise on other images." in table.notes
    never = summary_table(steady(results_of([sequence(0, 0), sequence(0, 6, SDNET, 0.1)]), "digits", 1), base)
    assert [row[4:] for row in percents(never)] == [["-", "-"]] * 2
    assert [note for note in never.notes if ": no " in note] == [
        f"resnet20, sdnet20 @ 0.1: no {what} under shot_noise."
        for what in ("mFR, resnet20 never flips", "mT5D, resnet20 keeps its first five")
    ]


def test_a_baseline_without_a_sequence_of_others_is_said_to_lack_it() -> None:
    asked = [named("tilt", 3, 15, RESNET), named("tilt", 3, 15, SDNET), named("rotate", 6, 15, SDNET)]
    table = summary_table(steady(results_of(asked), "digits", 1), Subject("digits", "resnet20"))
    assert [row[2:] for row in percents(table)] == [["15.0", "0.500", "-", "-"], ["-"] * 4]
    assert [note for note in table.notes if note.startswith(("resnet20", "sdnet20"))] == [
        "sdnet20: no mFR and mT5D, resnet20 was not run under rotate.",
        "resnet20: not run: rotate.",
    ]


def named(name: str, flips: int, shifts: int, model: ModelSpec, difficulty: int = 1) -> Answered:
    """100 images whose prediction flips in `flips` of 30 pairs of frames, and whose first five move by `shifts`."""
    frames = 31 if name.endswith("noise") else 30 + difficulty
    spec = SequenceSpec(name=name, frames=frames, first=name.endswith("noise"), difficulty=difficulty)
    made = record(50, 100, spec=spec, model=model)
    counts = {"flips": np.full(100, flips, np.int32), "shifts": np.full(100, shifts, np.int32)}
    return replace(made, outcome=replace(made.outcome, **counts))


def test_means_are_over_the_published_sequences_and_ratios_are_each_to_its_own() -> None:
    models = [network(f"m{place}") for place in range(4)]
    # Of model k, by sequence: flips and shifts in 30 pairs; speckle noise is none of the published ten.
    asked = {"shot_noise": (3, 30), "tilt": (6, 15), "speckle_noise": (30, 60)}
    rows = [
        named(name, min(30, flips * (place > 0) + place), shifts * (place + 1), model)
        for place, model in enumerate(models)
        for name, (flips, shifts) in asked.items()
    ]
    harder = [named("shot_noise", 29, 99, models[0], 2)]
    found = steady(results_of([*rows, *harder]), "digits", 1)
    base = Subject("digits", "m1")
    columns = ("model", "lambda", "flips, mean of 2", "top-5 distance")
    assert summary_table(found, base).columns == (*columns, "mFR", "mT5D")
    assert summary_table(found, None).columns == columns
    # m1 flips in 4 and 7 of 30, m2 in 5 and 8, m3 in 6 and 9; m0 in none.
    flips = {"m0": (0, 0), "m1": (4, 7), "m2": (5, 8), "m3": (6, 9)}
    assert [row[:1] + row[2:] for row in percents(summary_table(found, base))] == [
        [
            name,
            f"{100 * (a + b) / 60:.1f}",
            f"{(45 * (place + 1)) / 60:.3f}",
            f"{100 * (a / 4 + b / 7) / 2:.1f}",
            f"{50 * (place + 1):.1f}",
        ]
        for place, (name, (a, b)) in enumerate(flips.items())
    ]
    tables = flip_tables(found)
    assert [len(table.columns) for table in tables] == [7, 3]
    assert percents(tables[1]) == [
        ["shot_noise", "20.0", "4.000"],
        ["tilt", "30.0", "2.000"],
        ["speckle_noise", "100.0", "8.000"],
    ]
    interval = tables[0].rows[0][3]
    assert isinstance(interval, Estimate)
    # Wilson's of 100 images of which 4 / 30 flip.
    assert (interval.low, interval.high) == pytest.approx(wilson(100 * 4 / 30, 100))
    only = steady(results_of([*rows, *harder]), "digits", 2)
    assert [row[2:] for row in percents(summary_table(only, None))] == [["96.7", "3.300"]]
