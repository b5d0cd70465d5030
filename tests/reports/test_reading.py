"""Names that would be ambiguous get what tells them apart; what has no images is no result."""

from __future__ import annotations

from robustbench_sdnet.reports.reading import read_results

from .made_records import attack, details, record


def test_two_models_of_one_name_get_the_start_of_their_hash() -> None:
    rows = [record(190), record(180, passes_forward=201)]
    provenance = details(rows)
    provenance[1]["weights"] = "fedcba98" * 8
    names = [result.subject.model for result in read_results(rows, provenance).all]
    assert names == ["resnet20 [01234567]", "resnet20 [fedcba98]"]


def test_equal_questions_at_two_precisions_are_told_apart() -> None:
    rows = [attack("pgd", "8/255", 20), attack("pgd", "8/255", 22, passes_forward=201), record(190)]
    provenance = details(rows)
    provenance[1]["precision"] = "bfloat16"
    names = [result.name for result in read_results(rows, provenance).all]
    assert names == ["pgd [float32]", "pgd [bfloat16]", "clean"]


def test_an_eps_curve_on_survivors_keeps_one_name() -> None:
    rows = [attack("pgd", "4/255", 60), attack("pgd", "8/255", 20)]
    provenance = details(rows)
    provenance[1]["parents"] = [rows[0]["cell"]]
    assert [result.name for result in read_results(rows, provenance).all] == ["pgd", "pgd"]


def test_a_worst_case_without_common_images_is_no_result() -> None:
    nothing = {"n": 0, "accuracy": float("nan"), "low": float("nan"), "high": float("nan")}
    rows = [attack("pgd", "8/255", 20), {**attack("pgd", "8/255", 0, kind="worst_case"), **nothing}]
    assert len(read_results(rows, details(rows)).all) == 1


def test_data_of_one_name_but_other_content_are_told_apart() -> None:
    rows = [record(190), record(180, passes_forward=201)]
    provenance = details(rows)
    provenance[1]["data_hash"] = "0" * 64
    assert read_results(rows, provenance).data == ("digits [ffffffff]", "digits [00000000]")


def test_no_answer_hides_another() -> None:
    rows = [
        attack("autoattack/square", "8/255", 20),
        attack("autoattack/square", "8/255", 22, passes_forward=201),
    ]
    names = [result.name for result in read_results(rows, details(rows)).all]
    assert names == [f"autoattack [cell {row['cell'][:6]}]" for row in rows]
