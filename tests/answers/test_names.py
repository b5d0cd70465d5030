"""What is one model, data set or fit whatever it was called, and what is told apart under one name."""

from dataclasses import replace

import pytest

from robustbench_sdnet.answers.comparisons import comparisons
from robustbench_sdnet.answers.rivals import rivals
from robustbench_sdnet.answers.rows import rows as rows_of
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.answers.status import status
from robustbench_sdnet.planning.questions import corruption_specs
from robustbench_sdnet.reports.evidence import evidences
from robustbench_sdnet.specs import LambdaSpec

from ..made_answers import HIGH, LOW, SDNET, cell, made_store, right


def test_what_has_one_name_is_told_apart_and_a_model_is_one_wherever_it_lay(tmp_path):
    train = replace(cell().data, split="train", content="d" * 64)
    moved = replace(SDNET, source="elsewhere/sdnet")
    other = replace(SDNET, weights="f" * 64)
    answers = [(cell(), right(10)), (replace(cell(lam=HIGH), model=moved), right(2))]
    answers += [(replace(cell(lam=lam), data=train), right(count)) for lam, count in ((LOW, 1), (HIGH, 9))]
    answers += [(replace(cell(lam=lam), model=other), right(5)) for lam in (LOW, HIGH)]
    with made_store(tmp_path, answers) as store:
        snapshot = Snapshot.read(store).told_apart
    found = comparisons(snapshot)
    own, theirs = f"sdnet [{SDNET.weights[:8]}]", "sdnet [ffffffff]"
    assert [(one.family, one.a.name, one.b.name, one.gain) for one in found] == [
        ("tiny: models, clean", f"{own} @ 0.1", f"{theirs} @ 0.1", pytest.approx(0.5)),
        (f"tiny: lambdas of {own}, clean", f"{own} @ 0.5", f"{own} @ 0.1", pytest.approx(-0.8)),
        (f"tiny: lambdas of {theirs}, clean", f"{theirs} @ 0.5", f"{theirs} @ 0.1", 0),
        (f"tiny (train): lambdas of {own}, clean", f"{own} @ 0.5", f"{own} @ 0.1", pytest.approx(0.8)),
    ]
    assert all(one.p_corrected == one.p for one in found), "each the only one of its family"
    known = evidences(rows_of(snapshot), found, rivals(snapshot))
    names = [f"{own} on tiny", f"{theirs} on tiny", f"{own} on tiny (train)"]
    assert [one.name for one in known] == names


def test_a_model_is_one_whatever_it_was_called_by_its_most_frequent_name(tmp_path):
    # Two names of two cells each: the first in order. A third cell under the other name: that one.
    def fog(severity):
        return corruption_specs("fog", [severity])[0]

    copy = replace(SDNET, name="a-copy", source="elsewhere/a-copy")
    answers = [
        (cell(lam=LOW), right(9)),
        (replace(cell(lam=HIGH), model=copy), right(4)),
        (replace(cell(fog(1), lam=LOW), model=copy), right(8)),
        (cell(fog(1), lam=HIGH), right(3)),
        (cell(fog(2), lam=LOW), right(8)),
    ]
    for count, name in ((4, "a-copy"), (5, "sdnet")):
        folder = tmp_path / str(count)
        folder.mkdir()
        with made_store(folder, answers[:count]) as store:
            snapshot, shown = Snapshot.read(store).told_apart, {row["model"] for row in status(store)}
        assert {(one.cell.model.name, one.cell.model.key) for one in snapshot.answered} == {(name, SDNET.key)}
        assert shown == {name}
        assert {one.cell.model.source for one in snapshot.answered} == {
            copy.source if name == "a-copy" else SDNET.source
        }
        assert [one.family for one in comparisons(snapshot)] == [
            f"tiny: lambdas of {name}, {asked}" for asked in ("clean", "corruptions")
        ]


def test_a_data_set_is_one_whatever_it_was_called(tmp_path):
    copy = replace(cell().data, name="npz:tiny", source="npz:tiny.npz")
    fog = corruption_specs("fog", [1])[0]
    asked = [cell(lam=LOW), cell(fog, lam=LOW), replace(cell(lam=HIGH), data=copy)]
    with made_store(tmp_path, [(one, right(5)) for one in asked]) as store:
        snapshot = Snapshot.read(store).told_apart
    assert {(one.cell.data.name, one.cell.data.source) for one in snapshot.answered} == {("tiny", "tiny")}
    assert [one.family for one in comparisons(snapshot)] == ["tiny: lambdas of sdnet, clean"]
    assert [one.name for one in evidences(rows_of(snapshot), comparisons(snapshot), ())] == ["sdnet"]


def test_a_published_sets_own_name_stands_before_that_of_a_copy(tmp_path):
    copy = replace(cell().data, name="npz:tiny", source="npz:tiny.npz")
    fog = corruption_specs("fog", [1, 2])
    asked = [cell(lam=LOW), *(replace(cell(one, lam=LOW), data=copy) for one in fog)]
    with made_store(tmp_path, [(one, right(5)) for one in asked]) as store:
        assert {one.cell.data.name for one in Snapshot.read(store).told_apart.answered} == {"tiny"}


def test_models_of_others_are_one_where_their_answers_differ_by_rounding_alone(tmp_path):
    # Height and width, then logits: on another machine, on images of another size, and other answers.
    mine = replace(SDNET, fingerprint=(8.0, 8.0, 1.0, 2.0))
    rounded, larger, other = (
        replace(SDNET, fingerprint=found)
        for found in ((8.0, 8.0, 1.0000001, 2.0), (32.0, 32.0, 5.0, 6.0), (8.0, 8.0, 2.0, 1.0))
    )
    large = replace(cell().data, name="large", content="e" * 64)
    answers = [
        (replace(cell(lam=LOW), model=mine), right(9)),
        (replace(cell(lam=HIGH), model=rounded), right(4)),
        (replace(cell(lam=LOW), model=larger, data=large), right(5)),
        (replace(cell(lam=LOW), model=other), right(1)),
    ]
    for count in (3, 4):
        folder = tmp_path / str(count)
        folder.mkdir()
        with made_store(folder, answers[:count]) as store:
            apart = Snapshot.read(store).told_apart
        models = {one.cell.model for one in apart.answered}
        assert len(models) == count - 1, "two of them are one model"
        assert len({model.name for model in models}) == (1 if count == 3 else 3)
        found = [(one.within, one.n, abs(one.gain)) for one in comparisons(apart)]
        assert found == [(False, 10, pytest.approx(0.8))] * (count - 3) + [(True, 10, pytest.approx(0.5))]


def test_two_fits_of_a_policy_are_told_apart_and_one_is_not_marked(tmp_path):
    fits = [LambdaSpec("calibrated", fit=fit * 8) for fit in "ab"]
    answers = [(cell(), right(5)), (cell(lam=fits[0]), right(9)), (cell(lam=fits[1]), right(1))]
    names = []
    for count in (3, 2):
        folder = tmp_path / str(count)
        folder.mkdir()
        with made_store(folder, answers[:count]) as store:
            names.append([one.a.name for one in comparisons(Snapshot.read(store).told_apart)])
    assert names == [
        ["sdnet @ calibrated [fit aaaaaa]", "sdnet @ calibrated [fit bbbbbb]"],
        ["sdnet @ calibrated"],
    ]
