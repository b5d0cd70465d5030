"""Corruption tables: golden numbers, groups that were not all run, corruption error."""

from __future__ import annotations

from robustbench_sdnet.answers.answered import Answered
from robustbench_sdnet.corruptions.registry import CORRUPTIONS
from robustbench_sdnet.reports.document import Table
from robustbench_sdnet.reports.numbers import ABSENT, Missing
from robustbench_sdnet.reports.results import Results, Subject
from robustbench_sdnet.reports.tables import corruptions, errors
from robustbench_sdnet.reports.tables.lambdas import sweeps
from robustbench_sdnet.reports.tables.overview import overview
from robustbench_sdnet.specs import CorruptionSpec

from .made_records import SDNET, corruption, network, record, results_of
from .printed import percents

PLAIN = Subject("digits", "resnet20", None)


def grid_of(rows: list[Answered]) -> corruptions.Grid:
    return corruptions.grid(results_of(rows), PLAIN, "generated")


def five(name: str, first: int, step: int, **given: object) -> list[Answered]:
    """Severities 1 to 5 with first, first - step, ... of 200 images right."""
    return [corruption(name, severity, first - step * (severity - 1), **given) for severity in range(1, 6)]


def test_severities_and_their_mean() -> None:
    table = corruptions.severity_table(
        grid_of([*five("brightness", 180, 20), *five("gaussian_noise", 190, 10)])
    )
    assert table.columns == ("corruption", "1", "2", "3", "4", "5", "mean")
    # Of 200: 190, 180, ..., 150 right is 95, 90, 85, 80, 75 %, mean 85; 180, ..., 100 is 90 ... 50, mean 70.
    # Noise stands before weather, as in the registry, whatever the order of the records.
    assert percents(table) == [
        ["gaussian_noise", "95.0", "90.0", "85.0", "80.0", "75.0", "85.0"],
        ["brightness", "90.0", "80.0", "70.0", "60.0", "50.0", "70.0"],
    ]


def test_what_nobody_asked_is_no_column_and_no_gap() -> None:
    rows = [
        row
        for row in five("fog", 190, 10) + five("snow", 150, 10)
        if row.cell.perturbation.severity in (1, 5)
    ]
    table = corruptions.severity_table(grid_of(rows))
    assert table.columns == ("corruption", "1", "5", "mean")
    # (190 + 150) / 2 and (150 + 110) / 2 of 200.
    assert {row[0]: row[1:] for row in percents(table)} == {
        "fog": ["95.0", "75.0", "85.0"],
        "snow": ["75.0", "55.0", "65.0"],
    }
    assert corruptions.levels_text(corruptions.levels_run([grid_of(rows)])) == "severities 1, 5"
    assert corruptions.levels_text((1, 2, 3, 4, 5)) == "severities 1 to 5"
    subject = Subject("digits", "resnet20")
    found = errors.error_table({subject: grid_of(rows)}, {subject: None}, None)
    assert "error: mean over severities 1, 5." in found.notes


def test_a_missing_severity_is_a_dash_and_so_is_the_mean() -> None:
    rows = [row for row in five("fog", 190, 10) if row.cell.perturbation.severity != 3] + five(
        "snow", 190, 10
    )
    table = corruptions.severity_table(grid_of(rows))
    found = {row[0]: row[1:] for row in percents(table)}
    assert found["fog"] == ["95.0", "90.0", "-", "80.0", "75.0", "-"]
    assert found["snow"] == ["95.0", "90.0", "85.0", "80.0", "75.0", "85.0"]
    assert table.notes == ("fog: not run: severity 3.",)


def test_categories_are_means_over_all_their_members_or_nothing() -> None:
    noises = ("gaussian_noise", "shot_noise", "impulse_noise")
    rows = [row for position, name in enumerate(noises) for row in five(name, 190 - 20 * position, 10)]
    table = corruptions.category_table(grid_of([*rows, *five("fog", 100, 0)]))
    # Severity 1: 95, 85, 75, mean 85; each next severity 5 points less. Weather lacks three of four.
    # All four run, severity 1: (95 + 85 + 75 + 50) / 4 = 76.25; severity 5: (75 + 65 + 55 + 50) / 4 = 61.25.
    # Mean of all: ((85 + 80 + 75 + 70 + 65) * 3 / 5 + 50) / 4 = (225 + 50) / 4 = 68.75.
    assert percents(table) == [
        ["noise (3)", "85.0", "80.0", "75.0", "70.0", "65.0", "75.0"],
        ["weather (4)", "-", "-", "-", "-", "-", "-"],
        ["the 15", "-", "-", "-", "-", "-", "-"],
        ["all 4 run", "76.2", "72.5", "68.8", "65.0", "61.3", "68.8"],
    ]
    assert table.notes[0] == "weather (4): not run: snow, frost, brightness."
    assert "defocus_blur" in table.notes[1]
    assert "gaussian_noise" not in table.notes[1]


def test_the_fifteen_and_the_extra_four_stand_apart() -> None:
    published = [name for name, info in CORRUPTIONS.items() if info.published]
    rows = [row for name in published for row in five(name, 160 if CORRUPTIONS[name].main else 80, 0)]
    table = corruptions.category_table(grid_of(rows))
    # Every main corruption at 80 %, every extra one at 40 %.
    assert [row[0] for row in table.rows] == [
        "noise (3)",
        "blur (4)",
        "weather (4)",
        "digital (4)",
        "the 15",
        "the extra 4",
    ]
    assert [row[-1] for row in percents(table)] == ["80.0"] * 5 + ["40.0"]


def test_different_numbers_of_images_are_never_averaged() -> None:
    rows = [*five("fog", 190, 10)[:4], corruption("fog", 5, 90, n=100)]
    table = corruptions.severity_table(grid_of(rows))
    assert percents(table)[0][-1] == "-"
    assert table.notes == ("fog: on different numbers of images: 100, 200.",)


def test_as_many_but_other_images_are_never_averaged() -> None:
    """As where each of two answers lost another shard: images 0 to 99 beside 100 to 199, 100 of each."""
    lost = {"n": 100, "images": range(100, 200)}
    rows = [*five("fog", 90, 10, n=100)[:4], corruption("fog", 5, 50, **lost)]
    table = corruptions.severity_table(grid_of(rows))
    assert percents(table) == [["fog", "90.0", "80.0", "70.0", "60.0", "50.0", "-"]]
    assert table.notes == ("fog: on equally many, but not the same images: 100.",)
    # Nor is a mean of one part divided by that of another: of sdnet's the last 100, of resnet's the first.
    other = [row for row in five("fog", 90, 10, model=SDNET, lam=0.1, **lost)]
    rows = [*five("fog", 90, 10, n=100), record(95, 100), *other, record(95, model=SDNET, lam=0.1, **lost)]
    results = results_of(rows)
    found = {one: corruptions.grid(results, one, "generated") for one in results.subjects("digits")}
    clean = {one: results.estimate("clean", subject=one) for one in found}
    relative = [row[-2:] for row in percents(errors.error_table(found, clean, PLAIN))]
    assert relative == [["100.0", "100.0"], ["-", "-"]]


def test_side_by_side_shows_a_few_subjects_at_a_time() -> None:
    grids = {f"m{number}": grid_of(five("fog", 190, 10)) for number in range(7)}
    tables = corruptions.side_by_side(grids, corruptions.over_severities, "mean")
    assert [table.columns[1:] for table in tables] == [("m0", "m1", "m2", "m3", "m4", "m5"), ("m6",)]
    assert percents(tables[1]) == [["fog", "85.0"]]


def error_rows(results: Results, baseline: Subject | None) -> Table:
    subjects = results.main_subjects("digits")
    grids = {subject: corruptions.grid(results, subject, "generated") for subject in subjects}
    clean = {subject: results.estimate("clean", subject=subject) for subject in subjects}
    return errors.error_table(grids, clean, baseline)


def two_models() -> Results:
    better = {"model": SDNET, "lam": 0.1}
    return results_of(
        [
            record(180),
            record(190, **better),
            *five("fog", 160, 20),
            *five("snow", 120, 0),
            *five("fog", 180, 10, **better),
            *five("snow", 160, 0, **better),
        ]
    )


def test_corruption_errors() -> None:
    table = error_rows(two_models(), None)
    # resnet20: fog 160, 140, 120, 100, 80 of 200 right, error 40 %; snow 40 %; mean 40. Clean error 10 %.
    # sdnet20: fog 180, ..., 140 right, mean error 20 %; snow 20 %; mean 20. Clean error 5 %.
    assert percents(table) == [["resnet20", "-", "10.0", "40.0"], ["sdnet20", "0.1", "5.0", "20.0"]]
    assert table.columns[3] == "error, 2 corruptions"


def test_errors_are_of_all_that_was_run_where_none_of_the_main_corruptions_was() -> None:
    results = results_of([record(180), *five("spatter", 160, 20), *five("saturate", 180, 10)])
    table = error_rows(results, PLAIN)
    # Errors of 40 and 20 %; each is its own baseline. Relative: 30 of 30 and 10 of 10.
    assert percents(table) == [["resnet20", "-", "10.0", "30.0", "100.0", "100.0"]]
    assert table.columns[3] == "error, 2 corruptions"


def test_where_images_come_from_stands_beside_their_number() -> None:
    plain, stored = (
        [
            record(
                right, spec=CorruptionSpec(name="fog", severity=severity, stored=how), model=SDNET, lam=lam
            )
            for severity in (1, 5)
            for lam in (0.1, 0.5)
        ]
        for how, right in (("", 120), ("jpeg85", 160))
    )
    origin = "generated, stored as jpeg85"
    # Those that were generated in the usual way stand first, whatever their cells' ids.
    for answers, heads, named in (
        (stored, [f" ({origin})"], origin),
        (stored + plain, ["", f" ({origin})"], "generated"),
    ):
        results = results_of([record(190, model=SDNET, lam=0.1), *answers])
        assert overview(results, "digits").columns[3] == f"1 corruption ({named})"
        assert percents(overview(results, "digits"))[0][3] == ("60.0" if "" in heads else "80.0")
        assert [one.label for one in sweeps(results, "digits")] == [f"sdnet20{head}" for head in heads]


def test_the_best_number_is_of_those_on_the_same_images() -> None:
    for first, oracles in ((0, 1), (100, 0)):
        images = (range(200), range(200), range(first, first + 200))
        rows = [
            corruption("fog", 5, 100, model=SDNET, lam=lam, images=ids)
            for lam, ids in zip((0.1, 0.3, 0.5), images, strict=True)
        ]
        lams = [result.lam for result in results_of(rows).all if result.lam]
        assert [lam.text for lam in lams].count("oracle") == oracles


def test_a_lambda_that_stands_nowhere_else_has_a_table_and_the_main_one_alone_has_none() -> None:
    clean = [record(190, model=SDNET, lam=lam) for lam in (0.1, 0.5)]
    for lam, shown in ((0.1, 0), (0.5, 1)):
        results = results_of([*clean, *five("fog", 190, 10, model=SDNET, lam=lam)])
        assert len(sweeps(results, "digits")) == shown


def test_the_overview_shows_the_highest_severity_beside_the_mean() -> None:
    table = overview(results_of([record(190), *five("fog", 190, 10)]), "digits")
    assert table.columns[3:] == ("1 corruption", "at severity 5")
    assert percents(table)[0][3:] == ["85.0", "75.0"]
    assert not [note for note in table.notes if "mean over" in note], "all five need not be named"
    table = overview(results_of([corruption("fog", severity, 120) for severity in (1, 4)]), "digits")
    assert table.columns[3:] == ("1 corruption", "at severity 4")
    assert "1 corruption: mean over severities 1, 4." in table.notes
    apart = [
        corruption("fog", 1, 120),
        record(160, spec=CorruptionSpec(name="snow", severity=1), model=SDNET, lam=0.1),
    ]
    notes = overview(results_of(apart), "digits").notes
    assert {"resnet20: not run: snow.", "sdnet20 @ 0.1: not run: fog."} <= set(notes), "why there is no mean"


def test_a_group_of_c_bar_is_named_where_all_of_it_was_run() -> None:
    cifar = corruptions.BAR["CIFAR"]
    for names, groups in ((cifar, ["C-bar (CIFAR)"]), (cifar[1:], [])):
        assert [name for name in corruptions.groups(names) if name.startswith("C-bar")] == groups


def test_a_corruption_that_was_drawn_twice_is_one() -> None:
    again = [
        record(150, spec=CorruptionSpec(name="gaussian_noise", severity=5, seed=seed)) for seed in (0, 1, 2)
    ]
    assert overview(results_of(again), "digits").columns[3] == "1 corruption, 3 variants at severity 5"
    assert corruptions.kinds_text(["fog", "fog(seed=1)", "snow"]) == "2 corruptions, 3 variants"


def test_corruption_errors_relative_to_a_baseline() -> None:
    table = error_rows(two_models(), PLAIN)
    # mCE: (20/40 + 20/40) / 2 = 50 %. Relative: (20 - 5) / (40 - 10) = 50 % for both.
    assert percents(table) == [
        ["resnet20", "-", "10.0", "40.0", "100.0", "100.0"],
        ["sdnet20", "0.1", "5.0", "20.0", "50.0", "50.0"],
    ]


def test_relative_errors_take_clean_images_that_are_as_many() -> None:
    better = {"model": SDNET, "lam": 0.1}
    rows = [*five("fog", 160, 20), *five("fog", 180, 10, **better), record(190, **better)]
    for clean, relative in ((record(180), ["100.0", "50.0"]), (record(360, 400), ["-", "-"])):
        table = error_rows(results_of([clean, *rows]), PLAIN)
        assert [row[-2:] for row in percents(table)] == [["100.0", relative[0]], ["50.0", relative[1]]]
    table = error_rows(results_of([record(180), *rows[:-1], record(380, 400, **better)]), PLAIN)
    assert [row[-2:] for row in percents(table)] == [["100.0", "100.0"], ["50.0", "-"]]


def test_levels_of_another_origin_leave_severities_in_the_overview() -> None:
    level = record(150, spec=CorruptionSpec(name="gaussian_noise", level="0.1"))
    stored = record(120, spec=CorruptionSpec(name="fog", severity=5, stored="jpeg85"))
    table = overview(results_of([record(190), level, stored]), "digits")
    assert table.columns[3:] == ("1 corruption at severity 5 (generated, stored as jpeg85)",)
    assert percents(table)[0][3:] == ["60.0"]


def test_mce_with_alexnet_is_hendrycks_arithmetic() -> None:
    # Right on 160, 140, 120, 100, 80 of 200 everywhere: error 40 % in each of the fifteen; clean error 10 %.
    rows = [record(180), *(row for name in corruptions.MAIN for row in five(name, 160, 20))]
    grids = {PLAIN: grid_of(rows)}
    clean = {PLAIN: results_of(rows).estimate("clean", subject=PLAIN)}
    table = errors.error_table(grids, clean, None, errors.ALEXNET)
    published = [
        *(0.886428, 0.894468, 0.92264, 0.81988, 0.826268, 0.785948, 0.79836, 0.866816),
        *(0.826572, 0.819324, 0.564592, 0.853204, 0.646056, 0.71784, 0.6065),
    ]
    mce = 100 * sum(0.4 / error for error in published) / 15
    relative = 100 * sum((0.4 - 0.1) / (error - 0.435) for error in published) / 15
    assert percents(table)[0][-2:] == [f"{mce:.1f}", f"{relative:.1f}"]
    assert "per cent of AlexNet" in table.notes[0]
    assert "RobustBench" in table.notes[0]
    lacking = errors.error_table(
        {PLAIN: {name: row for name, row in grids[PLAIN].items() if name != "fog"}},
        clean,
        None,
        errors.ALEXNET,
    )
    assert percents(lacking)[0][-2:] == ["-", "-"]
    # Each published number is of its own corruption: 20 % wrong under fog, the tenth.
    foggy = {PLAIN: {**grids[PLAIN], "fog": grid_of(five("fog", 180, 10))["fog"]}}
    own = [0.2 if name == "fog" else 0.4 for name in corruptions.MAIN]
    assert corruptions.MAIN.index("fog") == 9
    mce = 100 * sum(mine / error for mine, error in zip(own, published, strict=True)) / 15
    relative = 100 * sum((a - 0.1) / (b - 0.435) for a, b in zip(own, published, strict=True)) / 15
    found = percents(errors.error_table(foggy, clean, None, errors.ALEXNET))[0][-2:]
    assert found == [f"{mce:.1f}", f"{relative:.1f}"]
    few = {PLAIN: {**grids[PLAIN], "fog": grid_of(five("fog", 90, 5, n=100))["fog"]}}
    found = percents(errors.error_table(few, clean, None, errors.ALEXNET))[0][-2:]
    assert found == [f"{mce:.1f}", "-"], "the clean accuracy is of other images than fog's"


def test_errors_are_of_the_main_corruptions_alone_where_others_were_run_too() -> None:
    better = {"model": SDNET, "lam": 0.1}
    rows = [record(180), record(190, **better), *five("fog", 160, 20), *five("fog", 180, 10, **better)]
    # Spatter, of which other images were asked, counts on no side.
    rows += [*five("spatter", 50, 10, n=100), *five("spatter", 20, 0, **better)]
    table = error_rows(results_of(rows), PLAIN)
    assert table.columns[3] == "error, 1 corruption"
    assert percents(table) == [
        ["resnet20", "-", "10.0", "40.0", "100.0", "100.0"],
        ["sdnet20", "0.1", "5.0", "20.0", "50.0", "50.0"],
    ]


def test_a_baseline_without_errors_divides_nothing() -> None:
    other = network("beta")
    rows = [record(190), *five("fog", 200, 0), record(190, model=other), *five("fog", 100, 0, model=other)]
    reason = Missing("no mCE, resnet20 makes no error under fog")
    assert [row[4:] for row in error_rows(results_of(rows), PLAIN).rows] == [(reason, reason)] * 2


def test_relative_errors_need_clean_images_that_are_those_of_every_corruption() -> None:
    better = {"model": SDNET, "lam": 0.1}
    few = {"n": 100, "images": range(100, 200)}
    rows = [record(180), record(190, **better), *five("fog", 160, 20), *five("fog", 180, 10, **better)]
    rows += [*five("snow", 60, 0, **few), *five("snow", 80, 0, **few, **better)]
    assert [row[4:] for row in percents(error_rows(results_of(rows), PLAIN))] == [
        ["100.0", "-"],
        ["50.0", "-"],
    ]


def test_no_corruption_error_over_a_part() -> None:
    results = two_models()
    partial = Results(
        tuple(r for r in results.all if not (r.name == "snow" and r.subject.model == "sdnet20"))
    )
    table = error_rows(partial, PLAIN)
    assert percents(table)[1] == ["sdnet20", "0.1", "5.0", "-", "-", "-"]
    assert table.notes[0] == "sdnet20 @ 0.1: not run: snow."


def test_what_was_drawn_by_one_other_seed_alone_counts_as_any() -> None:
    def drawn(name: str, severity: int, right: int, seed: int) -> Answered:
        return record(right, spec=CorruptionSpec(name=name, severity=severity, seed=seed))

    random = {name for name in corruptions.MAIN if CORRUPTIONS[name].random}
    rows = [drawn(name, 5, 100, int(name in random)) for name in corruptions.MAIN]
    results = results_of([record(190), *rows])
    found = corruptions.grid(results, PLAIN, "generated")
    assert tuple(found) == corruptions.MAIN
    means = {row[0]: row[-1] for row in percents(corruptions.category_table(found))}
    assert means == dict.fromkeys(("noise (3)", "blur (4)", "weather (4)", "digital (4)", "the 15"), "50.0")
    # Beside the usual seed each of both is named, and all that were run are counted.
    both = corruptions.grid(results_of([*rows[:2], drawn("gaussian_noise", 5, 150, 0)]), PLAIN, "generated")
    assert set(both) == {"gaussian_noise", "gaussian_noise(seed=1)", "shot_noise"}
    means = {row[0]: row[-1] for row in percents(corruptions.category_table(both))}
    assert means["all 3 run"] == "58.3"  # (50 + 50 + 75) / 3


def test_what_was_run_of_other_files_alone_is_not_called_not_run() -> None:
    generated = [corruption("fog", severity, 120) for severity in (1, 5)]
    stored = [
        record(
            150, spec=CorruptionSpec(name="fog", severity=severity, source="published"), model=network("beta")
        )
        for severity in (1, 5)
    ]
    table = overview(results_of([*generated, *stored]), "digits")
    assert table.columns[3] == "1 corruption (generated)"
    assert "1 corruption (generated): of these alone; published below." in table.notes


def test_what_other_lambdas_alone_were_run_under_is_none_of_the_overview() -> None:
    generated, stored = (CorruptionSpec(name="fog", severity=5, stored=how) for how in ("", "jpeg85"))
    clean = record(190, model=SDNET, lam=0.1)
    aside = [record(150, spec=spec, model=SDNET, lam=0.5) for spec in (generated, stored)]
    assert overview(results_of([clean, *aside]), "digits").columns == ("model", "lambda", "clean")
    main = record(120, spec=stored, model=SDNET, lam=0.1)
    table = overview(results_of([clean, *aside, main]), "digits")
    assert percents(table)[0][3:] == ["60.0"]
    assert table.columns[3] == "1 corruption at severity 5 (generated, stored as jpeg85)"
    assert not [note for note in table.notes if "below" in note]


def test_why_there_is_no_mce_stands_below() -> None:
    other = network("beta")
    rows = [record(190), *five("fog", 150, 10), record(95, 100, model=other)]
    rows += [
        record(50, 100, spec=CorruptionSpec(name="fog", severity=level), model=other) for level in range(1, 6)
    ]
    results = results_of(rows)
    table = error_rows(results, PLAIN)
    found = {row[0]: row[4:] for row in table.rows}
    reason = "no mCE, resnet20 was run under fog on other images"
    assert found["beta"] == (Missing(reason), Missing(reason))
    assert table.notes.count(f"beta: {reason}.") == 1
    steady = results_of([record(190), *five("fog", 190, 0)])
    (row,) = error_rows(steady, PLAIN).rows
    assert row[4] == "100.0"
    assert row[5] == Missing("no relative mCE, resnet20 loses nothing under fog")
    for n in range(
        1, 60
    ):  # of some of which the mean over severities, rounded, is not the clean accuracy to the bit
        steady = results_of(
            [
                record(n, 60),
                *(record(n, 60, spec=CorruptionSpec(name="fog", severity=level)) for level in range(1, 6)),
            ]
        )
        (row,) = error_rows(steady, PLAIN).rows
        assert row[5] == Missing("no relative mCE, resnet20 loses nothing under fog")


def test_what_was_run_at_one_severity_alone_is_no_mean_over_severities_and_stands_once() -> None:
    results = results_of(
        [record(190), *(corruption(name, 3, right) for name, right in (("fog", 80), ("snow", 120)))]
    )
    table = overview(results, "digits")
    # (80 + 120) / 2 of 200.
    assert table.columns[3:] == ("2 corruptions at severity 3",)
    assert percents(table)[0][3:] == ["50.0"]
    assert not [note for note in table.notes if "mean over" in note]
    errors_ = error_rows(results, None)
    assert errors_.columns[3] == "error, 2 corruptions at severity 3"
    assert not [note for note in errors_.notes if "mean over" in note]


def test_an_error_over_a_part_of_what_was_run_says_over_which() -> None:
    rows = [record(190), *five("fog", 190, 10), *five("spatter", 100, 0)]
    table = error_rows(results_of(rows), None)
    assert percents(table) == [["resnet20", "-", "5.0", "15.0"]]
    assert "error: of fog." in table.notes
    alone = error_rows(results_of(rows[:6]), None)
    assert not [note for note in alone.notes if "error: of" in note], "all that was run"


def test_corruptions_stand_in_one_order_whoever_was_asked() -> None:
    first = {"fog": {}, "gaussian_noise(seed=1)": {}, "lines": {}}
    second = {"lines": {}, "gaussian_noise": {}}
    (table,) = corruptions.side_by_side({"a": first, "b": second}, lambda row: ABSENT, "")
    assert [row[0] for row in table.rows] == ["gaussian_noise", "gaussian_noise(seed=1)", "fog", "lines"]
