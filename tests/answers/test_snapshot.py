"""A store is read once: every shard decoded once, chains whole or not at all, trust by one rule."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robustbench_sdnet.answers.comparisons import comparisons
from robustbench_sdnet.answers.frames import outcomes, records as table
from robustbench_sdnet.answers.gathered import gather
from robustbench_sdnet.answers.records import records
from robustbench_sdnet.answers.rivals import rivals
from robustbench_sdnet.answers.searches import optimality
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.answers.status import status
from robustbench_sdnet.answers.trust import Finding, doubt, trust
from robustbench_sdnet.cli import main
from robustbench_sdnet.errors import InputError, StoreError
from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.reports import FORMATS, report
from robustbench_sdnet.specs import CLEAN, Eps, LambdaSpec, params
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.store import Shard, Store

from ..made_answers import COST, HIGH, LOW, NOISE, PGD, RESNET, SDNET, SQUARE, cell, made_store, right
from ..reports.tracker_files import offline as offline
from ..store.made import outcome
from ..store.test_database import read_only


@pytest.mark.parametrize("read", [table, outcomes, report])
def test_a_path_is_told_that_a_store_is_a_url(read):
    with pytest.raises(InputError, match=r"Not a store: 'made\.db' .* Write sqlite:///FILE\."):
        read(Path("made.db"))


def count_decoded(monkeypatch) -> list[bytes]:
    """What is decoded from now on."""
    decoded: list[bytes] = []
    decode = Outcome.decode.__func__
    monkeypatch.setattr(
        Outcome, "decode", classmethod(lambda cls, blob: decoded.append(blob) or decode(cls, blob))
    )
    return decoded


@pytest.mark.parametrize("to", [to for to in FORMATS if to != "bundle"])  # which also copies the store
def test_a_report_decodes_every_stored_shard_once(to, tmp_path, monkeypatch, offline):
    asked = [cell(), cell(PGD), cell(PGD, lam=HIGH), cell(model=RESNET), *map(cell, NOISE)]
    made_store(tmp_path, [(one, right(7)) for one in asked]).close()
    decoded = count_decoded(monkeypatch)
    report(f"sqlite:///{tmp_path}/made.db", to, output=tmp_path / "out")
    assert len(decoded) == len(asked)


def test_of_many_cells_those_that_are_wanted_alone_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("robustbench_sdnet.store.store.MANY", 1)
    asked = [cell(), cell(PGD), cell(model=RESNET)]
    made_store(tmp_path, [(one, right(7)) for one in asked]).close()
    decoded = count_decoded(monkeypatch)
    wanted = sorted(one.id for one in asked[:2])
    found = Snapshot.read(f"sqlite:///{tmp_path}/made.db", only=wanted)
    assert [one.id for one in found.answered] == wanted
    assert len(decoded) == 2


def test_a_snapshot_of_the_first_images_and_of_some_cells(tmp_path):
    with made_store(tmp_path, [(cell(), right(7)), (cell(PGD), right(3))]) as store:
        whole, some = Snapshot.read(store), Snapshot.read(store, only={cell(PGD).id}, limit=2)
    assert [len(answered.outcome) for answered in whole.answered] == [10, 10]
    assert [(answered.id, len(answered.outcome)) for answered in some.answered] == [(cell(PGD).id, 2)]
    assert whole.answered[0].outcome.ids is whole.answered[1].outcome.ids, "equal ids are kept once"
    assert [answered.id for answered in whole.of({cell(PGD).id}).answered] == [cell(PGD).id]


def test_float32_stands_before_a_screened_answer_under_every_name(tmp_path):
    policy = cell(NOISE[0], lam=LambdaSpec("calibrated", fit="a" * 8))
    screened = replace(policy, precision="bfloat16")
    with made_store(tmp_path, [(policy, right(7)), (screened, right(3))]) as store:
        snapshot = Snapshot.read(store)
    for named in (snapshot, snapshot.told_apart):
        assert [one.id for one in named.standing] == [one.id for one in named.exact] == [policy.id]


def test_models_of_one_name_and_weights_but_other_code_are_two_everywhere(tmp_path):
    edited = replace(SDNET, options=(("code", "e" * 64),))
    asked = [replace(cell(spec), model=model) for model in (SDNET, edited) for spec in (CLEAN, NOISE[0])]
    with made_store(
        tmp_path, [(one, right(count)) for one, count in zip(asked, (9, 8, 3, 2), strict=True)]
    ) as store:
        snapshot = Snapshot.read(store)
        told = {(row["model"], row["kind"]): row["accuracy"] for row in records(snapshot)}
        text = report(store, "markdown", output=tmp_path / "r.md").read_text()
    names = {name for name, _ in told}
    assert len(names) == 2
    assert all(re.fullmatch(r"sdnet \[[0-9a-f]{8}\]", name) for name in names)
    assert sorted(told.values()) == [0.2, 0.3, 0.8, 0.9]
    assert set(outcomes(snapshot)["model"]) == names
    assert "1 corruption at severity 1 |" in text
    assert "variants" not in text, "no mean over two models"


def test_a_model_that_was_known_by_images_of_two_sizes_keeps_one_name(tmp_path):
    data = replace(cell().data, name="large", content="d" * 64)
    asked = [
        replace(cell(), model=replace(SDNET, fingerprint=numbers), data=where)
        for numbers, where in (((8.0, 8.0, 0.5), cell().data), ((16.0, 16.0, 0.1), data))
    ]
    with made_store(tmp_path, [(one, right(5)) for one in asked]) as store:
        assert [(row["model"], row["data"]) for row in records(Snapshot.read(store))] == [
            ("sdnet", "large"),
            ("sdnet", "tiny"),
        ]


def test_of_two_versions_of_a_corruption_the_newest_stands_and_is_not_compared_with_others(tmp_path):
    old, other = cell(NOISE[0]), cell(NOISE[0], model=RESNET)
    new = cell(replace(NOISE[0], version=2))
    with made_store(tmp_path, [(old, right(3, n=20)), (new, right(7)), (other, right(0))]) as store:
        snapshot = Snapshot.read(store)
    assert {one.id for one in snapshot.standing} == {new.id, other.id}
    assert comparisons(snapshot) == ()


def test_a_screened_answer_of_the_newest_version_stands_before_older_images(tmp_path):
    new = replace(NOISE[0], version=NOISE[0].version + 1)
    old, screened = cell(NOISE[0]), replace(cell(new), precision="bfloat16")
    with made_store(tmp_path, [(old, right(3)), (screened, right(7))]) as store:
        assert [one.id for one in Snapshot.read(store).standing] == [screened.id]


def chain_cells():
    """The four stages of AutoAttack, each from the survivors of the one before."""
    cells = []
    for spec in attack_specs("autoattack", [Eps.parse("8/255")]):
        cells.append(cell(spec, parents=(cells[-1].id,) if cells else ()))
    return cells


@pytest.mark.parametrize(("stages", "names"), [(4, ["autoattack"]), (3, [])])
def test_a_chain_that_was_stopped_is_no_whole_one(stages, names, tmp_path):
    answers = [(one, right(8 - place)) for place, one in enumerate(chain_cells()[:stages])]
    with made_store(tmp_path, answers) as store:
        found = gather(Snapshot.read(store))
    attacks = {asked: subjects for asked, subjects in found.items() if asked.kind == "attack"}
    assert [asked.perturbation for asked in attacks] == names
    assert [int(one.right.sum()) for subjects in attacks.values() for one in subjects.values()] == [5][
        : len(names)
    ]


@pytest.mark.parametrize("told", [True, False])
def test_two_stages_of_one_name_are_two_answers(told, tmp_path):
    """APGD-T is a stage of `lean` and of AutoAttack; cells that were stored earlier do not say which of them it was."""
    cells = []
    for spec in attack_specs("lean+autoattack", [Eps.parse("8/255")]):
        stage = spec if told else replace(spec, shown="")
        cells.append(cell(stage, parents=(cells[-1].id,) if cells else ()))
    with made_store(tmp_path, [(one, right(8 - place)) for place, one in enumerate(cells)]) as store:
        found = records(store)
    names = [row["perturbation"].partition("/")[2] for row in found]
    twice = "apgd-t(steps=20)" if told else "apgd-t"
    assert names == ["pma", twice, "apgd-ce", "apgd-t", "fab-t", "square"]


def test_the_status_of_another_split_is_its_own(tmp_path):
    train = replace(cell(), data=replace(cell().data, split="train"))
    with made_store(tmp_path, [(cell(), right(7)), (train, right(3, n=4))]) as store:
        assert [(row["data"], row["cells"], row["samples"]) for row in status(store)] == [
            ("tiny", 1, 10),
            ("tiny (train)", 1, 4),
        ]


def test_the_status_of_models_of_one_name_is_of_each(tmp_path):
    trained_again = replace(cell(), model=replace(SDNET, weights="f" * 64))
    with made_store(tmp_path, [(cell(), right(7)), (trained_again, right(3, n=4))]) as store:
        assert [(row["model"], row["cells"], row["samples"]) for row in status(store)] == [
            ("sdnet [aaaaaaaa]", 1, 10),
            ("sdnet [ffffffff]", 1, 4),
        ]


def test_the_status_of_models_of_other_code_is_of_each_as_in_reports(tmp_path):
    """As of cells that an older version asked of a model whose options are others now."""
    other = replace(cell(), model=replace(SDNET, options=params({"n_steps": 4})))
    moved = replace(cell(PGD), model=replace(SDNET, source="elsewhere"))
    with made_store(tmp_path, [(cell(), right(7)), (other, right(3, n=4)), (moved, right(1))]) as store:
        found = [(row["model"], row["kind"], row["samples"]) for row in status(store)]
        names = {row["model"] for row in records(store)}
    assert len(names) == 2
    assert {name for name, _, _ in found} == names
    assert sorted((kind, samples) for _, kind, samples in found) == [
        ("attack", 10),
        ("clean", 4),
        ("clean", 10),
    ]


def test_what_no_image_answered_as_a_whole_is_no_result(tmp_path):
    """As after lost shards: the first images of one attack beside others of another one."""
    sought = [attack_specs(name, [], "l2")[0] for name in ("fmn", "fab-t")]
    asked = [cell(PGD), cell(PGD, lam_attack=HIGH), cell(SQUARE), *map(cell, sought)]
    with made_store(tmp_path, [(one, right(3)) for one in asked]) as store:
        whole = Snapshot.read(store)
    zero = np.zeros(10, np.float32)
    found = [replace(one, outcome=replace(one.outcome, distance=zero + 1)) for one in whole.answered]
    moved = {cell(PGD).id, cell(sought[0]).id}
    apart = [
        replace(one, outcome=replace(one.outcome, ids=one.outcome.ids + 10)) if one.id in moved else one
        for one in found
    ]
    for answered, count in ((found, 1), (apart, 0)):
        snapshot = replace(whole, answered=tuple(answered))
        assert [row["kind"] for row in records(snapshot)].count("worst_case") == count
        assert [one.name for one in rivals(snapshot)] == ["square", "transfer"][: 2 * count]
        assert len(optimality(snapshot)) == 2 * count
        json.dumps(records(snapshot), allow_nan=False)


def finding(check, verdict):
    return Finding(check, verdict, None, "")


@pytest.mark.parametrize(
    ("findings", "word"),
    [
        ([], "unchecked"),
        ([finding("noise_wins", "pass"), finding("rough_loss", "not_run")], "trusted"),
        ([finding("noise_wins", "warn")], "trusted"),
        ([finding("noise_wins", "pass"), finding("rough_loss", "fail")], "untrusted"),
        ([finding("noise_wins", "not_run")], "unchecked"),
        ([finding("zero_gradient", "fail")], "untrusted"),
    ],
)
def test_one_rule_of_trust(findings, word):
    assert trust(findings) == word


@pytest.mark.parametrize(
    ("attacks", "doubted"),
    [
        (["untrusted"], True),
        (["untrusted", "unchecked"], True),
        (["untrusted", "trusted"], False),  # a sound attack bounds what a weak one left
        (["trusted", "unchecked"], False),
        ([], False),
    ],
)
def test_a_worst_case_is_doubted_where_no_attack_in_it_was_found_sound(attacks, doubted):
    assert doubt(attacks) == doubted


def test_a_store_says_what_it_holds_under_the_id_it_keeps(tmp_path):
    with made_store(tmp_path, [(cell(), right(7))]) as store:
        (stored,) = Snapshot.read(store).answered
    assert (stored.id, stored.cell, stored.cost.forwards) == (cell().id, cell(), 1)
    assert replace(stored.cell, lam=LOW) == stored.cell
    with Store(f"sqlite:///{tmp_path}/made.db") as opened:
        assert Snapshot.read(opened).folder == tmp_path


def test_several_stores_are_reported_as_one(tmp_path):
    ours, theirs = [cell(), cell(PGD)], [cell(model=RESNET), cell(PGD, model=RESNET)]
    counts = dict(zip(map(id, (*ours, *theirs)), (9, 4, 8, 3), strict=True))
    for name, held in (("one", ours), ("other", theirs), ("both", [*ours, *theirs])):
        (tmp_path / name).mkdir()
        made_store(tmp_path / name, [(one, right(counts[id(one)])) for one in held]).close()
    one, other, both = (f"sqlite:///{tmp_path}/{name}/made.db" for name in ("one", "other", "both"))
    for to in ("markdown", "json"):
        texts = [
            report(of, to, output=tmp_path / "report").read_text()
            for of in (both, [one, other], [other, one], [one, other, both])
        ]
        assert texts == texts[:1] * 4


def test_of_a_question_that_several_stores_hold_the_answer_on_most_images_stands(tmp_path):
    for name, n in (("few", 5), ("many", 10)):
        (tmp_path / name).mkdir()
        with made_store(tmp_path / name, [(cell(), right(4, n))]) as store:
            if name == "few":  # which alone was diagnosed
                finding = {
                    "check": "noise_wins",
                    "verdict": "fail",
                    "value": 1.0,
                    "sentence": "",
                    "images": 5,
                }
                store.add_verdicts(cell().id, [finding])
    few, many = (Snapshot.read(f"sqlite:///{tmp_path}/{name}/made.db") for name in ("few", "many"))
    for given in ([few, many], [many, few]):
        joined = Snapshot.joined(given)
        assert [len(one.outcome) for one in joined.answered] == [10]
        assert joined.folder == given[0].folder
        assert [finding.verdict for one in joined.answered for finding in one.verdicts] == ["fail"]


def test_stores_that_contradict_each_other_are_told_and_the_first_stands(tmp_path):
    for name, held in (("one", right(4)), ("same", right(4, 8)), ("other", right(6))):
        (tmp_path / name).mkdir()
        made_store(tmp_path / name, [(cell(), held), (cell(PGD), right(3))]).close()
    one, same, other = (
        Snapshot.read(f"sqlite:///{tmp_path}/{name}/made.db") for name in ("one", "same", "other")
    )
    last = Snapshot(tuple(replace(of, outcome=of.outcome.cut(4, 10)) for of in one.answered))
    for fewer in (same, last):
        assert not Snapshot.joined([one, fewer]).disputed, "fewer images are no contradiction"
    for given, stands in (([one, other, same], 4), ([same, other, one], 6)):
        joined = Snapshot.joined(given)
        assert joined.disputed == {cell().id: 2}
        assert joined.of({cell(PGD).id}).disputed == {}
        assert [answered.outcome.right.sum() for answered in joined.of({cell().id}).answered] == [stands]
    drawn = [
        Snapshot(tuple(replace(of, outcome=replace(of.outcome, hits=hits)) for of in one.answered))
        for one, hits in ((one, np.full(10, 6, np.int32)), (other, np.full(10, 5, np.int32)))
    ]
    assert not Snapshot.joined(drawn).disputed, "draws differ by themselves"
    text = " ".join(report([one, other], output=tmp_path / "report.md").read_text().split())
    assert "Contradictory: the stores answer 1 question differently, on 2 images at most." in text
    assert "disputed" not in records(Snapshot.joined([one, same]))[0]
    assert [row["disputed"] for row in records(Snapshot.joined([one, other]))] == [2, 0]
    assert "Contradictory" not in report([one, same], output=tmp_path / "report.md").read_text()


def test_a_worst_case_is_as_disputed_as_what_it_is_made_of(tmp_path):
    snapshots = []
    for name, left in (("one", 4), ("other", 6)):
        (tmp_path / name).mkdir()
        answers = [(cell(PGD), right(left)), (cell(PGD, lam_attack=HIGH), right(8))]
        with made_store(tmp_path / name, answers) as store:
            snapshots.append(Snapshot.read(store))
    found = {row["kind"]: row["disputed"] for row in records(Snapshot.joined(snapshots))}
    assert found == {"attack": 2, "transfer": 0, "worst_case": 2}


def test_what_was_answered_while_a_server_came_back_is_not_unfinished(tmp_path, monkeypatch):
    with made_store(tmp_path, [(cell(), right(7))]) as store:
        store.add_cells({cell().id: cell()}, 20)
        run = store.database.run

        def again(verb, work):
            """Twice, as where the server goes away after the first; another process answers meanwhile."""
            run(verb, work)
            monkeypatch.undo()
            store.add_shards([Shard(cell().id, 10, 20, outcome(10, 20), COST)])
            return run(verb, work)

        assert Snapshot.read(store).unfinished == {cell().id: 20}
        monkeypatch.setattr(store.database, "run", again)
        found = Snapshot.read(store)
    assert len(found.answered[0].outcome) == 20
    assert not found.unfinished


def test_what_is_forgotten_is_not_unfinished_and_can_be_asked_again(tmp_path, capsys, monkeypatch):
    asked = [cell(), cell(NOISE[0]), cell(PGD)]
    url = f"sqlite:///{tmp_path}/made.db"
    with made_store(tmp_path, [(asked[0], right(4)), (asked[1], right(4))]) as store:
        store.add_cells({one.id: one for one in asked[1:]}, 20)
        answers = store.answered(lambda one: [(each.start, each.outcome.encode()) for each in one.shards])
        before = records(store)
    for forgotten in ("Forgot 2 unfinished cells.\n", ""):
        decoded = count_decoded(monkeypatch)
        with pytest.raises(SystemExit, match="0"):
            main(["status", "--forget", "--json", "--store", url])
        told = capsys.readouterr()
        assert told.err == forgotten
        assert decoded == [], "how far each has come is told without"
        assert [(row["kind"], row["cells"], row["unfinished"]) for row in json.loads(told.out)] == [
            ("clean", 1, 0),
            ("corruption", 1, 0),
        ]
    with Store(url) as store:
        assert "Unfinished" not in report(store, output=tmp_path / "report.md").read_text()
        assert (
            store.answered(lambda one: [(each.start, each.outcome.encode()) for each in one.shards])
            == answers
        )
        assert records(store) == before
        store.add_cells({asked[2].id: asked[2]}, 20)
        assert Snapshot.read(store).unfinished == {asked[2].id: 20}
    with pytest.raises(SystemExit, match="1"):
        main(["status", "--forget", "--store", f"sqlite:///{tmp_path}/none.db"])
    assert not (tmp_path / "none.db").exists()


def test_where_nothing_is_to_be_forgotten_a_store_need_not_be_writable(tmp_path, capsys):
    folder = tmp_path / "kept"
    folder.mkdir()
    made_store(folder, [(cell(), right(4))]).close()
    with read_only(folder), pytest.raises(SystemExit, match="0"):
        main(["status", "--forget", "--store", f"sqlite:///{folder}/made.db"])
    assert "clean" in capsys.readouterr().out


def test_what_was_stopped_is_unfinished_and_said_so(tmp_path):
    asked = [cell(), cell(NOISE[0]), cell(PGD)]
    with made_store(tmp_path, [(asked[0], right(4)), (asked[1], right(4))]) as store:
        assert "Unfinished" not in report(store, output=tmp_path / "report.md").read_text()
        store.add_cells(
            {one.id: one for one in asked[1:]}, 20
        )  # of one 10 of 20 are there, of the other none
        assert Snapshot.read(store).unfinished == {one.id: 20 for one in asked[1:]}
        assert not Snapshot.read(store, limit=5).unfinished
        assert Snapshot.read(store).of({asked[1].id}).unfinished == {asked[1].id: 20}
        text = " ".join(report(store, output=tmp_path / "report.md").read_text().split())
        assert "Unfinished: the store holds 2 questions answered on fewer images than were asked for." in text
        (tmp_path / "other").mkdir()
        with made_store(tmp_path / "other", [(asked[1], right(9, 20))]) as other:
            other.add_cells({asked[0].id: asked[0]}, 50)  # of which the other store has 10, and this none
            joined = Snapshot.joined([Snapshot.read(store), Snapshot.read(other)])
        (tmp_path / "few").mkdir()
        with made_store(tmp_path / "few", [(asked[1], right(4, 5))]) as few:  # all that was asked there
            both = Snapshot.joined([Snapshot.read(few), Snapshot.read(store)])
    assert joined.unfinished == {asked[0].id: 50, asked[2].id: 20}, "as in a store that both wrote to"
    assert both.unfinished == {asked[1].id: 20, asked[2].id: 20}, (
        "the answer that stands is the unfinished one"
    )
    mark = hashlib.sha256(SDNET.key.encode()).hexdigest()[:8]
    for name, open_ones in ((f"sdnet@{mark}", 0), ("sdnet@20261128", 1)):
        (tmp_path / name).mkdir()
        with made_store(tmp_path / name, [(cell(PGD), right(5))]) as store:
            changed = replace(cell(), model=replace(SDNET, name=name))
            store.add_cells({changed.id: changed}, 20)
            assert len(Snapshot.read(store).unfinished) == open_ones, "no command asks what changed since"
            assert sum(row["unfinished"] for row in status(store)) == open_ones


def test_other_questions_stand_side_by_side(tmp_path):
    asked = [cell(NOISE[0]), cell(replace(NOISE[0], stored="jpeg85"))]
    asked += [cell(PGD), cell(replace(PGD, norm="l2"))]
    asked += [cell(PGD, lam_attack=made) for made in (HIGH, LambdaSpec("0.9"))]
    with made_store(tmp_path, [(one, right(5)) for one in asked]) as store:
        assert {one.id for one in Snapshot.read(store).standing} == {one.id for one in asked}


def test_other_images_and_balls_are_compared_apart(tmp_path):
    asked = [cell(NOISE[0]), cell(replace(NOISE[0], source="published"))]
    asked += [cell(PGD), cell(replace(PGD, norm="l2"))]
    with made_store(tmp_path, [(one, right(5)) for one in asked]) as store:
        assert len(gather(Snapshot.read(store))) == len(asked)


def test_of_two_answers_the_one_on_more_images_stands_then_the_tighter_bound(tmp_path):
    plain = cell(PGD)
    screened, newer = replace(plain, precision="bfloat16"), cell(replace(PGD, version=PGD.version + 1))
    for other, given, stands in (
        (replace(plain, parents=("p",)), right(0, n=4), plain),
        (screened, right(3), screened),  # of attacks the search alone is in bfloat16
        (newer, right(7), plain),
    ):
        folder = tmp_path / other.id
        folder.mkdir()
        with made_store(folder, [(plain, right(5)), (other, given)]) as store:
            assert [one.id for one in Snapshot.read(store).standing] == [stands.id]


@pytest.mark.parametrize("verdict", ["fail", "pass"])
def test_of_equal_answers_to_one_question_the_diagnosed_one_stands(tmp_path, verdict):
    ways = [cell(), cell(NOISE[0])]  # on whose survivors the same attack may go on
    for place, diagnosed in ((0, 1), (1, 0)):
        cells = [cell(PGD, parents=(way.id,)) for way in ways]
        finding = {"check": "noise_wins", "verdict": verdict, "value": 1.0, "sentence": "", "images": 10}
        folder = tmp_path / f"{place}"
        folder.mkdir()
        with made_store(folder, [(one, right(4)) for one in cells]) as store:
            store.add_verdicts(cells[diagnosed].id, [finding])
            (stands,) = Snapshot.read(store).standing
        assert stands.id == cells[diagnosed].id


def test_joined_diagnostics_are_united_check_by_check(tmp_path):
    def finding(check, verdict, images):
        return {"check": check, "verdict": verdict, "value": 0.0, "sentence": "", "images": images}

    given = {
        "many": [finding("noise_wins", "pass", 100), finding("randomised", "pass", 100)],
        "full": [finding("noise_wins", "fail", 50), finding("gradient_free_wins", "fail", 50)],
    }
    snapshots = []
    for name, checks in given.items():
        (tmp_path / name).mkdir()
        with made_store(tmp_path / name, [(cell(PGD), right(5))]) as store:
            store.add_verdicts(cell(PGD).id, checks)
            snapshots.append(Snapshot.read(store))
    for several in (snapshots, snapshots[::-1]):
        (one,) = Snapshot.joined(several).answered
        assert {found.check: found.verdict for found in one.verdicts} == {
            "noise_wins": "pass",
            "randomised": "pass",
            "gradient_free_wins": "fail",
        }


def test_records_of_some_cells_and_images_say_what_is_wrong_with_them(tmp_path):
    with made_store(tmp_path, [(cell(), right(4)), (cell(PGD), right(4))]) as store:
        assert table(store, only=[cell().id], limit=5).n.tolist() == [5]
        with pytest.raises(InputError, match=r"only takes several cells.*Write only=\['abc'\]"):
            table(store, only="abc")
        with pytest.raises(InputError, match="limit must be a whole number"):
            table(store, limit=0)
        with pytest.raises(StoreError, match="holds no results of these cells and images"):
            table(store, only=["nope"])
