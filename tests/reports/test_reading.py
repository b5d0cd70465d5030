"""Names that would be ambiguous get what tells them apart; what has no images is no result."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from robustbench_sdnet.reports.results import Results, Subject, lambda_text
from robustbench_sdnet.reports.tables.corruptions import grid
from robustbench_sdnet.specs import CorruptionSpec, LambdaSpec

from .made_records import DATA, RESNET, SDNET, attack, corruption, record, results_of


def test_two_models_of_one_name_get_the_start_of_their_hash() -> None:
    rows = [record(190), record(180, model=replace(RESNET, weights="fedcba98" * 8))]
    names = {result.subject.model for result in results_of(rows).all}
    assert names == {"resnet20 [01234567]", "resnet20 [fedcba98]"}


def test_of_two_answers_to_one_question_the_stronger_stands() -> None:
    old, new = (attack("pgd", "8/255", right) for right in (20, 22))
    newer = replace(new.cell, perturbation=replace(new.cell.perturbation, version=2), precision="bfloat16")
    rows = [old, replace(new, id=newer.id, cell=newer), record(190)]
    assert [(result.name, result.right) for result in results_of(rows).all] == [
        ("clean", 190),
        ("pgd", 20),
    ]


def test_models_searched_at_two_precisions_are_told_apart() -> None:
    rows = [
        attack("pgd", "8/255", 20),
        attack("pgd", "8/255", 22, model=SDNET, lam=0.1, precision="bfloat16"),
        record(190),
    ]
    names = [result.name for result in results_of(rows).all]
    assert names == ["clean", "pgd [float32]", "pgd [bfloat16]"]


def test_versions_of_another_data_set_are_not_named() -> None:
    """Elastic transform has version 1 for images of 32 pixels and version 2 for larger ones."""
    large = replace(DATA, name="imagenet", content="1" * 64)
    spec = CorruptionSpec(name="elastic_transform", severity=1)
    rows = [record(1, spec=spec), record(1, spec=replace(spec, version=2, table="imagenet"), data=large)]
    assert {result.name for result in results_of(rows).all} == {"elastic_transform"}
    rows += [record(1, spec=replace(spec, version=2), model=SDNET, lam=0.1)]
    found = {(result.data.label, result.name) for result in results_of(rows).all}
    digits = {("digits", f"elastic_transform [version {number}]") for number in (1, 2)}
    assert found == {("imagenet", "elastic_transform"), *digits}


def test_an_eps_curve_on_survivors_keeps_one_name() -> None:
    first = attack("pgd", "4/255", 60)
    rows = [first, attack("pgd", "8/255", 20, parents=(first.id,))]
    assert [result.name for result in results_of(rows).all] == ["pgd", "pgd"]


def test_a_worst_case_without_common_images_is_no_result() -> None:
    made = [attack("pgd", "8/255", 20, model=SDNET, lam=0.1, lam_attack=lam) for lam in (0.1, 0.5)]
    elsewhere = replace(made[1], outcome=replace(made[1].outcome, ids=made[1].outcome.ids + 1000))
    assert [r.kind for r in results_of(made).all] == ["attack", "worst_case", "transfer"]
    assert [r.kind for r in results_of([made[0], elsewhere]).all] == ["attack", "transfer"]


def test_data_of_one_name_but_other_content_are_told_apart() -> None:
    rows = [record(190), record(180, data=replace(DATA, content="0" * 64))]
    assert set(results_of(rows).data) == {"digits [ffffffff]", "digits [00000000]"}


def test_a_model_and_a_lambda_stand_on_the_data_that_they_were_asked_on() -> None:
    other = replace(DATA, name="letters", content="0" * 64)
    rows = [record(190), record(180, data=other, model=SDNET, lam=0.5), record(180, model=SDNET, lam=0.1)]
    results = results_of([*rows, corruption("fog", 5, 50, model=SDNET, lam=0.05)])
    told = {data: [subject.label for subject in results.subjects(data)] for data in results.data}
    assert told == {
        "digits": ["resnet20", "sdnet20 @ 0.05", "sdnet20 @ 0.1"],
        "letters": ["sdnet20 @ 0.5"],
    }


def test_no_answer_hides_another() -> None:
    options = replace(RESNET, options=(("n_steps", 4),))
    rows = [
        attack("autoattack/square", "8/255", right, model=m) for right, m in ((20, RESNET), (22, options))
    ]
    found = results_of(rows).all
    assert {result.name for result in found} == {"autoattack"}
    assert len({result.subject.model for result in found}) == 2, "what was built otherwise is another model"
    lams = ((0.1, 100), (0.2, 100), (0.3, 100), (0.4, 200), (0.5, 200), (0.6, 200))
    swept = [corruption("fog", 5, 50, n, model=SDNET, lam=lam) for lam, n in lams]
    bounds = [result for result in results_of(swept).all if result.subject.lam.upper_bound]
    assert [result.name for result in bounds] == [f"fog [cell {result.cell[:6]}]" for result in bounds]
    assert len(bounds) == len({result.name for result in bounds}) == 2


def test_a_chain_with_other_settings_is_a_chain_too() -> None:
    stages = [attack(f"autoattack(variant=rand)/{name}", "8/255", 20) for name in ("apgd-ce", "apgd-dlr")]
    found = {result.name: result for result in results_of(stages).all}
    assert set(found) == {"autoattack(variant=rand)/apgd-ce", "autoattack(variant=rand)"}
    assert found["autoattack(variant=rand)"].passes == (2, 0)
    assert [result.is_stage for result in found.values()].count(True) == 1


def test_numbers_in_names_and_lambdas_stand_by_their_value() -> None:
    lams = [LambdaSpec("10", "all"), LambdaSpec("2", "all"), LambdaSpec("10"), LambdaSpec("2")]
    rows = [replace(one, cell=replace(one.cell, lam=lam)) for lam in lams for one in [record(1, model=SDNET)]]
    named = [LambdaSpec("calibrated"), LambdaSpec("label-free")]
    rows += [
        replace(one, cell=replace(one.cell, lam=lam)) for lam in named for one in [record(1, model=SDNET)]
    ]
    rows = [replace(one, id=one.cell.id) for one in rows]
    results = results_of(rows)
    told = [lambda_text(lam) for lam in results.lambdas("digits", "sdnet20")]
    assert told == ["2", "10", "all:2", "all:10", "calibrated", "label-free"]
    seeds = [replace(CorruptionSpec(name="fog", severity=1), seed=seed) for seed in (10, 2)]
    found = results_of(record(1, spec=spec) for spec in seeds)
    assert [result.name for result in found.all] == ["fog(seed=2)", "fog(seed=10)"]
    assert list(grid(found, Subject("digits", "resnet20"), "generated")) == ["fog(seed=2)", "fog(seed=10)"]


def test_a_question_about_a_model_looks_at_no_other() -> None:
    (own,) = results_of([record(190)]).all
    other: Any = SimpleNamespace(subject=Subject("digits", "sdnet20"))  # without a kind to look at
    results = Results((own, other))
    assert list(results.of("clean", data="digits", model="resnet20")) == [own]
    assert list(results.of("clean", data="digits", model="none")) == []
