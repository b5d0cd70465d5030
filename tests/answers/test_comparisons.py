"""Paired tests from a store: numbers worked out by hand, and families corrected apart."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from robustbench_sdnet.answers.comparisons import Comparison, compared, comparisons
from robustbench_sdnet.answers.gathered import gather
from robustbench_sdnet.answers.per_image import Right
from robustbench_sdnet.answers.rows import rows as rows_of
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.planning.questions import corruption_specs
from robustbench_sdnet.reports.conclusion import sentences
from robustbench_sdnet.reports.evidence import evidences
from robustbench_sdnet.reports.numbers import points
from robustbench_sdnet.reports.tables.provenance import model_table
from robustbench_sdnet.specs import LambdaSpec, SequenceSpec, params
from robustbench_sdnet.specs.models import Repeats
from robustbench_sdnet.statistics import difference_interval

from ..made_answers import HIGH, LOW, NOISE, RESNET, SDNET, cell, compared_records, made_store, right


def test_models_are_compared_at_their_training_lambda_on_the_same_images(tmp_path):
    answers = [(cell(), right(10)), (cell(model=RESNET), right(2)), (cell(lam=HIGH), right(4))]
    rows = compared_records(tmp_path, answers)
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


def test_sequences_are_not_compared(tmp_path):
    spec = SequenceSpec(name="fog", frames=31)
    answers = [(cell(spec, lam=lam), right(count)) for lam, count in ((LOW, 8), (HIGH, 5))]
    assert compared_records(tmp_path, answers) == [], "they do not ask whether predictions are right"


def test_corrections_hold_within_a_family_and_nobody_is_better_without_one(tmp_path):
    answers = []
    for lam, count in (("0.1", 10), ("0.3", 4), ("0.5", 3), ("0.7", 9)):
        answers.append((cell(lam=LambdaSpec(lam)), right(count)))
    rows = {row["lambda_a"]: row for row in compared_records(tmp_path, answers)}
    # Raw p: 0.5 loses 7 images, 2/128; 0.3 loses 6, 2/64; 0.7 loses 1, 2 * 1/2 = 1.
    # Holm, smallest first: 3 * 2/128 = 0.046875; 2 * 2/64 = 0.0625; 1 * 1 = 1.
    assert rows[0.5]["p_corrected"] == pytest.approx(6 / 128)
    assert rows[0.3]["p"] < 0.05
    assert rows[0.3]["p_corrected"] == pytest.approx(4 / 64)
    assert rows[0.7]["p_corrected"] == 1
    assert [rows[lam]["better"] for lam in (0.3, 0.5, 0.7)] == ["", "sdnet @ 0.1", ""]


def test_a_mean_over_conditions_counts_each_image_once(tmp_path):
    # Three conditions; at 0.5 images 0-7 are right in all, at 0.1 in the first alone: 8 images gain, none loses.
    answers = [(cell(spec, lam=HIGH), right(8)) for spec in NOISE]
    answers += [(cell(spec), right(8 if spec is NOISE[0] else 0)) for spec in NOISE]
    mean = [row for row in compared_records(tmp_path, answers) if row["kind"] == "mean"]
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
        asked = [one.question for one in comparisons(Snapshot.read(store)) if one.question.kind == "mean"]
    assert {(one.perturbation, one.is_noise) for one in asked} == {
        ("2 noises, 3 conditions", True),
        ("3 corruptions, 4 conditions", False),
    }


def test_published_images_have_means_and_families_of_their_own_and_one_condition_has_no_mean(tmp_path):
    published = corruption_specs("gaussian_noise", [1, 5], source="published")
    answers = [
        (cell(spec, lam=lam), right(count))
        for spec in (*NOISE[:1], *published)
        for lam, count in ((LOW, 5), (HIGH, 8))
    ]
    found = compared_records(tmp_path, answers)
    assert [(row["family"], row["perturbation"], row["severity"]) for row in found] == [
        ("tiny: lambdas of sdnet, corruptions", "gaussian_noise", 1),
        ("tiny: lambdas of sdnet, corruptions (published)", "gaussian_noise", 1),
        ("tiny: lambdas of sdnet, corruptions (published)", "gaussian_noise", 5),
        ("tiny: lambdas of sdnet, mean over corruptions (published)", "1 noise, 2 conditions", None),
    ]


def test_a_mean_over_everything_is_none_where_two_sides_share_noises_alone(tmp_path):
    # The plain network and the training lambda saw fog too, the other lambda did not: its one mean is that over noises,
    # and is corrected with no copy of itself.
    fog = corruption_specs("fog", [1])
    answers = [(cell(spec, lam=LOW), right(2)) for spec in NOISE + fog]
    answers += [(cell(spec, lam=HIGH), right(10)) for spec in NOISE]
    answers += [(cell(spec, model=RESNET), right(5)) for spec in NOISE + fog]
    with made_store(tmp_path, answers) as store:
        means = [one for one in comparisons(Snapshot.read(store)) if one.question.kind == "mean"]
    within = [one for one in means if one.within]
    assert [one.question.perturbation for one in within] == ["2 noises, 3 conditions"]
    assert within[0].p_corrected == within[0].p
    assert sorted(one.question.perturbation for one in means if not one.within) == [
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
    means = [row["perturbation"] for row in compared_records(tmp_path, answers) if row["kind"] == "mean"]
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
    (mean,) = [row for row in compared_records(tmp_path, answers) if row["kind"] == "mean"]
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
    (row,) = compared_records(tmp_path, answers)
    assert row["p_corrected"] == pytest.approx(2 / 64)
    assert (row["low"] if sign > 0 else -row["high"]) == pytest.approx(0.005977 - 0.006111, abs=1e-5)
    assert row["better"] == ""


def test_of_a_mean_the_larger_p_counts():
    # Ten images gain wholly, ten lose half: as many as not, p = 1 by the sign test; by the mean 5 / 23.84 = 0.2097,
    # variance 16.34 / 23.84 - 0.2097^2 = 0.6415, z = 1.28, p = 0.20.
    ids, gained = np.arange(20), right(10, 20)
    sides = [(Right(ids, gained), Right(ids, lost)) for lost in (~gained, np.zeros(20, bool))]
    assert compared(None, (None, None), sides).p == 1


def test_means_over_as_many_other_conditions_are_not_mixed(tmp_path):
    mild, strong, _ = NOISE
    weak, moderate = corruption_specs("gaussian_noise", [2, 3])
    answers = [(cell(spec), right(n, n=40)) for spec, n in ((mild, 30), (moderate, 20), (strong, 10))]
    answers += [(cell(spec, lam=HIGH), right(n, n=40)) for spec, n in ((mild, 38), (moderate, 28))]
    answers += [
        (cell(spec, lam=LambdaSpec("0.9")), right(n, n=40)) for spec, n in ((moderate, 40), (strong, 30))
    ]
    answers.append((cell(weak, lam=HIGH), right(40, n=40)))  # which nobody asked at 0.1
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


def test_subjects_that_saw_different_images_are_compared_on_those_they_share(tmp_path):
    rows = compared_records(tmp_path, [(cell(), right(6, n=6)), (cell(model=RESNET), right(10))])
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
    answers = [(one, draws.random(200) < 0.6) for one in asked]
    # Six images more alone than at 0.1: McNemar's p is 2 / 64, that of the mean is larger, and counts for means alone.
    answers.append((cell(lam=LambdaSpec("0.7")), answers[0][1] | (np.cumsum(~answers[0][1]) <= 6)))
    with made_store(tmp_path, answers) as store:
        snapshot = Snapshot.read(store)
    ((_, found),) = gather(snapshot).items()
    rows = comparisons(snapshot)
    assert len(rows) == 7
    assert 2 / 64 in [row.p for row in rows]
    for row in rows:
        alone = compared(row.question, (row.a, row.b), [(found[row.a], found[row.b])])
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
        question=None,
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
    assert "each final image counts by the share of 10 draws that are right" in note
    assert "A worst case counts the majority of draws, so that it may lie above their mean, and comes" in note
    shown = {row.lam: row.accuracy for row in rows_of(snapshot)}
    assert shown == {LOW: pytest.approx(0.6), HIGH: pytest.approx(0.7)}
    for one in comparisons(snapshot):
        assert (one.accuracy_a, one.accuracy_b) == (pytest.approx(0.7), pytest.approx(0.6))
        # Of the sign test (2 / 1024) and that of the mean the larger counts: 1 / 13.8415 = 0.0722, variance
        # (0.1 + 3.8415) / 13.8415 - 0.0722^2 = 0.2795, z = 0.0722 / sqrt(0.2795 / 13.8415) = 0.508.
        assert (one.only_a, one.only_b, one.p) == (10, 0, pytest.approx(0.6112, abs=1e-4))
