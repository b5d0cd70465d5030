"""The leaderboard: the best known accuracy of every model and budget, with AutoAttack and quoted rows beside."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import pytest

from robustbench_sdnet.cli import main
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.planning.questions import attack_specs, corruption_specs
from robustbench_sdnet.reports import report
from robustbench_sdnet.reports.leaderboard import leaderboard, zoo_claims
from robustbench_sdnet.specs import CLEAN, Eps
from robustbench_sdnet.zoo.files.cards import read_card
from robustbench_sdnet.zoo.shelf.index import entry, local_path

from ..made_answers import DATA, HIGH, LOW, NOISE, PGD, RESNET, SDNET, SQUARE, cell, made_store, right
from .test_names import NAMES, Page

INFO = {
    "Gowal2021": {
        "name": "<script>alert(1)</script>",
        "link": "https://arxiv.org/abs/2110.09468",
        "dataset": "cifar10",
        "architecture": "WideResNet-70-16",
        "eps": "8/255",
        "clean_acc": "88.74",
        "reported": "66.10",
        "autoattack_acc": "66.11",
    },
    "Corruptions": {"name": "only corruptions", "dataset": "cifar10", "corruptions_acc": "89.09"},
}


@pytest.fixture
def store(tmp_path):
    """sdnet at two lambdas under PGD and once under transfer, resnet under AutoAttack's four stages too; ten images."""
    stages = []
    for spec in attack_specs("autoattack", [Eps.parse("8/255")]):
        stages.append(cell(spec, model=RESNET, parents=(stages[-1].id,) if stages else ()))
    answers = [(cell(), right(9)), (cell(PGD), right(4)), (cell(PGD, lam=HIGH), right(6))]
    answers += [(cell(PGD, lam=HIGH, lam_attack=LOW), right(7, first=1))]
    answers += [(cell(spec), right(count)) for spec, count in zip(NOISE, (8, 6, 7), strict=True)]
    answers += [(cell(PGD, model=RESNET), right(5))]
    answers += [(stage, right(4 - place)) for place, stage in enumerate(stages)]
    made_store(tmp_path, answers).close()
    return f"sqlite:///{tmp_path}/made.db"


def rows(path):
    return json.loads(path.with_suffix(".json").read_text())


def test_a_row_a_model_lambda_and_budget_with_its_best_known_accuracy(store, tmp_path):
    found = {
        (row["model"], row["lambda"]): row for row in rows(leaderboard([store], tmp_path / "board.html"))
    }
    assert set(found) == {("resnet", ""), ("sdnet", "0.1"), ("sdnet", "0.5")}
    resnet, sdnet = found["resnet", ""], found["sdnet", LOW.text]
    # AutoAttack's last stage leaves one of ten, PGD five.
    assert (resnet["accuracy"], resnet["autoattack"], resnet["n"]) == (0.1, 0.1, 10)
    assert (sdnet["accuracy"], sdnet["by"], sdnet["autoattack"]) == (0.4, "pgd(steps=3)", None)
    assert (sdnet["clean"], sdnet["corruptions"]) == (0.9, pytest.approx(0.7))
    assert (resnet["hash"], resnet["eps"], resnet["ran_by"]) == (RESNET.weights, "8/255", "made.db")


def test_an_answer_that_several_sources_hold_keeps_what_each_has_beside_it(store, tmp_path):
    (tmp_path / "more").mkdir()
    with made_store(tmp_path / "more", [(cell(PGD), right(6, 20))]) as other:
        finding = {"check": "noise_wins", "verdict": "fail", "value": 1.0, "sentence": "", "images": 10}
        other.add_verdicts(cell(PGD).id, [finding])
    more, records = f"sqlite:///{tmp_path}/more/made.db", tmp_path / "records.json"
    records.write_text(json.dumps([{**one, "weights": ""} for one in json.loads(str(report(store, "json")))]))
    for sources in ([store, more], [more, store], [str(records), store, more], [more, str(records), store]):
        found = rows(leaderboard(sources, tmp_path / "board.html"))
        (row,) = (row for row in found if (row["model"], row["lambda"]) == ("sdnet", LOW.text))
        assert (row["n"], row["accuracy"], row["untrusted"]) == (20, 0.3, True)
        assert (row["clean"], row["corruptions"]) == (0.9, pytest.approx(0.7))
        assert row["corruptions_over"].startswith("gaussian_noise, shot_noise")
        assert row["hash"] == SDNET.weights


def test_an_accuracy_of_nothing_is_known_too(tmp_path):
    for name, held in (
        ("few", [(cell(), right(0)), (cell(PGD), right(0))]),
        ("many", [(cell(PGD), right(0, 20))]),
    ):
        (tmp_path / name).mkdir()
        made_store(tmp_path / name, held).close()
    for names in (("few", "many"), ("many", "few")):
        sources = [f"sqlite:///{tmp_path}/{name}/made.db" for name in names]
        (row,) = rows(leaderboard(sources, tmp_path / "board.html"))
        assert (row["n"], row["clean"]) == (20, 0.0)


def test_a_model_that_several_sources_attacked_has_one_row_with_the_lowest(store, tmp_path):
    (tmp_path / "more").mkdir()
    more, records = f"sqlite:///{tmp_path}/more/made.db", tmp_path / "records.json"
    made_store(tmp_path / "more", [(cell(SQUARE, model=RESNET), right(3)), (cell(SQUARE), right(2))]).close()
    records.write_text(str(report(more, "json", with_cost=True)))
    for sources in ([store, more], [more, store], [str(records), store]):
        found = {
            (row["model"], row["lambda"]): row for row in rows(leaderboard(sources, tmp_path / "board.html"))
        }
        assert len(rows(tmp_path / "board.html")) == len(found) == 3
        resnet, sdnet = found["resnet", ""], found["sdnet", LOW.text]
        # AutoAttack leaves one of ten, Square of the other source three; of the other model four by PGD, and two.
        assert (resnet["accuracy"], resnet["by"], resnet["autoattack"]) == (0.1, "autoattack", 0.1)
        assert (sdnet["accuracy"], sdnet["by"], sdnet["clean"]) == (0.2, "square", 0.9)
    records.write_text(str(report(more, "json")))
    assert len(rows(leaderboard([store, str(records)], tmp_path / "board.html"))) == 5, (
        "which weights are those?"
    )
    own = tmp_path / "own.json"
    own.write_text(str(report(store, "json")))
    assert len(rows(leaderboard([str(own), str(records)], tmp_path / "board.html"))) == 5, "nor of two such"


def test_what_sources_answer_otherwise_is_flagged(store, tmp_path):
    other = {"more": right(3), "larger": right(3, 20)}  # another number of images is no contradiction
    for name, given in other.items():
        (tmp_path / name).mkdir()
        made_store(tmp_path / name, [(cell(PGD), given)]).close()
    more, larger = (f"sqlite:///{tmp_path}/{name}/made.db" for name in other)
    records = tmp_path / "records.json"  # of both: says itself that they differ
    records.write_text(str(report([store, more], "json", with_cost=True)))
    agreed, contradicted = (
        ([store, store], [store, larger]),
        ([store, more], [str(records)], [store, str(records)]),
    )
    for sources, told in [(given, False) for given in agreed] + [(given, True) for given in contradicted]:
        board = leaderboard(sources, tmp_path / "board.html")
        assert {(row["lambda"], row["disputed"]) for row in rows(board) if row["model"] == "sdnet"} == {
            (LOW.text, told),
            (HIGH.text, False),
        }
        assert board.read_text().count(">disputed<") == told


def test_what_is_less_than_all_does_not_read_as_all(tmp_path):
    made_store(tmp_path, [(cell(), right(29_999, 30_000)), (cell(PGD), right(4))]).close()
    page = leaderboard([f"sqlite:///{tmp_path}/made.db"], tmp_path / "board.html").read_text()
    assert "<td>99.997</td>" in page


@pytest.mark.parametrize("seeds", [(0,), (4,), (0, 4)])
def test_the_mean_is_over_the_15_where_they_were_run(tmp_path, seeds):
    # Of two seeds the noise of the other is no second part of the mean.
    drawn = [corruption_specs("main,speckle_noise", [3], seed=seed) for seed in seeds]
    specs = [*drawn[0], *(spec for spec in drawn[-1] if len(seeds) > 1 and spec.seed)]
    answers = [(cell(), right(9)), (cell(PGD), right(4))]
    other = len(seeds) > 1 and seeds[-1]
    answers += [
        (cell(spec), right(2 if spec.name == "speckle_noise" or spec.seed == other > 0 else 8))
        for spec in specs
    ]
    made_store(tmp_path, answers).close()
    (row,) = rows(leaderboard([f"sqlite:///{tmp_path}/made.db"], tmp_path / "board.html"))
    assert (row["corruptions"], row["corruptions_over"]) == (pytest.approx(0.8), "the 15; severity 3")


def test_records_rank_as_their_store_does_and_quoted_rows_are_marked(store, tmp_path):
    records, info = tmp_path / "records.json", tmp_path / "model_info.json"
    records.write_text(str(report(store, "json")))
    info.write_text(json.dumps(INFO))
    from_store = rows(leaderboard([store], tmp_path / "a.html"))
    both = rows(leaderboard([str(records), str(info)], tmp_path / "b.html"))
    measured = [row for row in both if not row["quoted"]]
    numbers = ("model", "lambda", "eps", "accuracy", "low", "by", "autoattack", "clean", "corruptions")
    assert [[row[key] for key in numbers] for row in measured] == [
        [row[key] for key in numbers] for row in from_store
    ]
    # PGD at 0.5 leaves the images 0 to 5, what was made at 0.1 the images 1 to 7.
    assert ("0.5", 0.5, "worst case of pgd(steps=3)") in [
        (row["lambda"], row["accuracy"], row["by"]) for row in from_store
    ]
    (quoted,) = [row for row in both if row["quoted"]]
    assert (quoted["accuracy"], quoted["reported"], quoted["low"]) == (0.6611, 0.661, None)
    assert quoted["source"] == "https://arxiv.org/abs/2110.09468"
    page = (tmp_path / "b.html").read_text()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert f"{len(both)} rows, {len(measured)} of them measured and 1 quoted from lists." in page
    assert f"{len(from_store)} rows, all measured." in (tmp_path / "a.html").read_text()
    assert "gaussian_noise, shot_noise; severities 1, 5; 3 of these alone" in page, "what a mean is over"


def test_a_file_of_model_info_has_the_norm_of_its_folder(tmp_path):
    asked = {
        "cifar10/L2/a.json": {
            "eps": "0.5",
            "reported": "83.68",
            "autoattack_acc": "83.68",
            "unreliable": False,
        },
        "cifar10/Linf/b.json": {
            "eps": "8/255",
            "reported": "69.71",
            "autoattack_acc": "70.08",
            "external": "69.71",
        },
        "cifar10/Linf/c.json": {
            "eps": 8 / 255,
            "reported": "78.79",
            "autoattack_acc": "38.20",
            "unreliable": True,
        },
        "cifar10/corruptions/d.json": {"eps": None, "reported": "84.1", "corruptions_acc": "84.10"},
        "l1.json": {"eps": "12", "norm": "L1", "reported": "60", "autoattack_acc": None},
    }
    for name, info in asked.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps({"name": name, "dataset": "cifar10", **info}))
    board = leaderboard([str(tmp_path / name) for name in asked], tmp_path / "board.html")
    assert [(row["norm"], row["eps"], row["accuracy"], row["untrusted"]) for row in rows(board)] == [
        ("l1", "12", 0.6, False),
        ("l2", "0.5", 0.8368, False),
        ("linf", "8/255", 0.6971, False),
        ("linf", "8/255", 0.382, True),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("3", "neither records nor"),
        ('[{"model": "a"}]', "Record 0 of odd.json is not a result record"),
        (
            '[{"model": "a", "arch": "b", "data": "c", "cell": "d", "eps": null, "accuracy": 66}]',
            r"Record 0 of odd.json is not a result record: accuracy must lie in 0 to 1, got '66'\.$",
        ),
        (
            '{"a": {"name": "a", "eps": "8/255", "autoattack_acc": "101"}}',
            "autoattack_acc in odd.json must lie in 0 to 100 per cent",
        ),
        (
            '{"a": {"name": "a", "eps": "8/0", "autoattack_acc": "50"}}',
            "eps of 'a' in odd.json must be a number",
        ),
        ("[]", "nothing to rank"),
    ],
)
def test_what_is_no_source_is_one_line(content, message, tmp_path):
    (tmp_path / "odd.json").write_text(content)
    with pytest.raises(InputError, match=message):
        leaderboard([str(tmp_path / "odd.json")], tmp_path / "board.html")


def test_the_command_takes_several_stores(store, tmp_path):
    with pytest.raises(SystemExit, match="0"):
        main(
            [
                "report",
                "to",
                "leaderboard",
                "--store",
                store,
                "--store",
                store,
                "--output",
                str(tmp_path / "x"),
            ]
        )
    assert len(rows(tmp_path / "x")) == 3, "an answer that two sources hold is one"


def test_numbers_of_a_row_are_of_the_most_images_and_named_as_in_tables(tmp_path):
    whole, variant = (
        attack_specs("autoattack", [Eps.parse("8/255")], given=given) for given in (None, {"variant": "rand"})
    )
    # AutoAttack leaves four of ten images, as its second stage did; the variant for randomised models saw three alone.
    answers = [(cell(stage), right(4 + (place == 0))) for place, stage in enumerate(whole)]
    answers += [(cell(stage), right(0, n=3)) for stage in variant]
    # Three of ten right at severity 1, and all of the first two at severity 5.
    answers += [(cell(NOISE[0]), right(3)), (cell(NOISE[1]), right(2, n=2))]
    made_store(tmp_path, answers).close()
    (row,) = rows(leaderboard([f"sqlite:///{tmp_path}/made.db"], tmp_path / "board.html"))
    assert (row["accuracy"], row["n"], row["by"], row["autoattack"]) == (0.4, 10, "autoattack", 0.4)
    assert row["corruptions"] == 0.3


def test_what_is_untrusted_ranks_below_what_is_not(store, tmp_path):
    records = json.loads(str(report(store, "json")))
    for record in records:
        record["verdict"] = "untrusted" if record["lambda"] == 0.5 else record["verdict"]
    (tmp_path / "doubted.json").write_text(json.dumps(records))
    board = leaderboard([str(tmp_path / "doubted.json")], tmp_path / "board.html")
    assert [(row["accuracy"], row["untrusted"]) for row in rows(board)] == [
        (0.4, False),
        (0.1, False),
        (0.5, True),
    ]
    assert board.read_text().count('<td class="untrusted"') == 1, "the accuracy itself is marked"


def test_an_authors_claim_stands_beside_what_was_measured(store, tmp_path):
    claim = {
        "name": "sdnet",
        "dataset": "tiny",
        "eps": "8/255",
        "autoattack_acc": "51.5",
        "reported": "52",
        "link": "https://x",
    }
    (tmp_path / "claims.json").write_text(
        json.dumps({"a": claim, "b": {**claim, "name": "resnet", "eps": "4/255"}})
    )
    found = rows(leaderboard([store, str(tmp_path / "claims.json")], tmp_path / "board.html"))
    measured = {
        (row["model"], row["lambda"]): (row["reported"], row["source"]) for row in found if not row["quoted"]
    }
    assert measured["sdnet", "0.1"] == measured["sdnet", "0.5"] == (0.52, "https://x")
    assert measured["resnet", ""] == (None, ""), "the claim is of another eps"
    (tmp_path / "lower.json").write_text(json.dumps({"a": {**claim, "reported": "50"}}))
    lists = [str(tmp_path / name) for name in ("claims.json", "lower.json")]
    for sources in (lists, lists[::-1]):
        found = rows(leaderboard([store, *sources], tmp_path / "board.html"))
        claimed = {row["reported"] for row in found if row["model"] == "sdnet" and not row["quoted"]}
        assert claimed == {0.5}, "the lowest, whatever the order of lists"


def test_the_zoo_claims_its_own_models_alone():
    item = entry("cifar10/sdnet20-at")
    weights = read_card(local_path(item)).weights_hash
    for name, ours in (
        (item.name, weights), (item.name, ""), (item.name, "0" * 64), ("digits/sdnet20-at", ""),
    ):  # fmt: skip
        claims = zoo_claims(entry(name), ours)
        key = (item.name, "cifar10", "linf", "8/255", "0.1")
        stated = item.robust["pgd-20 linf 8/255 on 1000 images"]
        expected = {key: (stated, "the zoo's index: pgd-20 linf 8/255 on 1000 images")}
        assert claims == (expected if ours in ("", weights) and name == item.name else {})
    several = replace(item, robust={"pgd linf 8/255": 0.4, "apgd linf 8/255": 0.3, "square linf 8/255": 0.5})
    assert zoo_claims(several, weights) == {key: (0.3, "the zoo's index: apgd linf 8/255")}, "the lowest"


def test_the_zoos_claim_is_of_the_training_lambda(tmp_path):
    model, data = replace(SDNET, name="cifar10/sdnet20-at"), replace(DATA, name="cifar10", source="cifar10")
    model = replace(model, weights=read_card(local_path(entry(model.name))).weights_hash)
    asked = [replace(cell(PGD, lam=lam), model=model, data=data) for lam in (LOW, HIGH)]
    made_store(tmp_path, [(one, right(5)) for one in asked]).close()
    found = rows(leaderboard([f"sqlite:///{tmp_path}/made.db"], tmp_path / "board.html"))
    claimed = entry(model.name).robust["pgd-20 linf 8/255 on 1000 images"]
    assert {row["lambda"]: row["reported"] for row in found} == {"0.1": claimed, "0.5": None}
    folder = tmp_path / "others"
    folder.mkdir()
    made_store(folder, [(replace(asked[0], model=replace(model, weights="0" * 64)), right(6))]).close()
    stores = [f"sqlite:///{place}/made.db" for place in (tmp_path, folder)]
    for sources in (stores, stores[::-1]):
        found = rows(leaderboard(sources, tmp_path / "board.html"))
        assert {(row["lambda"], row["accuracy"]): row["reported"] for row in found} == {
            ("0.1", 0.5): claimed,
            ("0.5", 0.5): None,
            ("0.1", 0.6): None,  # other weights under the name
        }


def test_a_mean_over_corruptions_mixes_neither_origins_nor_levels(tmp_path):
    asked = [(spec, 8) for spec in NOISE]
    asked += [(spec, 2) for spec in corruption_specs("gaussian_noise", [1, 5], stored="jpeg85")]
    asked += [(spec, 1) for spec in corruption_specs("gaussian_noise", levels=[Decimal("0.1")])]
    made_store(tmp_path, [(cell(PGD), right(4)), *((cell(spec), right(n)) for spec, n in asked)]).close()
    url, records = f"sqlite:///{tmp_path}/made.db", tmp_path / "records.json"
    records.write_text(str(report(url, "json")))
    for source in (url, str(records)):
        (row,) = rows(leaderboard([source], tmp_path / "board.html"))
        assert row["corruptions"] == pytest.approx(0.8)
        assert row["corruptions_over"] == "gaussian_noise, shot_noise; severities 1, 5; 3 of these alone"


def test_two_data_sets_of_one_name_have_rows_of_their_own(tmp_path):
    other = replace(DATA, content="d" * 64)
    answers = [
        (replace(cell(spec), data=data), right(n))
        for data, counts in ((DATA, (9, 4)), (other, (5, 1)))
        for spec, n in zip((CLEAN, PGD), counts, strict=True)
    ]
    made_store(tmp_path, answers).close()
    url, records = f"sqlite:///{tmp_path}/made.db", tmp_path / "records.json"
    records.write_text(str(report(url, "json")))
    for source in (url, str(records)):
        found = rows(leaderboard([source], tmp_path / "board.html"))
        assert [(row["data"], row["accuracy"], row["clean"]) for row in found] == [
            ("tiny [cccccccc]", 0.4, 0.9),
            ("tiny [dddddddd]", 0.1, 0.5),
        ]


def test_answers_have_their_id_and_records_with_costs_their_weights(store, tmp_path):
    records = tmp_path / "records.json"
    records.write_text(str(report(store, "json", with_cost=True)))
    columns = ("model", "lambda", "hash", "cell")
    told = [
        [[row[key] for key in columns] for row in rows(leaderboard([source], tmp_path / "b.html"))]
        for source in (store, str(records))
    ]
    assert told[0] == told[1]
    assert [RESNET.weights in row for row in told[0]].count(True) == 1
    assert cell(PGD).id in {row[3] for row in told[0]}


def test_hostile_names_do_nothing_on_the_board(tmp_path):
    for name, odd in NAMES.items():
        info = {"x": {**INFO["Gowal2021"], "name": odd, "link": odd, "architecture": odd, "dataset": odd}}
        (tmp_path / "odd.json").write_text(json.dumps(info))
        page = leaderboard([str(tmp_path / "odd.json")], tmp_path / f"{name}.html")
        text = page.read_text(encoding="utf-8")
        assert all(char.isprintable() or char in "\n\t" for char in text)
        found = Page()
        found.feed(text)
        assert found.scripts == 1, "the page's own"
        assert [row["model"] for row in rows(page)] == [odd], "as data it is what it was"


def test_no_source_and_no_rows_are_overwritten(store, tmp_path):
    records = report(store, "json", output=tmp_path / "board.json")
    before = records.read_bytes(), (tmp_path / "made.db").read_bytes()
    for sources, output in (
        ([str(records)], tmp_path / "board.html"),  # its rows would go to board.json
        ([store], tmp_path / "made.db"),
        ([store], tmp_path / "rows.json"),  # the page's rows would be the page
    ):
        with pytest.raises(InputError, match=r"would overwrite|where the rows"):
            report(sources, "leaderboard", output=output)
    assert (records.read_bytes(), (tmp_path / "made.db").read_bytes()) == before
    assert not (tmp_path / "board.html").exists()
    assert report([str(records)], "leaderboard", output=tmp_path / "other.html").exists()


def test_a_doubted_autoattack_is_marked_beside_a_lower_number_that_is_not(store, tmp_path):
    records = json.loads(str(report(store, "json")))
    for one in records:
        if "autoattack" in one["perturbation"]:
            one |= {"verdict": "untrusted", "accuracy": 0.6}
    (tmp_path / "records.json").write_text(json.dumps(records))
    board = leaderboard([str(tmp_path / "records.json")], tmp_path / "board.html")
    (row,) = [row for row in rows(board) if row["model"] == "resnet"]
    assert (row["untrusted"], row["autoattack"], row["autoattack_untrusted"]) == (False, 0.6, True)
    assert '<td>60.0 <span class="mark">untrusted</span></td>' in board.read_text()


def test_numbers_of_lists_keep_their_decimals(tmp_path):
    (tmp_path / "list.json").write_text(json.dumps(INFO))
    assert "<td>66.11</td>" in leaderboard([str(tmp_path / "list.json")], tmp_path / "board.html").read_text()


@pytest.mark.parametrize("n", [-5, 0, 1.5])
def test_a_record_is_of_some_images(n, store, tmp_path):
    records = json.loads(str(report(store, "json")))
    records[0]["n"] = n
    (tmp_path / "records.json").write_text(json.dumps(records))
    with pytest.raises(
        InputError, match=r"Record 0 of records\.json is not a result record: n must be a whole number"
    ):
        leaderboard([str(tmp_path / "records.json")], tmp_path / "board.html")


def test_of_an_answer_in_two_sources_the_one_with_more_beside_it_stands(store, tmp_path):
    records = json.loads(str(report(store, "json")))
    alone = [one for one in records if one["kind"] == "attack"]
    for name, held in (("a", alone), ("b", records)):
        (tmp_path / f"{name}.json").write_text(json.dumps(held))
    for order in ("ab", "ba"):
        board = leaderboard([str(tmp_path / f"{name}.json") for name in order], tmp_path / "board.html")
        (row,) = [row for row in rows(board) if (row["model"], row["lambda"]) == ("sdnet", "0.1")]
        assert (row["clean"], row["ran_by"]) == (0.9, "b.json")
