"""Tables of attacks and lambdas: every number is looked up in the answers, by what its row and column say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from robustbench_sdnet.answers.answered import Answered
from robustbench_sdnet.answers.searches import Optimality
from robustbench_sdnet.answers.trust import Finding
from robustbench_sdnet.reports.plots import panels
from robustbench_sdnet.reports.results import Results
from robustbench_sdnet.reports.tables import attacks, lambdas
from robustbench_sdnet.reports.tables.distances import optimality_table
from robustbench_sdnet.reports.tables.overview import everything

from .made_records import DATA, FAILED, SDNET, attack, corruption, record, results_of
from .printed import percents

LAMS = (0.1, 0.5, "calibrated")
NAMES, NORMS, BUDGETS = ("fgsm", "pgd"), ("l2", "linf"), ("0.05", "0.1")
Key = tuple[object, ...]


def attacked() -> tuple[dict[Key, float], Results]:
    """By attack, norm, eps, made and deployed lambda the per cent that is right, another in each; and all of it."""
    counts = iter(range(1, 200))
    right: dict[Key, int] = {(): 190}
    rows: list[Answered] = []
    for place, lam in enumerate(LAMS):
        right["clean", lam] = 190 - place
        rows.append(record(190 - place, model=SDNET, lam=lam))
    for name, norm, eps, made, deployed in product((*NAMES, "noise"), NORMS, BUDGETS, LAMS[:2], LAMS[:2]):
        if name != "noise" or made == deployed:
            of: dict[str, object] = {"model": SDNET, "lam": deployed, "lam_attack": made, "norm": norm}
            right[name, norm, eps, made, deployed] = count = next(counts)
            rows.append(attack(name, eps, count, **of))
    return {key: count / 2 for key, count in right.items()}, results_of(rows)


def test_each_attack_stands_beside_the_noise_of_its_norm_eps_and_lambda() -> None:
    share, results = attacked()
    lines = percents(attacks.attack_table(results, "digits", "sdnet20"))

    def expected() -> Iterator[list[str]]:
        for norm, eps, lam in product(NORMS, BUDGETS, LAMS[:2]):
            noise = f"{share['noise', norm, eps, lam, lam]:.1f}"
            for name in NAMES:
                yield [name, str(lam), f"{norm} {eps}", f"{share[name, norm, eps, lam, lam]:.1f}", noise]
            for name in NAMES:  # all begin at the first image, so that the smaller set is in the larger
                left = min(share[name, norm, eps, made, lam] for made in LAMS[:2])
                yield [f"worst case of {name}", str(lam), f"{norm} {eps}", f"{left:.1f}", noise]

    assert [line[:5] for line in lines] == list(expected())


def test_a_table_of_a_norm_holds_nothing_of_another() -> None:
    share, results = attacked()
    subjects = results.subjects("digits")[:2]
    for norm in NORMS:
        table = attacks.eps_table(results, "digits", norm, subjects)
        assert table.columns[3:] == BUDGETS
        assert percents(table) == [
            [f"sdnet20 @ {lam}", name, f"{share['clean', lam]:.1f}"]
            + [f"{share[name, norm, eps, lam, lam]:.1f}" for eps in BUDGETS]
            for lam in LAMS[:2]
            for name in (*NAMES, "noise")
        ]


def test_transfer_is_of_one_attack_norm_and_eps() -> None:
    share, results = attacked()
    tables = attacks.transfer_tables(results, "digits", "sdnet20")
    asked = list(product(NAMES, NORMS, BUDGETS))
    assert [table.title for table in tables] == [f"{name}, {norm} {eps}" for name, norm, eps in asked]
    for table, (name, norm, eps) in zip(tables, asked, strict=True):
        grid = [[share[name, norm, eps, made, lam] for lam in LAMS[:2]] for made in LAMS[:2]]
        worst = [min(column) for column in zip(*grid, strict=True)]
        assert [line[1:] for line in percents(table)] == [[f"{x:.1f}" for x in row] for row in (*grid, worst)]


def test_a_row_a_lambda_holds_what_was_made_at_it_by_one_attack() -> None:
    share, results = attacked()
    tables = lambdas.attack_tables(results, "digits", "sdnet20")
    asked = list(product(NAMES, NORMS))
    ends = "gradients at the deployed lambda"
    assert [table.title for table in tables] == [f"sdnet20: {name}, {norm}: {ends}" for name, norm in asked]
    for table, (name, norm) in zip(tables, asked, strict=True):
        assert table.columns == ("lambda", "clean", *BUDGETS)
        assert percents(table) == [
            [str(lam), f"{share['clean', lam]:.1f}"]
            + [f"{share[name, norm, eps, lam, lam]:.1f}" for eps in BUDGETS]
            for lam in LAMS[:2]
        ]
    asked = [("l2", "0.5"), ("linf", "0.1")]
    rows = [attack("pgd", eps, 9, model=SDNET, lam=lam, norm=norm) for norm, eps in asked for lam in LAMS]
    found = lambdas.attack_tables(results_of(rows), "digits", "sdnet20")
    assert [table.columns[2:] for table in found] == [("0.5",), ("0.1",)], "budgets of its norm alone"
    alone = results_of([record(190, model=SDNET, lam=0.1), attack("pgd", "0.1", 9, model=SDNET, lam=0.1)])
    assert lambdas.attack_tables(alone, "digits", "sdnet20") == [], "one lambda is no comparison"


def test_a_sweep_has_every_lambda_severity_and_corruption() -> None:
    counts = iter(range(60, 200))
    right = {("clean", lam): next(counts) for lam in LAMS}
    rows = [record(right["clean", lam], model=SDNET, lam=lam) for lam in LAMS]
    # The first lambda was asked two severities, the others three; the last of them fog alone.
    asked = [(lam, name, s) for lam in LAMS for name in ("snow", "fog") for s in (1, 3, 5)]
    asked = [one for one in asked if one[0] != 0.1 or one[2] < 5]
    asked = [one for one in asked if one[:2] != ("calibrated", "snow")]
    for lam, name, severity in asked:
        right[lam, name, severity] = next(counts)
        rows.append(corruption(name, severity, right[lam, name, severity], model=SDNET, lam=lam))
    (swept,) = lambdas.sweeps(results_of(rows), "digits")

    def mean(*parts: Key) -> str:
        known = [right[part] / 2 for part in parts if part in right]
        return f"{sum(known) / len(known):.1f}" if len(known) == len(parts) else "-"

    assert swept.sets == [("fog",), ("snow", "fog")], "all lambdas were asked the one"
    levels = (1, 3, 5)
    for names, lams in zip(swept.sets, (LAMS, LAMS[:-1]), strict=True):
        table = lambdas.corruption_table(swept, names)
        assert table.columns == ("lambda", "clean", "1", "3", "5", "mean")
        assert percents(table) == [
            [
                *(str(lam), mean(("clean", lam))),
                *(mean(*((lam, name, s) for name in names)) for s in levels),
                mean(*((lam, name, s) for name in names for s in levels)),
            ]
            for lam in lams
        ]
    assert table.notes[1:] == ("lambda 0.1: not run: snow at severity 5, fog at severity 5.",)
    for table in lambdas.single_corruption_tables(swept):
        model, name = table.title.split(": ")
        assert model == swept.model
        lams = [lam for lam in LAMS if (lam, name, 1) in right]
        assert percents(table) == [
            [str(lam), *(mean(*((lam, name, s) for s in of)) for of in ((1,), (3,), (5,), levels))]
            for lam in lams
        ]


def test_a_sweep_leaves_out_what_was_run_at_the_main_lambda_alone() -> None:
    rows = [corruption(name, 5, 100, model=SDNET, lam=0.1) for name in ("fog", "snow", "frost")]
    rows += [corruption("fog", 5, 120, model=SDNET, lam=lam) for lam in (0.3, 0.5)]
    rows += [corruption("snow", 5, 160, model=SDNET, lam=0.5)]
    (swept,) = lambdas.sweeps(results_of(rows), "digits")
    assert swept.names == ("snow", "fog")


def test_what_another_lambda_was_asked_beside_a_sweep_leaves_its_mean() -> None:
    rows = [corruption("fog", 5, 100, model=SDNET, lam=lam) for lam in (0.1, 0.3, 0.5)]
    rows += [corruption("shot_noise", 5, 140, model=SDNET, lam=lam) for lam in (0.1, 0.3, 0.5)]
    rows += [corruption("snow", 5, 60, model=SDNET, lam=lam) for lam in (0.1, 0.5)]
    rows += [corruption("snow", severity, 60, model=SDNET, lam=0.5) for severity in (1, 2)]
    (swept,) = lambdas.sweeps(results_of(rows), "digits")
    assert swept.sets[0] == ("shot_noise", "fog"), "what most lambdas were asked"
    table = lambdas.corruption_table(swept, swept.sets[0])
    assert table.columns == ("lambda", "clean", "5", "mean"), "those severities alone"
    assert percents(table)[:3] == [[lam, "-", "60.0", "60.0"] for lam in ("0.1", "0.3", "0.5")]
    (every,) = (
        lambdas.corruption_table(swept, names) for names in swept.sets if set(names) == set(swept.names)
    )
    assert [row[:2] + row[-2:] for row in percents(every)] == [
        ["0.1", "-", "50.0", "-"],
        ["0.5", "-", "50.0", "-"],
    ]
    assert [panel.title for panel in panels.lambda_corruption_panels(swept)][:2] == ["mean of 2", "mean of 3"]


def test_a_reason_that_several_rows_share_stands_once() -> None:
    asked = [(lam, severity) for lam in (0.1, 0.3, 0.5) for severity in (1, 5)]
    asked = [one for one in asked if one not in ((0.1, 1), (0.3, 1), (0.5, 5))]
    rows = [corruption("fog", severity, 100, model=SDNET, lam=lam) for lam, severity in asked]
    (swept,) = lambdas.sweeps(results_of(rows), "digits")
    table = lambdas.corruption_table(swept, ("fog",))
    assert table.title == "sdnet20: fog, by severity", "of one corruption there is no mean"
    assert table.notes == (
        "lambda 0.1, 0.3: not run: fog at severity 1.",
        "lambda 0.5: not run: fog at severity 5.",
    )


def test_two_lambdas_that_both_stand_for_a_model_are_a_sweep() -> None:
    rows = [corruption("fog", 1, 150, model=SDNET, lam=lam) for lam in (0.1, "calibrated")]
    assert [one.model for one in lambdas.sweeps(results_of(rows), "digits")] == ["sdnet20"]


def test_everything_has_a_row_a_threat_with_its_passes_and_verdict() -> None:
    names = [f"corruption_{place}" for place in range(16)]
    rows = [record(190, passes=(400, 0)), *(corruption(name, 3, 100) for name in names[1:])]
    rows += [corruption(names[0], 3, 20), attack("pgd", "8/255", 60, passes=(900, 700), findings=(FAILED,))]
    rows += [attack("autoattack/apgd-ce", "4/255", 80), attack("fmn", None, 0, distances=[0.1] * 200)]
    table = everything(results_of(rows))
    # 15 times 50 % and once 10 %; a stage of what was stopped is known to leave no more.
    assert percents(table) == [
        ["resnet20", "-", "clean", "", "95.0", "2.0 + 0.0", ""],
        ["resnet20", "-", "16 corruptions", "severity 3", "47.5", "-", ""],
        ["resnet20", "-", "linf 4/255", "autoattack/apgd-ce", "40.0", "1.0 + 0.0", "unchecked"],
        ["resnet20", "-", "linf 8/255", "pgd", "30.0", "4.5 + 3.5", "untrusted"],
    ]
    other = record(10, data=replace(DATA, name="other", content="0" * 64))
    both = everything(results_of([rows[0], other]))
    assert both.columns[-1] == "data"
    assert [row[-1] for row in both.rows] == ["digits", "other"]


def test_a_dash_among_all_results_has_its_reason_below() -> None:
    part = [corruption(name, severity, 100) for name, severity in (("fog", 1), ("fog", 3), ("snow", 3))]
    table = everything(results_of([record(190), *part]))
    assert percents(table)[1] == ["resnet20", "-", "2 corruptions", "severities 1, 3", "-", "-", ""]
    assert table.notes[-1] == "resnet20: not run: snow at severity 1."
    other = record(10, data=replace(DATA, name="other", content="0" * 64))
    assert (
        everything(results_of([*part, other])).notes[-1] == "resnet20 on digits: not run: snow at severity 1."
    )


def test_notes_are_of_what_stands_above() -> None:
    def notes(*answers: Answered) -> list[str]:
        table = attacks.attack_table(results_of(answers), "digits", "resnet20")
        return [note.partition(":")[0] for note in table.notes][2:]

    assert notes(attack("pgd", "8/255", 60)) == []
    assert notes(attack("fmn", None, 0, 4, distances=[0.1] * 4)) == ["eps -"]
    assert notes(attack("autoattack/apgd-ce", "8/255", 60)) == ["chain/stage"]
    assert notes(attack("autoattack/square", "8/255", 60)) == []


def test_checks_that_passed_and_that_were_not_run_are_counted_apart() -> None:
    checks = [Finding(f"c{k}", "pass", 0.0, "", images) for k, images in enumerate((5, 9, 7))]
    checks += [Finding(f"n{k}", "not_run", None, "") for k in range(2)]
    (row,) = percents(
        attacks.diagnostics_table(results_of([attack("pgd", "8/255", 60, findings=tuple(checks))]), "digits")
    )
    assert row[4:] == ["pass", "3 checks", "-", "9", "2 not run"]


def test_each_number_of_a_search_stands_under_its_head() -> None:
    of: dict[str, object] = {"data": "d", "model": "m", "lam": None, "norm": "l2", "attack": "fmn", "n": 9}
    table = optimality_table([Optimality(**of, attacks=2, optimality=0.25, passes=1234.4)])
    told = {"attack": "fmn", "norm": "l2", "model": "m", "lambda": "-", "optimality": "0.250"}
    told |= {"passes/image": "1,234", "attacks": "2", "n": "9"}
    assert [dict(zip(table.columns, row, strict=True)) for row in table.rows] == [told]
