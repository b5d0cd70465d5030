"""Tables on a terminal: they fit its width, lose nothing, and mark the lowest accuracy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from robustbench_sdnet.answers.records import flat
from robustbench_sdnet.console.tables import distance, fitted, lowest, table
from robustbench_sdnet.corruptions.sequences.members import MAIN
from robustbench_sdnet.specs import CorruptionSpec

from ..reports.made_records import RESNET, SDNET, attack, corruption, network, record, rows_of

LONG = "a-model-with-a-name-that-nobody-would-type-twice/in-a-folder"


def records(*answers):
    return flat(rows_of(answers))


@pytest.mark.parametrize("columns", [80, 100, 200])
def test_a_table_is_no_wider_than_the_terminal_and_loses_nothing(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    own = {
        "model": SDNET.__class__(name=LONG, source="s", arch="sdnet20", weights="e" * 64, training_lambda=0.1)
    }
    rows = records(
        record(190, lam=0.1, **own),
        attack("pgd", "8/255", 40, lam=0.1, settings={"restarts": 5, "step_size": 0.01}, **own),
        *(corruption("gaussian_noise", severity, 150 - severity, lam=0.1, **own) for severity in range(1, 6)),
    )
    text = table(rows)
    lines = [line for line in text.splitlines() if not line.startswith("* lowest")]
    assert max(map(len, lines)) <= columns
    assert LONG in text, "the model, which is the same in all rows, stands above where it has no room"
    assert text.count(f"model: {LONG}") == (columns < 200)
    assert {"20.0", "15.0-26.1"} <= set(text.replace("*", "").split())


@pytest.mark.parametrize("columns", [60, 80])
def test_a_table_that_is_too_wide_breaks_names_and_no_words(columns, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    rows = [[LONG, "corruption", "14", "0", "20", "2026-11-27 16:12"]]
    headers = ["model", "kind", "cells", "unfinished", "samples", "last (UTC)"]
    text = fitted(rows, headers, ["left", "left", "right", "right", "right", "left"], (0, 1, 5))
    assert {"corruption", "2026-11-27"} <= set(text.split())
    assert max(map(len, text.splitlines())) <= max(columns, 68)


def test_the_number_of_images_gives_up_its_column_before_names_are_broken(monkeypatch):
    monkeypatch.setenv("COLUMNS", "90")
    names = ["resnet20-noise_10", "resnet20-noise_11"]
    rows = [[name, "attack", "pgd", eps, "100.0", "96.3-100.0", 100] for name in names for eps in (2, 8)]
    headers = ["a model of many", "the kind of all", "perturbation", "eps", "acc. %", "95 %", "n"]
    sides = ["left", "left", "left", *["right"] * 4]
    assert not fitted(rows, headers, sides, (0,)).startswith("n:")
    monkeypatch.setenv("COLUMNS", "82")
    text = fitted(rows, headers, sides, (0,))
    assert text.startswith("n: 100\n\n")
    assert all(text.count(name) == 2 for name in names)
    assert max(map(len, text.splitlines())) <= 82


def test_the_lowest_number_is_marked_and_named():
    rows = records(
        record(190),
        attack("pgd", "8/255", 40),
        attack("pgd", "2/255", 120),
        attack("noise", "8/255", 10),
        corruption("fog", 5, 60),
        record(180, model=SDNET, lam=0.1),
    )
    text = table(rows)
    assert [line for line in text.splitlines() if "*" in line][-1] == "* lowest: 20.0 % (pgd 8/255, resnet20)"
    assert text.count("*20.0") == 1
    assert text.count("*") == 2
    worst = table(
        records(record(190), corruption("fog", 5, 60), corruption("fog", 1, 70), corruption("snow", 5, 80))
    )
    assert "* lowest: 30.0 % (fog at severity 5, resnet20)" in worst
    assert "*30.0" in worst


def test_what_was_chosen_on_test_labels_says_so():
    rows = [corruption("fog", 5, 60 + round(20 * lam), model=SDNET, lam=lam) for lam in (0.1, 0.5, 1.0)]
    line = next(line for line in table(records(*rows)).splitlines() if "oracle" in line)
    assert "oracle (best number on test labels)" in line


def test_nothing_is_marked_where_nothing_is_lower_and_ties_are_counted():
    assert lowest(records(record(190), attack("pgd", "8/255", 40))) == []
    tied = records(
        *(attack("pgd", "8/255", 0, model=SDNET, lam=lam) for lam in (0.1, 0.5)), attack("pgd", "8/255", 9)
    )
    assert "* lowest: 0.0 % (pgd 8/255, sdnet20, lambda 0.1, and 1 more)" in table(tied)
    assert table(tied).count("*0.0") == 2
    sought = records(
        attack("fab-t", None, 0, distances=[0.1] * 200), attack("pgd", "8/255", 40, model=RESNET)
    )
    assert lowest(sought) == [], "without a budget every image breaks in the end"


def test_what_is_less_than_all_and_more_than_none_never_reads_as_all_or_none():
    fog = CorruptionSpec(name="fog", severity=5)
    rows = records(record(4999, 5000), record(4998, 5000, spec=fog), attack("pgd", "8/255", 1, 5000))
    words = table(rows).replace("*", " ").split()
    assert {"99.98", "99.96", "0.02"} <= set(words), "as in reports"
    assert "100.0" not in words
    assert "lowest: 0.02 %" in table(rows)


def test_sequences_have_a_mean_at_each_difficulty_that_all_ten_were_run_at(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    (like,) = records(record(190))
    rows = [
        like
        | {
            "kind": "sequence",
            "perturbation": f"{name}{how}",
            "flip_probability": flips,
            "top5_distance": 1.0,
        }
        for how, flips in (("", 0.1), ("(difficulty 2)", 0.3), ("(difficulty 3)", 0.5))
        for name in (MAIN if how != "(difficulty 3)" else MAIN[:9])
    ]
    means = [line.split()[2:-2] for line in table(rows).splitlines() if "mean of the ten" in line]
    assert means == [["of", "the", "ten", "10.00"], ["of", "the", "ten", "(difficulty", "2)", "30.00"]]


def test_sequences_of_another_seed_have_a_mean_too(monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    (like,) = records(record(190))
    noises = ("gaussian_noise", "shot_noise", "spatter")  # what draws: the others are of no seed
    rows = [
        like
        | {
            "kind": "sequence",
            "perturbation": f"{name}{how.format('seed=4' if name in noises else '')}",
            "flip_probability": 0.5 if name in noises else 0.1,
            "top5_distance": 1.0,
        }
        for name in MAIN
        for how in ("({})", "(difficulty 2, {})")
    ]
    for row in rows:
        row["perturbation"] = row["perturbation"].replace("()", "").replace(", )", ")")
    means = [line.split()[2:-2] for line in table(rows).splitlines() if "mean of the ten" in line]
    assert means == [["of", "the", "ten", "22.00"], ["of", "the", "ten", "(difficulty", "2)", "22.00"]]


def test_corruptions_that_were_stored_are_said_to_be():
    fog = CorruptionSpec(name="fog", severity=5)
    line = "Corrupted images were stored as jpeg85 before they were shown."
    assert line in table(records(record(60, spec=replace(fog, stored="jpeg85")))).splitlines()
    assert "stored" not in table(records(record(60, spec=fog)))


def test_below_several_corruptions_stands_their_mean_at_each_lambda():
    right = {(0.1, "fog", 1): 180, (0.1, "fog", 5): 100, (0.1, "snow", 1): 160, (0.1, "snow", 5): 60}
    right |= {(0.5, "fog", 1): 120, (0.5, "fog", 5): 80, (0.5, "snow", 1): 100}
    rows = [corruption(name, level, n, model=SDNET, lam=lam) for (lam, name, level), n in right.items()]
    means = [line.split()[1:] for line in table(records(*rows)).splitlines() if "mean of 2" in line]
    assert means == [
        ["0.1", "mean", "of", "2", "85.0", "40.0", "62.5", "200"],
        ["0.5", "mean", "of", "2", "55.0", "-", "-", "200"],
    ]
    levels = [CorruptionSpec(name="gaussian_noise", level=level) for level in ("0.1", "0.2")]
    for alone in ([corruption("fog", 5, 100)], [record(100, spec=spec) for spec in levels]):
        assert "mean of" not in table(records(*alone))


def test_models_without_lambda_have_no_column_for_it():
    plain, sparse = corruption("fog", 5, 100), corruption("fog", 5, 100, model=SDNET, lam=0.1)
    assert table(records(plain)).splitlines()[0].split() == ["model", "corruption", "5", "n"]
    both = table(records(plain, sparse)).splitlines()
    assert both[0].split() == ["model", "lambda", "corruption", "5", "n"]


def test_means_crowd_out_no_corruptions_that_fit_a_screen():
    for models, shown in ((20, ["fog", "frost", "snow", "mean"]), (21, ["mean"])):
        own = [network(f"m{i:02}") for i in range(models)]
        rows = [corruption(name, 5, 100, model=one) for one in own for name in ("fog", "frost", "snow")]
        lines = [line.split() for line in table(records(*rows)).splitlines()]
        assert [line[1] for line in lines if line and line[0].startswith("m0")][: len(shown)] == shown
        assert len([line for line in lines if line and line[-1] == "200"]) == len(shown) * models


def test_no_mean_is_over_as_many_but_other_images():
    rows = records(
        corruption("fog", 1, 90, n=100), corruption("fog", 5, 50, n=100, images=range(100, 200)), record(190)
    )
    assert {row["images"] for row in rows} == {None, "100-199"}
    lines = [line.split() for line in table(rows).splitlines() if "fog" in line and "lowest" not in line]
    assert lines == [
        ["resnet20", "fog", "90.0", "-", "-", "100"],
        ["resnet20", "fog", "-", "*50.0", "-", "100"],
    ]


def test_equal_means_are_printed_equal():
    """65 of 80 images, 81.25 %: as sums of floats they were 81.2 and 81.3."""
    names = ("gaussian_noise", "shot_noise", "impulse_noise", "speckle_noise")
    many = [
        corruption(name, severity, right, n=20, model=network(f"model-{i:02}"))
        for i in range(16)  # longer than a screen, where means alone are printed
        for severity, counts in enumerate([(16, 16, 17, 16), (16, 16, 16, 17)] * 2, 1)
        for name, right in zip(names, counts, strict=True)
    ]
    line = next(line for line in table(records(*many)).splitlines() if "mean of 4" in line)
    assert len(set(line.split()[-6:-1])) == 1


def test_the_median_distance_is_of_attacks_that_sought_the_smallest_perturbation() -> None:
    row = {"kind": "attack", "eps": None, "norm": "linf", "median_distance": 2.5 / 255}
    assert distance(row) == "2.50/255 linf"
    assert distance({**row, "norm": "l2", "median_distance": 0.12345}) == "0.123 l2"
    assert distance({**row, "median_distance": None}) == "-", "half of the images were not broken"
    for other in ({"kind": "clean"}, {"eps": "8/255"}):
        assert distance({**row, **other}) == ""
    del row["median_distance"]
    assert distance(row) == ""
