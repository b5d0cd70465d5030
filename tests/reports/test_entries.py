"""Rows of a leaderboard out of records: what counts as an accuracy under attack, and what a mean is over."""

from __future__ import annotations

import json
import re

import pytest

from robustbench_sdnet.errors import InputError
from robustbench_sdnet.reports.entries import budget, entries_of
from robustbench_sdnet.reports.leaderboard import leaderboard

RECORD = {
    "model": "m", "arch": "a", "data": "d", "kind": "attack", "perturbation": "pgd", "severity": None,
    "norm": "linf", "eps": "8/255", "lambda": None, "n": 10, "accuracy": 0.5, "low": 0.2, "high": 0.8,
    "source": "generated", "verdict": "unchecked", "cell": "",
}  # fmt: skip


def rows(tmp_path, *changed):
    """The entries of records that are `RECORD` but for what is `changed`."""
    (tmp_path / "r.json").write_text(json.dumps([RECORD | one for one in changed]))
    return list(entries_of(str(tmp_path / "r.json")))


def corrupted(name, accuracy, **told):
    nothing = {"norm": None, "eps": None}
    return nothing | {"kind": "corruption", "perturbation": name, "severity": 3, "accuracy": accuracy, **told}


def test_a_direct_attack_in_a_ball_alone_makes_a_row(tmp_path):
    others = [{"kind": kind, "accuracy": 0.1} for kind in ("noise", "transfer", "clean")]
    others += [{"perturbation": "fab-t", "eps": None, "accuracy": 0.0}, corrupted("fog", 0.2)]
    assert rows(tmp_path, *others) == []
    (row,) = rows(tmp_path, *others, {})
    assert (row.accuracy, row.by, row.clean, row.corruptions) == (0.5, "pgd", 0.1, 0.2)


@pytest.mark.parametrize("lam", ["calibrated:test-labels [fit 012345]", "all:oracle", "line-per-noise"])
def test_what_was_chosen_on_test_labels_is_no_row(lam, tmp_path):
    (row,) = rows(tmp_path, {"lambda": lam, "accuracy": 0.4}, {"lambda": 0.5})
    assert (row.lam, row.accuracy) == ("0.5", 0.5)


def test_of_equal_numbers_the_worst_case_stands(tmp_path):
    worst = {"kind": "worst_case"}
    for given in ([{}, worst], [worst, {}]):
        assert [row.by for row in rows(tmp_path, *given)] == ["worst case of pgd"]


def test_norms_and_data_and_weights_have_rows_of_their_own(tmp_path):
    for one in (
        {"norm": "l2"},
        {"data": "e"},
        {"arch": "b"},
        {"weights": "w"},
        {"lambda": 0.1},
        {"model": "n"},
    ):
        clean = {"kind": "clean", "norm": None, "eps": None}
        found = rows(tmp_path, {}, {"accuracy": 0.3} | one, clean | {"accuracy": 0.9})
        assert [(row.accuracy, row.clean) for row in found] == [
            (0.5, 0.9), (0.3, 0.9 if "norm" in one else None),
        ]  # fmt: skip


def test_autoattack_is_known_by_its_last_stage_with_whatever_settings(tmp_path):
    first, last = ({"perturbation": f"autoattack(seed=1)/{stage}"} for stage in ("apgd-ce", "square"))
    assert [row.autoattack for row in rows(tmp_path, first | {"accuracy": 0.4})] == [None]
    (row,) = rows(tmp_path, first | {"accuracy": 0.4}, last | {"accuracy": 0.4}, {"accuracy": 0.3})
    assert (row.by, row.accuracy, row.autoattack) == ("pgd", 0.3, 0.4)


@pytest.mark.parametrize("told", [{"table": "tiny"}, {"stored_as": "jpeg85"}, {"images": "5-14"}, {"n": 20}])
def test_a_mean_is_over_the_images_that_most_corruptions_were_run_on(told, tmp_path):
    given = [corrupted("speckle_noise", 0.6), corrupted("fog", 0.4), corrupted("snow", 0.0, **told)]
    for order in (given, given[::-1]):
        (row,) = rows(tmp_path, {}, *order)
        assert (row.corruptions, row.corruptions_over) == (0.5, "fog, speckle_noise; severity 3")
    for order in (given[1:], given[:0:-1]):  # one and one
        (row,) = rows(tmp_path, {}, *order)
        assert row.corruptions == 0.0, "of as many those on more images, then the last by name"


def test_a_published_mean_is_named_so(tmp_path):
    (row,) = rows(tmp_path, {}, corrupted("fog", 0.4, source="published"))
    assert row.corruptions_over == "fog; severity 3; published"


def test_a_budget_that_was_rounded_is_the_pixel_level_and_no_other_is():
    found = [budget(stated, "eps") for stated in (8 / 255, "0.031373", "8/255", "0.0313", "0.5", 1)]
    assert found == ["8/255", "8/255", "8/255", "0.0313", "0.5", "1"]


def test_a_quoted_norm_is_told_by_the_model_or_its_folder(tmp_path):
    info = {"eps": "0.5", "autoattack_acc": "50"}
    models = {"a": info | {"norm": "L2"}, "b": info | {"threat_model": "L2"}, "c": info, "d": {"eps": "0.5"}}
    models |= {"e": {"eps": "0.5", "external": "40", "autoattack_acc": "60"}}
    (tmp_path / "list.json").write_text(json.dumps(models))
    found = [(row.model, row.norm, row.accuracy) for row in entries_of(str(tmp_path / "list.json"))]
    assert found == [("a", "l2", 0.5), ("b", "l2", 0.5), ("c", "linf", 0.5), ("e", "linf", 0.4)]


def test_an_attack_that_was_also_the_first_stage_of_a_chain_is_one_answer(tmp_path):
    for name, asked in (("a.json", "apgd-ce"), ("b.json", "autoattack/apgd-ce")):
        (tmp_path / name).write_text(json.dumps([RECORD | {"perturbation": asked, "cell": "c"}]))
    board = leaderboard([str(tmp_path / name) for name in ("a.json", "b.json")], tmp_path / "board.html")
    assert [row["by"] for row in json.loads(board.with_suffix(".json").read_text())] == ["apgd-ce"]


def test_what_one_source_doubts_is_doubted_beside_more_images_of_another(tmp_path):
    doubted = RECORD | {"verdict": "untrusted"}
    whole = {"perturbation": "autoattack/square", "accuracy": 0.6, "cell": "d"}
    sources = {
        "a.json": [RECORD | {"n": 20, "cell": "c"}],
        "b.json": [doubted | {"cell": "c"}, doubted | whole],
    }
    for name, held in sources.items():
        (tmp_path / name).write_text(json.dumps(held))
    board = leaderboard([str(tmp_path / name) for name in sources], tmp_path / "board.html")
    (row,) = json.loads(board.with_suffix(".json").read_text())
    told = [row[key] for key in ("n", "untrusted", "autoattack", "autoattack_untrusted")]
    assert told == [20, True, 0.6, True]


def test_a_severity_is_one_of_five(tmp_path):
    with pytest.raises(InputError, match="severity must be a whole number from 1 to 5, got '6'"):
        rows(tmp_path, {}, corrupted("fog", 0.4, severity=6))


def test_every_number_of_the_page_stands_in_its_column(tmp_path):
    asked = [{"lambda": 0.5, "verdict": "untrusted", "weights": "w" * 64, "cell": "c" * 24}]
    asked += [asked[0] | {"perturbation": "autoattack/square", "accuracy": 0.6, "cell": "d" * 24}]
    asked += [asked[0] | {"kind": "clean", "norm": None, "eps": None, "accuracy": 0.9}]
    asked += [
        asked[0] | corrupted("fog", 0.7),
        {"accuracy": 0.4, "model": "b"},
        {"accuracy": 0.4, "model": "a"},
    ]
    (tmp_path / "r.json").write_text(json.dumps([RECORD | one for one in asked]))
    claim = {
        "name": "m",
        "dataset": "d",
        "eps": "8/255",
        "autoattack_acc": "52",
        "reported": "51",
        "link": "l",
    }
    (tmp_path / "list.json").write_text(json.dumps({"m": claim | {"corruptions_acc": "33"}}))
    board = leaderboard([str(tmp_path / name) for name in ("r.json", "list.json")], tmp_path / "board.html")
    (table,) = re.findall("<table.*?</table>", board.read_text(), re.DOTALL)
    head, *lines = (
        [
            " ".join(re.sub("<[^>]*>", " ", cell).split())
            for cell in re.findall("<t[hd].*?</t[hd]>", line, re.DOTALL)
        ]
        for line in re.findall("<tr.*?</tr>", table, re.DOTALL)
    )
    assert ["|".join(line) for line in lines] == [
        "m|-|d|linf|8/255|52.0|as stated|52.0|-|33.0||51.0|l|quoted|||list.json",
        "a|-|d|linf|8/255|40.0 20.0-80.0|pgd|-|-|-||-|||||r.json",
        "b|-|d|linf|8/255|40.0 20.0-80.0|pgd|-|-|-||-|||||r.json",
        "m|0.5|d|linf|8/255|50.0 untrusted 20.0-80.0|pgd|60.0 untrusted|90.0|70.0|fog; severity 3|51.0|l|untrusted|"
        f"{'w' * 16}|{'c' * 16}|r.json",
    ]
    columns = ["model", "lambda", "data", "norm", "eps", "accuracy", "by", "autoattack %", "clean %"]
    assert head == [
        *columns,
        "corruptions %",
        "over",
        "reported %",
        "source",
        "flags",
        "hash",
        "answer",
        "ran by",
    ]


def test_budgets_rank_by_size_and_claims_are_of_their_norm_and_data(tmp_path):
    asked = [{"eps": eps} for eps in ("10/255", "8/255")] + [{"eps": "8/255", "norm": "l2"}]
    (tmp_path / "r.json").write_text(json.dumps([RECORD | one for one in asked]))
    claim = {"name": "m", "dataset": "d", "eps": "8/255", "autoattack_acc": "52"}
    for other, claimed in (({}, [None, 0.52, None]), ({"dataset": "e"}, [None] * 3)):
        (tmp_path / "list.json").write_text(json.dumps({"m": claim | other}))
        board = leaderboard([str(tmp_path / name) for name in ("r.json", "list.json")], tmp_path / "b.html")
        measured = [row for row in json.loads(board.with_suffix(".json").read_text()) if not row["quoted"]]
        assert [(row["norm"], row["eps"]) for row in measured] == [
            ("l2", "8/255"), ("linf", "8/255"), ("linf", "10/255"),
        ]  # fmt: skip
        assert [row["reported"] for row in measured] == claimed
        (quoted,) = (row for row in json.loads(board.with_suffix(".json").read_text()) if row["quoted"])
        assert (quoted["accuracy"], quoted["reported"]) == (0.52, None), "its author reports nothing"
