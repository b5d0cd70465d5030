"""What was run is said exactly: models and data by hash, every parameter, and what it cost."""

from __future__ import annotations

from dataclasses import replace

from robustbench_sdnet.reports.tables import provenance
from robustbench_sdnet.specs import CorruptionSpec

from .made_records import DATA, SDNET, attack, corruption, lam_spec, network, record, rows_of, study
from .printed import percents


def test_models_and_data_by_hash() -> None:
    rows = provenance.in_order(study(lambdas=[0.1, 0.5]))
    assert percents(provenance.model_table(rows)) == [
        ["resnet20", "resnet20", "0123456789abcdef", "-"],
        ["sdnet20", "sdnet20", "0123456789abcdef", "0.1, 0.5"],
    ]
    assert percents(provenance.data_table(rows)) == [["digits", "f" * 16, "200"]]


def test_many_lambdas_are_a_span_and_policies_are_named() -> None:
    lams = [0.1, 0.2, 0.3, 0.4, 0.5, "calibrated"]
    rows = [record(190, model=SDNET, lam=lam) for lam in lams]
    assert percents(provenance.model_table(rows))[0][3] == "0.1 to 0.5 (5), calibrated"


def test_corruptions_with_severities_source_seed_and_images() -> None:
    rows = [corruption("fog", severity, 100) for severity in (1, 2, 3)]
    rows += [corruption("snow", severity, 100) for severity in (1, 5)]
    rows.append(corruption("snow", 5, 50, n=100, model=network("other")))
    table = provenance.corruption_table(rows)
    assert table is not None
    assert percents(table) == [
        ["fog", "1-3", "generated", "0", "1", "1", "200"],
        ["snow", "1, 5", "generated", "0", "1", "2", "100, 200"],
    ]
    stored = record(100, spec=CorruptionSpec(name="fog", severity=1, stored="jpeg85"))
    assert percents(provenance.corruption_table([rows[0], stored])) == [
        ["fog", "1", "generated", "0", "1", "1", "200"],
        ["fog", "1", "generated, stored as jpeg85", "0", "1", "1", "200"],
    ]
    levels = [
        record(100, spec=CorruptionSpec(name="gaussian_noise", level=level)) for level in ("0.1", "0.2")
    ]
    found = percents(provenance.corruption_table(levels))
    assert [(row[0], row[1]) for row in found] == [("gaussian_noise@0.1", "-"), ("gaussian_noise@0.2", "-")]
    assert provenance.corruption_table([record(190)]).rows == ()


def test_attacks_with_every_parameter() -> None:
    rows = [attack("pgd", eps, 100) for eps in ("8/255", "2/255")]
    rows.append(attack("pgd", "8/255", 90, steps=40, settings={"restarts": 5}))
    table = provenance.attack_table(rows)
    assert table is not None
    assert percents(table) == [
        ["pgd", "attack", "linf", "2/255, 8/255", "-", "float32", "1", "200"],
        ["pgd", "attack", "linf", "8/255", "-", "float32", "1", "200"],
    ]
    assert table.notes == (
        "pgd (attack, linf): seed 0, steps 20, version 1",
        "pgd (attack, linf): restarts 5, seed 0, steps 40, version 1",
    )


def test_parameters_that_differ_say_in_which_norm() -> None:
    alike = [attack("pgd", "8/255", 100), attack("pgd", "0.5", 90, norm="l2")]
    assert provenance.attack_table(alike).notes == ("pgd (attack): seed 0, steps 20, version 1",)
    other = [alike[0], attack("pgd", "0.5", 90, norm="l2", steps=40)]
    assert set(provenance.attack_table(other).notes) == {
        "pgd (attack, linf): seed 0, steps 20, version 1",
        "pgd (attack, l2): seed 0, steps 40, version 1",
    }


def test_budgets_are_spelled_as_everywhere() -> None:
    rows = [attack("pgd", eps, 100) for eps in ("96/255", "3/255")] + [attack("pgd", "0.5", 90, norm="l2")]
    rows.append(attack("fab-t", None, 0, 4, distances=[0.1] * 4))
    assert [row[3] for row in percents(provenance.attack_table(rows))] == ["3/255, 96/255", "0.5", "-"]


def test_cost_is_summed_over_cells_once() -> None:
    costs = ((1, 1.5, 100), (2, 2.25, 300))
    rows = [
        corruption("fog", level, 100, seconds=seconds, memory_mib=memory) for level, seconds, memory in costs
    ]
    plain = rows_of(rows)
    oracle = replace(plain[0], lam=lam_spec("oracle"), cells=(*plain[0].cells, *plain[1].cells))
    elsewhere = rows_of([corruption("fog", 1, 100, seconds=4, data=replace(DATA, split="train"))])
    table = provenance.cost_table([*plain, oracle, *elsewhere])
    # 1.5 + 2.25 seconds, the larger memory, 200 forward passes each; the oracle is made of answers already counted.
    assert percents(table) == [
        ["resnet20", "digits", "fog", "cpu", "-", "3.8", "300", "400", "0"],
        ["resnet20", "digits (train)", "fog", "cpu", "-", "4.0", "-", "200", "0"],
    ]


def test_software_is_named() -> None:
    rows = [record(190), record(180, versions=({"torch": "2.1"}, {"torch": "2.0"}))]
    assert provenance.versions_text(rows) == "numpy 2.0, torch 2.0; torch 2.0; torch 2.1"
    assert provenance.versions_text([]) == "not recorded"
