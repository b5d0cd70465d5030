"""Attack tables: noise beside every attack, transfer apart, what is not to be trusted marked."""

from __future__ import annotations

from robustbench_sdnet.answers.answered import Answered
from robustbench_sdnet.answers.comparisons import comparisons
from robustbench_sdnet.answers.trust import Finding
from robustbench_sdnet.reports.content import build
from robustbench_sdnet.reports.document import Table
from robustbench_sdnet.reports.numbers import Estimate, Missing
from robustbench_sdnet.reports.results import Results, Subject
from robustbench_sdnet.reports.tables import attacks, lambdas
from robustbench_sdnet.reports.tables.comparisons import significant_table
from robustbench_sdnet.reports.tables.distances import accuracy_at, distance_table
from robustbench_sdnet.reports.tables.overview import headline_budget, is_usual, overview
from robustbench_sdnet.specs import Eps

from .made_records import FAILED, PASSED, SDNET, attack, corruption, lam_spec, record, results_of, snapshot
from .printed import percents


def matrix_records() -> list[Answered]:
    """PGD at two lambdas, each evaluated at both: deployed at 0.1 18 images survive both, at 0.5 28."""
    rows = [record(190, model=SDNET, lam=lam) for lam in (0.1, 0.5)]
    for made, deployed, right, first in (
        (0.1, 0.1, 20, 0),
        (0.1, 0.5, 120, 2),
        (0.5, 0.1, 90, 2),
        (0.5, 0.5, 30, 0),
    ):
        rows.append(attack("pgd", "8/255", right, model=SDNET, lam=deployed, lam_attack=made, first=first))
    return rows


def test_noise_of_the_same_eps_and_lambda_stands_beside_an_attack() -> None:
    rows = [
        attack("pgd", "4/255", 100),
        attack("pgd", "8/255", 40, findings=(FAILED,), passes=(900, 700)),
        attack("noise", "4/255", 184),
        attack("noise", "4/255", 182, shown="draws=2"),
        attack("noise", "4/255", 180, shown="draws=10"),
    ]
    table = attacks.attack_table(results_of(rows), "digits", "resnet20")
    # Of several noises the one that leaves least: 180 of 200, 90 %.
    # 900 forward and 700 backward passes for 200 images: 4.5 + 3.5 an image.
    assert percents(table) == [
        ["pgd", "-", "linf 4/255", "50.0", "90.0", "1.0 + 0.0", "unchecked"],
        ["pgd", "-", "linf 8/255", "20.0", "-", "4.5 + 3.5", "untrusted"],
    ]
    number = table.rows[1][3]
    assert isinstance(number, Estimate)
    assert number.untrusted


def test_eps_are_ordered_by_value_and_gaps_are_dashes() -> None:
    rows = [
        record(190),
        *(attack("pgd", eps, right) for eps, right in (("8/255", 20), ("0.01", 120), ("2/255", 150))),
    ]
    rows += [record(180, model=SDNET, lam=0.1), attack("pgd", "8/255", 10, model=SDNET, lam=0.1)]
    results = results_of(rows)
    table = attacks.eps_table(results, "digits", "linf", results.main_subjects("digits"))
    # 2/255 = 0.0078 lies below 0.01, which lies below 8/255.
    assert table.columns == ("model", "perturbation", "clean", "2/255", "0.01", "8/255")
    assert percents(table) == [
        ["resnet20", "pgd", "95.0", "75.0", "60.0", "10.0"],
        ["sdnet20 @ 0.1", "pgd", "90.0", "-", "-", "5.0"],
    ]


def test_noise_and_stages_are_shown_where_no_attack_was_run_beside_or_to_its_end() -> None:
    """The figure drew noise of any eps; without an attack no accuracy under it stood anywhere."""
    noises = [attack("noise", eps, right) for eps, right in (("8/255", 160), ("16/255", 120))]
    (table,) = _attack_chapter([record(190), *noises])
    assert table.columns[2:] == ("clean", "8/255", "16/255")
    assert percents(table) == [["resnet20", "noise", "95.0", "80.0", "60.0"]]
    (table, _) = _attack_chapter([record(190), *noises, attack("pgd", "8/255", 20)])
    assert percents(table) == [
        ["resnet20", "pgd", "95.0", "10.0", "-"],
        ["resnet20", "noise", "95.0", "80.0", "60.0"],
    ]
    (table,) = _attack_chapter([record(190), attack("autoattack/apgd-ce", "8/255", 20)])
    assert percents(table)[0][:4] == ["autoattack/apgd-ce", "-", "linf 8/255", "10.0"]


def _attack_chapter(answers: list[Answered]) -> list[Table]:
    chapters = (
        one for one in build(snapshot(answers)).sections if one.title in ("Attacks", "resnet20: attacks")
    )
    return [table for chapter in chapters for table in chapter.tables]


def test_transfer_is_a_matrix_of_its_own_and_marked() -> None:
    (table,) = attacks.transfer_tables(results_of(matrix_records()), "digits", "sdnet20")
    # Rows: made at. Diagonal: 20/200 and 30/200. Transfer: 120/200 and 90/200. Worst case: 18 and 28.
    assert percents(table) == [
        ["0.1", "10.0", "60.0"],
        ["0.5", "45.0", "15.0"],
        ["worst case", "9.0", "14.0"],
    ]
    marks = [[isinstance(item, Estimate) and item.transfer for item in row[1:]] for row in table.rows]
    assert marks == [[False, True], [True, False], [False, False]]
    only_shown = [
        row
        for row in matrix_records()
        if row.cell.lam != row.cell.lam_attack or row.cell.lam != lam_spec(0.1)
    ]
    (table,) = attacks.transfer_tables(results_of(only_shown), "digits", "sdnet20")
    assert percents(table)[:2] == [["0.1", "-", "60.0"], ["0.5", "45.0", "15.0"]], "in order all the same"


def test_transfer_is_never_robust_accuracy() -> None:
    only_transfer = [row for row in matrix_records() if row.cell.kind in ("clean", "transfer")]
    results = results_of(only_transfer)
    subject = Subject("digits", "sdnet20", lam_spec(0.1))
    assert attacks.strongest(results, subject, "linf", "8/255") is None
    assert attacks.attack_table(results, "digits", "sdnet20").rows == ()
    assert lambdas.attack_tables(results, "digits", "sdnet20") == []
    assert headline_budget(results, "digits") is None
    assert overview(results, "digits").columns == ("model", "lambda", "clean")


def test_the_worst_case_is_what_the_overview_shows() -> None:
    table = overview(results_of(matrix_records()), "digits")
    assert table.columns == ("model", "lambda", "clean", "linf 8/255", "by")
    assert any(note.startswith("linf 8/255: the lowest accuracy that an attack") for note in table.notes)
    # The direct attack at lambda 0.1 leaves 10 %, the worst case over attack lambdas 9 %.
    assert percents(table) == [["sdnet20", "0.1", "95.0", "9.0", "worst case of pgd"]]


def test_the_headline_is_what_most_were_attacked_at_then_the_usual_then_the_largest() -> None:
    def headline(*answers: Answered) -> str:
        found = headline_budget(results_of(answers), "digits")
        return f"{found[0]} {found[1]}" if found else ""

    most = attack("pgd", "2/255", 90, model=SDNET, lam=0.1)
    assert headline(most, *(attack("pgd", eps, 90) for eps in ("2/255", "8/255"))) == "linf 2/255"
    assert headline(*(attack("pgd", eps, 90) for eps in ("2/255", "8/255", "16/255"))) == "linf 8/255"
    assert headline(*(attack("pgd", eps, 90) for eps in ("2/255", "4/255"))) == "linf 4/255"
    assert headline(attack("fmn", None, 0, 4, distances=[0.1] * 4)) == ""
    assert not is_usual("l2", Eps.parse("8/255", "l2"))


def test_the_strongest_is_of_those_on_the_most_images_and_of_equals_the_whole_one() -> None:
    subject, eps = Subject("digits", "resnet20"), Eps.parse("8/255")

    def by(*answers: Answered) -> str:
        found = attacks.strongest(results_of(answers), subject, "linf", eps)
        return attacks.display_name(found) if found else ""

    pgd = attack("pgd", "8/255", 60)
    assert by(pgd, attack("square", "8/255", 1, 10)) == "pgd"
    assert by(pgd, attack("autoattack/apgd-ce", "8/255", 60)) == "pgd", "not a stage of what was stopped"
    own = {"model": SDNET, "lam": 0.1}
    both = results_of([attack("pgd", "8/255", 60, lam_attack=made, **own) for made in (0.1, 0.5)])
    found = attacks.strongest(both, Subject("digits", "sdnet20", lam_spec(0.1)), "linf", eps)
    assert found is not None
    assert found.kind == "worst_case"


def test_no_diagnostic_is_of_a_worst_case() -> None:
    own = {"model": SDNET, "lam": 0.1}
    answers = [attack("pgd", "8/255", 60, lam_attack=made, findings=(PASSED,), **own) for made in (0.1, 0.5)]
    verdicts = {result.kind: result.verdict for result in results_of(answers).all}
    assert verdicts == {"attack": "trusted", "transfer": "trusted", "worst_case": "unchecked"}


def test_lambda_rows_hold_direct_attacks_alone() -> None:
    (table,) = lambdas.attack_tables(results_of(matrix_records()), "digits", "sdnet20")
    assert percents(table) == [["0.1", "95.0", "10.0"], ["0.5", "95.0", "15.0"]]


def test_lambda_rows_are_in_order_whatever_budgets_each_was_attacked_at() -> None:
    rows = [
        attack("pgd", eps, left, model=SDNET, lam=lam)
        for lam, eps, left in ((0.5, "2/255", 30), (0.1, "8/255", 20))
    ]
    (table,) = lambdas.attack_tables(results_of(rows), "digits", "sdnet20")
    assert table.columns == ("lambda", "clean", "2/255", "8/255")
    assert percents(table) == [["0.1", "-", "-", "10.0"], ["0.5", "-", "15.0", "-"]]


def test_lambdas_are_numbers_in_order_then_policies() -> None:
    rows = [record(190, model=SDNET, lam=lam) for lam in ("oracle", 1.0, 0.1, "calibrated", 0.5)]
    results: Results = results_of(rows)
    assert results.lambdas("digits", "sdnet20") == tuple(
        map(lam_spec, (0.1, 0.5, 1.0, "calibrated", "oracle"))
    )
    assert [s.label for s in results.main_subjects("digits")] == [
        "sdnet20 @ 0.1",
        "sdnet20 @ calibrated",
        "sdnet20 @ oracle (best number on test labels)",
    ]


def test_a_model_stands_at_its_training_lambda_else_at_its_first() -> None:
    for lams, main in (((0.05, 0.1), 0.1), ((0.5, 0.9), 0.5)):
        results = results_of([record(190, model=SDNET, lam=lam) for lam in lams])
        (subject,) = results.main_subjects("digits")
        assert subject.lam == lam_spec(main)
        assert results.subject_named("digits", "sdnet20") == subject
        assert results.subject_named("digits", f"sdnet20@{lams[0]}") == results.subjects("digits")[0]


def test_what_was_not_run_is_missing_in_the_overview() -> None:
    rows = [record(190), attack("pgd", "8/255", 10), record(180, model=SDNET, lam=0.1)]
    table = overview(results_of(rows), "digits")
    assert percents(table) == [["resnet20", "-", "95.0", "5.0", "pgd"], ["sdnet20", "0.1", "90.0", "-", "-"]]
    assert isinstance(table.rows[1][3], Missing)


def test_a_chain_is_one_attack_whose_stages_stand_before_it() -> None:
    stages = [("apgd-ce", 80), ("apgd-t", 60), ("fab-t", 60), ("square", 58)]
    rows = [
        attack(f"autoattack/{name}", "8/255", right, passes=(200 * place, 200))
        for place, (name, right) in enumerate(stages, 1)
    ]
    results = results_of([record(190), *rows])
    table = attacks.attack_table(results, "digits", "resnet20")
    # The chain's passes are those of all stages: (1 + 2 + 3 + 4) forward and 4 backward an image.
    assert [(row[0], row[5]) for row in percents(table)] == [
        ("autoattack/apgd-ce", "1.0 + 1.0"),
        ("autoattack/apgd-t", "2.0 + 1.0"),
        ("autoattack/fab-t", "3.0 + 1.0"),
        ("autoattack", "10.0 + 4.0"),
    ]
    against_eps = attacks.eps_table(results, "digits", "linf", results.main_subjects("digits"))
    assert percents(against_eps) == [["resnet20", "autoattack", "95.0", "29.0"]]
    assert percents(overview(results, "digits"))[0][3:] == ["29.0", "autoattack"]


def test_passes_are_an_image_however_many_images_each_attack_was_given() -> None:
    own: dict[str, object] = {"model": SDNET, "lam": 0.5}
    direct = attack("pgd", "8/255", 100, 1000, passes=(20_000, 20_000), **own)
    # Made at 0.1 and shown at 0.5, one pass an image, to the first hundred alone.
    transfer = attack("pgd", "8/255", 60, 100, lam_attack=0.1, passes=(100, 0), **own)
    table = attacks.attack_table(results_of([direct, transfer]), "digits", "sdnet20")
    assert [(row[0], row[5]) for row in percents(table)] == [
        ("pgd", "20.0 + 20.0"),
        ("worst case of pgd", "21.0 + 20.0"),
    ]
    assert table.notes[-1].startswith("worst case: images that survive every perturbation of that attack")


def test_all_attacks_of_a_norm_share_a_table_with_noise_below() -> None:
    rows = [
        record(190),
        attack("pgd", "8/255", 20),
        attack("fgsm", "4/255", 120),
        attack("pgd", "0.5", 90, norm="l2"),
    ]
    rows.append(attack("noise", "8/255", 180))
    results = results_of(rows)
    table = attacks.eps_table(results, "digits", "linf", results.main_subjects("digits"))
    assert percents(table) == [
        ["resnet20", "fgsm", "95.0", "60.0", "-"],
        ["resnet20", "pgd", "95.0", "-", "10.0"],
        ["resnet20", "noise", "95.0", "-", "90.0"],
    ]


def test_diagnostics_say_what_failed_and_why() -> None:
    passed = Finding("zero_gradient", "pass", 0.0, "No gradient is zero.")
    unknown = Finding("rough_loss", "not_run", None, "Not asked for.")
    rows = [
        attack("pgd", "4/255", 100, findings=(passed, unknown)),
        attack("pgd", "8/255", 40, findings=(passed, FAILED, unknown)),
        attack("fgsm", "8/255", 60),
    ]
    results = results_of(rows)
    table = attacks.diagnostics_table(results, "digits")
    assert table is not None
    assert percents(table) == [
        ["resnet20", "pgd", "linf 4/255", "-", "pass", "1 check", "-", "-", "1 not run"],
        [
            *("resnet20", "pgd", "linf 8/255", "-", "fail", "noise_wins", "7", "60"),
            "Noise breaks 7 samples more.",
        ],
    ]
    assert attacks.diagnostics_table(results_of([attack("fgsm", "8/255", 60)]), "digits").rows == ()
    warned = attack(
        "pgd", "8/255", 40, findings=(PASSED, Finding("rough_loss", "warn", 0.4, "It is rough.", 9))
    )
    (row,) = percents(attacks.diagnostics_table(results_of([warned]), "digits"))
    assert row[4:] == ["warn", "rough_loss", "0.4", "9", "It is rough."], "and no word of those that passed"


def test_a_minimal_norm_attack_stands_at_every_eps_and_in_a_table_of_its_own() -> None:
    # The image where nothing was found is right, and at an infinite distance.
    sought = attack("fab-t", None, 1, n=4, distances=[9.0, 0.0, 2 / 255, 4 / 255])
    rows = [record(3, 4), attack("pgd", "3/255", 2, n=4), sought]
    results = results_of(rows)
    table = attacks.eps_table(results, "digits", "linf", results.main_subjects("digits"))
    assert table.columns == ("model", "perturbation", "clean", "3/255")
    # Above 3/255 lie two of the four distances.
    assert percents(table) == [
        ["resnet20", "pgd", "75.0", "50.0"],
        ["resnet20", "fab-t, by distance", "75.0", "50.0"],
    ]
    (note,) = table.notes
    assert note.startswith("by distance: ")
    other = results_of([*rows, attack("pgd", "3/255", 1, n=4, model=SDNET, lam=0.1)])
    table = attacks.eps_table(other, "digits", "linf", other.main_subjects("digits"))
    assert [row[1] for row in table.rows] == ["pgd", "fab-t, by distance", "pgd"], (
        "of the model that it attacked"
    )
    quantiles = distance_table(results, "digits")
    assert quantiles is not None
    (row,) = quantiles.rows
    # Of four images one is wrong at 0, two within 2/255, three within 4/255; four are too few for any lower end.
    assert row == ("fab-t", "linf, 1/255", "resnet20", "-", "0 (0-...)", "2 (0-...)", "4 (0-...)", "4")


def test_without_minimal_norm_attacks_there_is_no_table_of_distances() -> None:
    assert distance_table(results_of([attack("pgd", "3/255", 2)]), "digits").rows == ()


def test_a_difference_that_rests_on_a_weak_attack_is_marked() -> None:
    doubted, sure = [
        (
            attack("pgd", "8/255", 150, findings=kind),
            attack("pgd", "8/255", 60, findings=other, model=SDNET, lam=0.1),
        )
        for kind, other in (((FAILED,), ()), ((), (FAILED,)))
    ]
    for answers, marked in (
        (doubted, ("75.0 untrusted", "30.0", "resnet20 (untrusted)")),
        # What a weak attack left right is no more than that: the other side is better whatever a strong one finds.
        (sure, ("75.0", "30.0 untrusted", "resnet20")),
    ):
        table = significant_table(comparisons(snapshot(answers)))
        (line,) = table.rows
        assert (*line[4:6], line[-1]) == marked
        assert any(note.startswith("untrusted:") for note in table.notes)
    beside = comparisons(snapshot([*doubted, record(190), record(100, model=SDNET, lam=0.1)]))
    assert any(note.startswith("untrusted:") for note in significant_table(beside).notes), (
        "one mark is enough"
    )
    alike = (attack("pgd", "8/255", 60, findings=(FAILED,)), attack("pgd", "8/255", 60, model=SDNET, lam=0.1))
    table = significant_table(comparisons(snapshot(alike)))
    assert not table.rows
    assert not any("untrusted" in note for note in table.notes), "nothing here bears the mark"


def test_a_difference_stands_beside_its_severity_or_budget() -> None:
    own: dict[str, object] = {"model": SDNET, "lam": 0.1}
    answers = [record(190), record(100, **own)]
    answers += [corruption("fog", 2, 150), corruption("fog", 2, 60, **own)]
    answers += [attack("pgd", "4/255", 150), attack("pgd", "4/255", 60, **own)]
    rows = significant_table(comparisons(snapshot(answers))).rows
    assert [row[2] for row in rows] == ["clean", "fog 2", "pgd, linf 4/255"]


def test_an_untrusted_distance_is_marked() -> None:
    spans = [0.01 * (k + 1) for k in range(20)]
    rows = [attack("fmn", None, 0, 20, distances=spans, findings=(FAILED,))]
    (row,) = distance_table(results_of(rows), "digits").rows
    assert all(" untrusted (" in text for text in row[4:7])
    # The tenth of 20, and the sixth and fifteenth: P(X <= 5) = 0.021 and P(X <= 14) = 0.979 of 20 fair coins.
    assert row[5] == "25.5 untrusted (15.3-38.3)"
    # The fifth, second and tenth: P(X <= 1) = 0.024 and P(X <= 9) = 0.986 where a quarter is within.
    assert row[4] == "12.8 untrusted (5.1-25.5)"
    assert [text.split()[0] for text in row[4:7]] == ["12.8", "25.5", "38.3"], (
        "the fifth, tenth and fifteenth"
    )


def test_what_breaks_at_a_budget_is_broken_within_it() -> None:
    sought = attack("fmn", None, 0, 4, norm="l2", distances=[0.25, 0.5, 0.5, 1.0], findings=(FAILED,))
    (result,) = results_of([sought]).of("attack")
    found = accuracy_at(result, 0.5)
    assert (found.accuracy, found.n, found.untrusted) == (0.25, 4, True)


def test_an_accuracy_by_distance_is_of_the_images_that_were_sought() -> None:
    of: dict[str, object] = {"n": 4, "images": range(100, 104)}
    sought = attack("fmn", None, 1, distances=[9.0, 0.0, 2 / 255, 4 / 255], **of)
    results = results_of([record(3, **of), attack("pgd", "3/255", 2, **of), sought])
    table = attacks.eps_table(results, "digits", "linf", results.main_subjects("digits"))
    assert table.images == "4 images (100-103)"
    beside = [
        item.count_beside(table.usual_image_set)
        for row in table.rows
        for item in row
        if isinstance(item, Estimate)
    ]
    assert beside == ["", "", "", ""], "all are of the same images"
