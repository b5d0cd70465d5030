"""Paired tests from a store: numbers worked out by hand, families corrected apart, and the worst case."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from robustbench_sdnet.answers.comparisons import Comparison, compared, comparisons
from robustbench_sdnet.answers.gathered import gather
from robustbench_sdnet.answers.per_image import Right
from robustbench_sdnet.answers.rivals import rivals
from robustbench_sdnet.answers.rows import rows as rows_of
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.answers.status import status
from robustbench_sdnet.planning.questions import attack_specs, corruption_specs
from robustbench_sdnet.reports.conclusion import sentences
from robustbench_sdnet.reports.evidence import evidences
from robustbench_sdnet.reports.numbers import points
from robustbench_sdnet.reports.tables.provenance import model_table
from robustbench_sdnet.specs import Eps, LambdaSpec, params
from robustbench_sdnet.specs.models import Repeats
from robustbench_sdnet.statistics import difference_interval

from ..made_answers import HIGH, LOW, NOISE, PGD, RANDOM, RESNET, SDNET, SQUARE, cell, made_store, right


def _rows(tmp_path, answers):
    with made_store(tmp_path, answers) as store:
        return [found.record() for found in comparisons(Snapshot.read(store))]


def test_models_are_compared_at_their_training_lambda_on_the_same_images(tmp_path):
    answers = [(cell(), right(10)), (cell(model=RESNET), right(2)), (cell(lam=HIGH), right(4))]
    rows = _rows(tmp_path, answers)
    between, within = rows
    assert between["family"] == "tiny: models, clean"
    # resnet has images 0-1 right, sdnet 0-9: 0 flips one way, 8 the other.
    # Two-sided exact McNemar: 2 * (1/2)^8 = 2/256.
    assert (between["model_a"], between["only_a"], between["model_b"], between["only_b"]) == (
        "resnet",
        0,
        "sdnet",
        8,
    )
    assert between["p"] == pytest.approx(2 / 256)
    assert between["p_corrected"] == pytest.approx(2 / 256), "the only one of its family"
    assert between["better"] == "sdnet @ 0.1"
    # lambda 0.5 has images 0-3 right: 0 against 6 flips, 2 * (1/2)^6 = 2/64.
    assert within["family"] == "tiny: lambdas of sdnet, clean"
    assert (within["lambda_a"], within["lambda_b"], within["only_a"], within["only_b"]) == (0.5, 0.1, 0, 6)
    assert within["p"] == pytest.approx(2 / 64)
    assert (within["accuracy_a"], within["accuracy_b"]) == (0.4, 1.0)


def test_corrections_hold_within_a_family_and_nobody_is_better_without_one(tmp_path):
    answers = []
    for lam, count in (("0.1", 10), ("0.3", 4), ("0.5", 3), ("0.7", 9)):
        answers.append((cell(lam=LambdaSpec(lam)), right(count)))
    rows = {row["lambda_a"]: row for row in _rows(tmp_path, answers)}
    # Raw p: 0.5 loses 7 images, 2/128; 0.3 loses 6, 2/64; 0.7 loses 1, 2 * 1/2 = 1.
    # Holm, smallest first: 3 * 2/128 = 0.046875; 2 * 2/64 = 0.0625; 1 * 1 = 1.
    assert rows[0.5]["p_corrected"] == pytest.approx(6 / 128)
    assert rows[0.3]["p"] < 0.05
    assert rows[0.3]["p_corrected"] == pytest.approx(4 / 64)
    assert rows[0.7]["p_corrected"] == 1
    assert [rows[lam]["better"] for lam in (0.3, 0.5, 0.7)] == ["", "sdnet @ 0.1", ""]


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


def test_one_attack_that_two_machines_ran_is_no_worst_case(tmp_path):
    mine, theirs = (replace(SDNET, fingerprint=(8.0, 8.0, 1.0 + off, 2.0)) for off in (0, 1e-7))
    answers = [(replace(cell(PGD), model=model), right(count)) for model, count in ((mine, 5), (theirs, 4))]
    with made_store(tmp_path, answers) as store:
        snapshot = Snapshot.read(store).told_apart
    assert {asked.kind for asked in gather(snapshot)} == {"attack"}


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


def test_a_mean_over_conditions_counts_each_image_once(tmp_path):
    # Three conditions; at 0.5 images 0-7 are right in all, at 0.1 in the first alone: 8 images gain, none loses.
    answers = [(cell(spec, lam=HIGH), right(8)) for spec in NOISE]
    answers += [(cell(spec), right(8 if spec is NOISE[0] else 0)) for spec in NOISE]
    mean = [row for row in _rows(tmp_path, answers) if row["kind"] == "mean"]
    assert [row["perturbation"] for row in mean] == ["2 noises, 3 conditions"]
    assert (mean[0]["only_a"], mean[0]["only_b"], mean[0]["n"]) == (8, 0, 10)
    # Of the sign test (2 / 256) and that of the mean the larger counts: z^2 = 3.8415 images that differ added,
    # (16 / 3) / 13.8415 = 0.3853, variance (32 / 9 + 3.8415) / 13.8415 - 0.3853^2 = 0.3859, z = 2.307.
    assert mean[0]["p"] == pytest.approx(0.0210, abs=1e-4)
    assert mean[0]["accuracy_a"] == pytest.approx(0.8)
    assert mean[0]["accuracy_b"] == pytest.approx(0.8 / 3)
    assert mean[0]["better"] == "sdnet @ 0.5"


def test_a_mean_over_noises_stands_beside_the_one_over_everything(tmp_path):
    specs = (*NOISE, *corruption_specs("fog", [1]))
    answers = [(cell(spec, lam=lam), right(count)) for spec in specs for lam, count in ((LOW, 5), (HIGH, 8))]
    with made_store(tmp_path, answers) as store:
        asked = [one.asked for one in comparisons(Snapshot.read(store)) if one.asked.kind == "mean"]
    assert {(one.perturbation, one.is_noise) for one in asked} == {
        ("2 noises, 3 conditions", True),
        ("3 corruptions, 4 conditions", False),
    }


def test_a_mean_over_everything_is_none_where_two_sides_share_noises_alone(tmp_path):
    # The plain network and the training lambda saw fog too, the other lambda did not: its one mean is that over noises,
    # and is corrected with no copy of itself.
    fog = corruption_specs("fog", [1])
    answers = [(cell(spec, lam=LOW), right(2)) for spec in NOISE + fog]
    answers += [(cell(spec, lam=HIGH), right(10)) for spec in NOISE]
    answers += [(cell(spec, model=RESNET), right(5)) for spec in NOISE + fog]
    with made_store(tmp_path, answers) as store:
        means = [one for one in comparisons(Snapshot.read(store)) if one.asked.kind == "mean"]
    within = [one for one in means if one.within]
    assert [one.asked.perturbation for one in within] == ["2 noises, 3 conditions"]
    assert within[0].p_corrected == within[0].p
    assert sorted(one.asked.perturbation for one in means if not one.within) == [
        "2 noises, 3 conditions",
        "3 corruptions, 4 conditions",
    ]


def test_equal_means_of_draws_are_no_gain_whatever_the_last_digit():
    # As sums of floats 0.1 + 0.2 + 0.3 is more than 0.3 + 0.2 + 0.1.
    ids = np.arange(8)
    sides = [
        tuple(Right(ids, np.full(8, share)) for share in pair)
        for pair in ((0.1, 0.3), (0.2, 0.2), (0.3, 0.1))
    ]
    found = compared(None, (None, None), sides)
    assert (found.only_a, found.only_b, found.p) == (0, 0, 1)


def test_the_levels_of_a_noise_are_one_noise(tmp_path):
    levels = corruption_specs("gaussian_noise", (), (Decimal("0.02"), Decimal("0.2")))
    answers = [(cell(spec, lam=lam), right(8)) for spec in (*NOISE, *levels) for lam in (LOW, HIGH)]
    means = [row["perturbation"] for row in _rows(tmp_path, answers) if row["kind"] == "mean"]
    assert means == ["2 noises, 5 conditions"]


@pytest.mark.parametrize(("often", "sign"), [(HIGH, 1), (LOW, -1)])
def test_nobody_is_better_whose_gain_cannot_be_told_from_none(tmp_path, often, sign):
    # Of 40 images 20 gain in one condition of three, six lose in all: 20 against 6 wins, p = 0.0094 by the sign test,
    # though the mean gain is (20 / 3 - 6) / 40 = 1.7 points. With z^2 = 3.8415 images that differ added (2 / 3) / 43.84
    # is 0.0152, variance (20 / 9 + 6 + 3.8415) / 43.84 - 0.0152^2 = 0.2749, z = 0.0152 / sqrt(0.2749 / 43.84) = 0.192:
    # p = 0.848. And the same of a loss.
    wholly = LOW if often is HIGH else HIGH
    answers = [(cell(spec, lam=often), right(20 if spec is NOISE[0] else 0, n=40)) for spec in NOISE]
    answers += [(cell(spec, lam=wholly), right(6, n=40, first=20)) for spec in NOISE]
    (mean,) = [row for row in _rows(tmp_path, answers) if row["kind"] == "mean"]
    assert (mean["only_a"], mean["only_b"])[::sign] == (20, 6)
    assert mean["p_corrected"] == pytest.approx(0.848, abs=1e-3)
    assert mean["accuracy_a"] - mean["accuracy_b"] == pytest.approx(sign * (20 / 3 - 6) / 40)
    assert mean["low"] < 0 < mean["high"]
    assert mean["better"] == ""


@pytest.mark.parametrize(("more", "sign"), [(HIGH, 1), (LOW, -1)])
def test_six_images_of_a_thousand_are_no_gain_although_mcnemars_p_is_small(tmp_path, more, sign):
    # Six flips one way: p = 2 / 64. The interval adds 3.8415 images that differ: 6 / 1003.84 - 1.959964 *
    # sqrt((9.8415 / 1003.84 - (6 / 1003.84)^2) / 1003.84) = 0.00598 - 0.00611 < 0. And the same of a loss.
    less = LOW if more is HIGH else HIGH
    answers = [(cell(lam=more), right(506, 1000)), (cell(lam=less), right(500, 1000))]
    (row,) = _rows(tmp_path, answers)
    assert row["p_corrected"] == pytest.approx(2 / 64)
    assert (row["low"] if sign > 0 else -row["high"]) == pytest.approx(0.005977 - 0.006111, abs=1e-5)
    assert row["better"] == ""


def test_of_a_mean_the_larger_p_counts():
    # Ten images gain wholly, ten lose half: as many as not, p = 1 by the sign test; by the mean 5 / 23.84 = 0.2097,
    # variance 16.34 / 23.84 - 0.2097^2 = 0.6415, z = 1.28, p = 0.20.
    ids, gained = np.arange(20), right(10, 20)
    sides = [(Right(ids, gained), Right(ids, lost)) for lost in (~gained, np.zeros(20, bool))]
    assert compared(None, (None, None), sides).p == 1


def _attacked():
    """At 0.5 PGD leaves 0-7; the perturbations made at 0.1 leave 2-9; Square leaves 0-3; noise leaves all.

    At 0.1 PGD leaves 0-3, Square and noise all.
    """
    made = cell(PGD)
    return [
        (made, right(4)),
        (cell(PGD, lam=HIGH), right(8)),
        (cell(PGD, lam=HIGH, lam_attack=LOW, parents=(made.id,)), right(8, first=2)),
        (cell(SQUARE, lam=HIGH), right(4)),
        (cell(SQUARE), right(10)),
        (cell(RANDOM, lam=HIGH), right(10)),
        (cell(RANDOM), right(10)),
    ]


def test_the_worst_case_is_of_everything_run_in_the_ball(tmp_path):
    rows = _rows(tmp_path, _attacked())
    worst = next(row for row in rows if row["kind"] == "worst_case")
    # At 0.5: 0-7 and 2-9 and 0-3 = images 2, 3. At 0.1: PGD's 0-3.
    assert (worst["family"].endswith("worst case of every attack"), worst["perturbation"]) == (
        True,
        "every attack",
    )
    assert (worst["lambda_a"], worst["accuracy_a"], worst["accuracy_b"]) == (0.5, 0.2, 0.4)
    assert (worst["only_a"], worst["only_b"]) == (0, 2)
    assert not any(row["kind"] == "transfer" for row in rows)
    direct = next(row for row in rows if row["kind"] == "attack")
    assert worst["accuracy_a"] <= direct["accuracy_a"]


@pytest.mark.parametrize("stronger", ["scratch", "curve"])
def test_of_two_answers_the_lower_is_compared_as_it_is_in_tables(tmp_path, stronger):
    scratch, curve = (cell(PGD, parents=parents) for parents in ((), ("p",)))
    low, high = (scratch, curve) if stronger == "scratch" else (curve, scratch)
    rows = _rows(tmp_path, [(low, right(3)), (high, right(4)), (cell(PGD, lam=HIGH), right(5))])
    assert {row["accuracy_b"] for row in rows if row["kind"] == "attack"} == {0.3}


def test_the_worst_case_counts_every_run_of_an_attack(tmp_path):
    # From scratch 0-3 are left, after a smaller budget 2-5: images 2 and 3 survive both.
    answers = [
        (cell(PGD), right(4)),
        (cell(PGD, parents=("p",)), right(4, first=2)),
        (cell(SQUARE), right(10)),
    ]
    with made_store(tmp_path, answers) as store:
        found = gather(Snapshot.read(store))
    (run,) = (run for asked, run in found.items() if asked.kind == "worst_case")
    assert [int(one.right.sum()) for one in run.values()] == [2]


def test_a_ball_is_one_however_its_budget_was_written(tmp_path):
    pgd, square = (
        attack_specs(name, [Eps.parse(eps)])[0] for name, eps in (("pgd", "8/255"), ("square", "16/510"))
    )
    answers = [(cell(spec, lam=lam), right(8)) for spec in (pgd, square) for lam in (LOW, HIGH)]
    assert [row["kind"] for row in _rows(tmp_path, answers)] == ["attack", "attack", "worst_case"]


def test_lambdas_that_met_other_attacks_have_no_worst_case_in_common(tmp_path):
    rows = _rows(
        tmp_path,
        [answer for answer in _attacked() if answer[0].perturbation != SQUARE or answer[0].lam == LOW],
    )
    assert not [row for row in rows if row["kind"] == "worst_case"], "Square was run at 0.1 alone"
    assert [row["perturbation"] for row in rows if row["kind"] == "attack"] == [PGD.label], (
        "what both met stays"
    )


def test_what_transfers_alone_is_no_worst_case(tmp_path):
    made = cell(PGD)
    answers = [
        (cell(), right(190, n=200)),
        (cell(lam=HIGH), right(180, n=200)),
        (made, right(20, n=200)),
        (cell(RANDOM), right(190, n=200)),
        (cell(RANDOM, lam=HIGH), right(180, n=200)),
        (cell(PGD, lam=HIGH, lam_attack=LOW, parents=(made.id,)), right(120, n=200)),
    ]
    with made_store(tmp_path, answers) as store:
        snapshot = Snapshot.read(store)
    compared = comparisons(snapshot)
    assert not [row for row in compared if row.asked.kind == "worst_case"]
    told = dict(sentences(evidences(rows_of(snapshot), compared, rivals(snapshot))))
    assert "not measured" in told["adversary"]
    assert "says nothing about robustness" in told["masking"]


def test_a_worst_case_is_told_by_what_was_run_at_its_own_lambda(tmp_path):
    """PGD was made at 0.1 alone; at 0.9 too it was only shown, and nobody tried to break that."""
    made, other = cell(PGD), LambdaSpec("0.9")
    answers = [(made, right(4)), *((cell(SQUARE, lam=lam), right(6)) for lam in (LOW, HIGH))]
    answers += [(cell(RANDOM, lam=lam), right(9)) for lam in (LOW, HIGH, other)]
    answers += [(cell(PGD, lam=lam, lam_attack=LOW, parents=(made.id,)), right(8)) for lam in (HIGH, other)]
    with made_store(tmp_path, answers) as store:
        found = gather(Snapshot.read(store))
    assert {
        (asked.met, subject.lam)
        for asked, run in found.items()
        if asked.kind == "worst_case"
        for subject in run
    } == {(("noise", PGD.label, "square"), LOW), (("noise", "square"), HIGH)}


@pytest.mark.parametrize("seed", range(5))
def test_the_worst_case_is_never_above_any_single_answer(tmp_path, seed):
    generator = np.random.default_rng(seed)
    answers = [(asked, generator.random(10) < 0.8) for asked, _ in _attacked()]
    rows = [row for row in _rows(tmp_path, answers) if row["kind"] == "worst_case"]
    assert len(rows) == 1
    for side in ("a", "b"):
        single = [
            given.mean() for asked, given in answers if float(asked.lam.text) == rows[0][f"lambda_{side}"]
        ]
        assert rows[0][f"accuracy_{side}"] <= min(single)


def test_means_over_as_many_other_conditions_are_not_mixed(tmp_path):
    mild, strong, _ = NOISE
    moderate = corruption_specs("gaussian_noise", [3])[0]
    answers = [(cell(spec), right(n, n=40)) for spec, n in ((mild, 30), (moderate, 20), (strong, 10))]
    answers += [(cell(spec, lam=HIGH), right(n, n=40)) for spec, n in ((mild, 38), (moderate, 28))]
    answers += [
        (cell(spec, lam=LambdaSpec("0.9")), right(n, n=40)) for spec, n in ((moderate, 40), (strong, 30))
    ]
    with made_store(tmp_path, answers) as store:
        snapshot = Snapshot.read(store)
    known = evidences(rows_of(snapshot), comparisons(snapshot), [])
    text = dict(sentences(known))["noise"]
    # Both over "1 noise, 2 conditions": of 80 answers 50 are right at 0.1 beside 0.5, and 30 beside 0.9.
    assert [part.split("% at the training")[0][-5:] for part in text.split(" The mean over ")[1:]] == [
        "62.5 ",
        "37.5 ",
    ]
    assert "0.5 comes out highest" in text
    assert "0.9 comes out highest" in text


def test_rivals_count_what_the_direct_attack_missed(tmp_path):
    with made_store(tmp_path, _attacked()) as store:
        found = {
            (row["lambda"], row["rival"]): row
            for row in (found.record() for found in rivals(Snapshot.read(store)))
        }
    # PGD at 0.5 leaves 0-7: transfer (2-9 survive) breaks 0 and 1, Square (0-3 survive) breaks 4 to 7, noise none.
    assert {key: row["broken"] for key, row in found.items()} == {
        (0.1, "noise"): 0,
        (0.1, "square"): 0,
        (0.5, "noise"): 0,
        (0.5, "square"): 4,
        (0.5, "transfer"): 2,
    }
    # Fewer than three are never suspicious; 4 of 10 at a rate of 0.2 % are.
    assert [found[0.5, name]["suspicious"] for name in ("square", "transfer", "noise")] == [
        True,
        False,
        False,
    ]


def test_a_rival_is_held_to_a_rare_rate_of_all_images_and_no_stage_is_one(tmp_path):
    # Of 1,000 images at a rate of 0.2 %: P(X >= 5) = 0.052, P(X >= 7) = 0.0045; of the 100 left five would be odd.
    for broken, odd in ((5, False), (7, True)):
        answers = [(cell(PGD), right(100, 1000)), (cell(SQUARE), right(1000 - broken, 1000, first=broken))]
        path = tmp_path / str(broken)
        path.mkdir()
        with made_store(path, answers) as store:
            (found,) = rivals(Snapshot.read(store))
        assert (found.n, found.left, found.broken, found.suspicious) == (1000, 100, broken, odd)
    stage = replace(SQUARE, chain="autoattack")
    with made_store(tmp_path, [(cell(PGD), right(8)), (cell(stage), right(1))]) as store:
        assert rivals(Snapshot.read(store)) == ()


def test_subjects_that_saw_different_images_are_compared_on_those_they_share(tmp_path):
    rows = _rows(tmp_path, [(cell(), right(6, n=6)), (cell(model=RESNET), right(10))])
    assert rows[0]["n"] == 6
    assert rows[0]["only_a"] == rows[0]["only_b"] == 0
    assert rows[0]["p"] == 1


def test_answers_are_paired_by_image_whatever_order_they_lie_in():
    ids, given = np.arange(5), np.array([True, True, False, False, True])
    found = compared(None, (None, None), [(Right(ids, given), Right(ids[::-1], given[::-1]))])
    assert (found.n, found.only_a, found.only_b) == (5, 0, 0)
    moved = compared(None, (None, None), [(Right(ids, given), Right(ids + 1, given))])
    # Images 1 to 4 are T F F T on one side and T T F F on the other.
    assert (moved.n, moved.only_a, moved.only_b) == (4, 1, 1)


def test_all_pairs_at_once_say_what_each_says_alone(tmp_path):
    draws = np.random.default_rng(0)
    asked = [cell(lam=LambdaSpec(f"0.{number}")) for number in range(1, 7)] + [cell(model=RESNET)]
    with made_store(tmp_path, [(one, draws.random(200) < 0.6) for one in asked]) as store:
        snapshot = Snapshot.read(store)
    ((_, found),) = gather(snapshot).items()
    rows = comparisons(snapshot)
    assert len(rows) == 6
    for row in rows:
        alone = compared(row.asked, (row.a, row.b), [(found[row.a], found[row.b])])
        assert replace(row, p_corrected=0) == replace(alone, p_corrected=0)


def test_subjects_that_saw_no_image_in_common_are_not_compared(tmp_path):
    with made_store(tmp_path, [(cell(), right(6)), (cell(model=RESNET), right(9))]) as store:
        snapshot = Snapshot.read(store)
    apart = [
        replace(one, outcome=replace(one.outcome, ids=one.outcome.ids + 10 * number))
        for number, one in enumerate(snapshot.answered)
    ]
    assert comparisons(replace(snapshot, answered=tuple(apart))) == ()


@pytest.mark.parametrize(("gained", "lost", "n"), [(30, 12, 200), (4, 0, 4), (0, 0, 9)])
def test_the_interval_of_what_was_picked_is_bonferronis(gained, lost, n):
    # Of 4 images that all gain its own interval is cut off at 1, and widened from there it would be too narrow.
    first = np.repeat([True, False, True], [gained, lost, n - gained - lost])
    other = np.repeat([False, True, True], [gained, lost, n - gained - lost])
    ids = np.arange(n)
    one = compared(None, (None, None), [(Right(ids, first), Right(ids, other))])
    differences = first.astype(float) - other
    for among in (1, 13):
        assert one.picked(among) == pytest.approx(difference_interval(differences, 1 - 0.05 / among))
    assert one.picked(1) == (pytest.approx(one.low), pytest.approx(one.high))


@pytest.mark.parametrize(("a", "b"), [(0.3, 0.1 + 0.2), (0.1 + 0.2, 0.3), (0.3, 0.3)])
def test_equal_means_differ_by_no_minus_zero(a, b):
    equal = Comparison(
        asked=None,
        a=None,
        b=None,
        n=20,
        accuracy_a=a,
        accuracy_b=b,
        low=-0.1,
        high=0.1,
        square=0.3,
        only_a=3,
        only_b=3,
        p=1.0,
    )
    assert points(equal.gain, signed=True) == "+0.0 points"


def test_the_interval_of_a_difference():
    # 3.8415 = 1.959964^2 images that differ added, half of each sign. 8 gained, 2 lost of 98: 6 / 101.8415 = 0.0589;
    # variance 13.8415 / 101.8415 - 0.058915^2 = 0.132441; half the width 1.959964 * sqrt(0.132441 / 101.8415).
    differences = np.array([1.0] * 8 + [-1.0] * 2 + [0.0] * 88)
    low, high = difference_interval(differences)
    half = 1.959964 * (0.132441 / 101.8415) ** 0.5
    assert (low, high) == (pytest.approx(0.058915 - half, abs=1e-5), pytest.approx(0.058915 + half, abs=1e-5))
    assert np.isnan(difference_interval(np.empty(0))).all()


def test_comparisons_need_no_torch():
    import subprocess
    import sys

    program = "import robustbench_sdnet.answers.comparisons, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_report_shows_significant_differences_and_counts_the_others(tmp_path):
    from robustbench_sdnet.reports import report

    answers = [
        (cell(lam=LambdaSpec(lam)), right(count)) for lam, count in (("0.1", 10), ("0.3", 9), ("0.5", 2))
    ]
    with made_store(tmp_path, answers) as store:
        text = report(store, output=tmp_path / "report.md").read_text()
    # lambda 0.5 loses 8 images: p = 2/256, corrected 4/256 = 0.0156; lambda 0.3 loses one.
    assert "McNemar" in text
    families = next(line for line in text.splitlines() if line.startswith("| tiny: lambdas of sdnet, clean"))
    assert [part.strip() for part in families.split("|")[2:5]] == ["2", "1", "1"]
    line = next(line for line in text.splitlines() if line.startswith("| sdnet @ 0.5 "))
    assert [part.strip() for part in line.split("|")[1:-1]] == [
        "sdnet @ 0.5", "sdnet @ 0.1", "clean", "10", "20.0", "100.0", "0", "8", "0.0078", "0.0156", "sdnet @ 0.1",
    ]  # fmt: skip
    assert "1 other comparison of this family found no significant difference" in text
    assert SDNET.name in text


def test_what_was_transferred_to_a_lambda_does_not_cast_doubt_on_it(tmp_path):
    """PGD at 0.1 met gradients of zero; at 0.5, where it found none, its perturbations are one more attack."""
    weak = cell(PGD, lam=LOW)
    answers = [
        (weak, right(3)),
        (cell(PGD, lam=HIGH), right(5)),
        (cell(PGD, lam=HIGH, lam_attack=LOW, parents=(weak.id,)), right(9)),
    ]
    with made_store(tmp_path, answers) as store:
        plain = Snapshot.read(store)
    costs = [
        replace(one.cost, gradients=10, silent=9) if one.id == weak.id else one.cost for one in plain.answered
    ]
    answered = tuple(replace(one, cost=cost) for one, cost in zip(plain.answered, costs, strict=True))
    snapshot = replace(plain, answered=answered)
    (direct,) = (one for one in comparisons(snapshot) if one.asked.kind == "attack")
    assert (direct.untrusted_a, direct.untrusted_b) == (False, True)
    assert {
        (subject.lam, right.untrusted)
        for asked, run in gather(snapshot).items()
        for subject, right in run.items()
        if asked.kind == "worst_case"
    } == {(HIGH, False)}
    found = {(row.kind, row.lam): row.verdict for row in rows_of(snapshot)}
    assert found == {
        ("attack", LOW): "untrusted",
        ("transfer", HIGH): "untrusted",
        ("attack", HIGH): "unchecked",
        ("worst_case", HIGH): "unchecked",
    }


def test_a_model_that_draws_random_numbers_has_no_rivals(tmp_path):
    drawing = replace(SDNET, options=params({"randomised": True})).counted(Repeats(10))
    answers = [(cell(spec), right(count)) for spec, count in ((PGD, 8), (SQUARE, 1))]
    with made_store(tmp_path, answers) as store:
        plain = Snapshot.read(store)
    assert [(one.name, one.broken) for one in rivals(plain)] == [("square", 7)]
    drawn = (replace(one, cell=replace(one.cell, model=drawing)) for one in plain.answered)
    assert rivals(replace(plain, answered=tuple(drawn))) == ()


def test_a_mean_of_draws_is_compared_as_tables_show_it(tmp_path):
    """At 0.1 six of ten draws are right on every image, at 0.5 seven: both a majority everywhere."""
    model = replace(SDNET, options=params({"randomised": True})).counted(Repeats(10))
    answers = [
        (replace(cell(spec, lam=lam), model=model), right(10)) for spec in NOISE for lam in (LOW, HIGH)
    ]
    with made_store(tmp_path, answers) as store:
        plain = Snapshot.read(store)
    hits = {LOW: np.full(10, 6, np.int32), HIGH: np.full(10, 7, np.int32)}
    drawn = tuple(
        replace(one, outcome=replace(one.outcome, hits=hits[one.cell.lam])) for one in plain.answered
    )
    snapshot = replace(plain, answered=drawn)
    (note,) = model_table(drawn).notes
    assert "the mean of 10 draws on each final image" in note
    assert "A worst case counts the majority of draws, so that it may lie above their mean, and comes" in note
    shown = {row.lam: row.accuracy for row in rows_of(snapshot)}
    assert shown == {LOW: pytest.approx(0.6), HIGH: pytest.approx(0.7)}
    for one in comparisons(snapshot):
        assert (one.accuracy_a, one.accuracy_b) == (pytest.approx(0.7), pytest.approx(0.6))
        # Of the sign test (2 / 1024) and that of the mean the larger counts: 1 / 13.8415 = 0.0722, variance
        # (0.1 + 3.8415) / 13.8415 - 0.0722^2 = 0.2795, z = 0.0722 / sqrt(0.2795 / 13.8415) = 0.508.
        assert (one.only_a, one.only_b, one.p) == (10, 0, pytest.approx(0.6112, abs=1e-4))
