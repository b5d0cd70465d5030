"""The conclusion: claims only what a test found, and says where images are too few."""

from dataclasses import replace

import pytest

from robustbench_sdnet.answers.gathered import Subject
from robustbench_sdnet.reports.conclusion import conclusion, sentences
from robustbench_sdnet.reports.evidence import evidences
from robustbench_sdnet.reports.tables.comparisons import UNEVEN, family_table, significant_table
from robustbench_sdnet.reports.tables.gains import gain_table
from robustbench_sdnet.specs import CorruptionSpec, Eps, LambdaSpec

from .made_evidence import BALL, CLEAN, MEAN, NOISE, SDNET, SHOT, compared, record, said, within
from .made_records import DATA, FAILED, RESNET, network


def test_a_significant_gain_under_noise_is_named_with_its_policy_and_points():
    # calibrated gains 120 and loses 20 of 1000: 10 points; 0.5 gains 60 and loses 10: 5 points.
    text = said([], [compared(0.5, 60, 10), compared("calibrated", 120, 20)])["noise"]
    assert "Another lambda helps." in text
    assert "50.0 % at the training lambda 0.1" in text
    assert "calibrated gains 10.0 points" in text
    assert "tests of one noise" not in text, "none was made"
    assert "0.5 comes out highest: it gains 5.0 points" in text
    assert "calibrated costs 10.0 points (" in said([], [compared("calibrated", 20, 120)])["noise"]


def test_no_gain_is_a_no_only_where_the_interval_is_narrow():
    # 20 against 20 of 1000: interval 0 +- 1.29 points, inside 3 points: no.
    narrow = said([], [compared(0.5, 20, 20)])["noise"]
    assert "No other lambda helps" in narrow
    assert "changes nothing beyond 3.0 points" in narrow
    # 4 against 2 of 50: 2 / 53.84 +- 1.96 * sqrt(...) reaches 15 points: cannot tell.
    wide = said([], [compared(0.5, 4, 2, n=50, base=25)])["noise"]
    assert "Cannot tell whether another lambda helps" in wide
    assert "cannot be told from chance: too few images" in wide
    assert "No other" not in wide
    # A balanced 6 of 50 (0.12): z^2 (0.12 + sqrt(0.12^2 + 4 * 0.03^2 * 0.88)) / (2 * 0.03^2) - z^2 = 535.2 images.
    assert "too few images (50, and a no takes about 536 or more)." in wide
    # 4 against 4 of 50: no gain, and yet not the same answers.
    assert "changes no answer" not in said([], [compared(0.5, 4, 4, n=50, base=25)])["noise"]
    # 1 against 4 of 100: -3 / 103.84 +- 1.96 * sqrt(0.0843 / 103.84) goes from -8.5 to 2.7 points: no gain, but loss?
    loss = said([], [compared(0.5, 1, 4, n=100, base=50)])["noise"]
    assert "No other lambda helps" in loss
    assert "moves accuracy by -3.0 points, which cannot be told from chance" in loss


@pytest.mark.parametrize("n", [64, 124, 125])
def test_equal_answers_on_few_images_are_no_no(n):
    # A lambda that helps 3 % of images helps none of 64 in 0.97^64 = 14 % of cases; 3.8415 / (125 + 3.8415) < 3 %.
    text = said([], [compared(0.5, 0, 0, n=n, base=n)])["noise"]
    assert ("No other lambda helps (by more than 3.0 points)." in text) == (n == 125)
    assert ("changes nothing beyond 3.0 points" in text) == (n == 125)
    assert ("changes no answer, on too few images to tell more" in text) == (n < 125)
    assert (f"too few images ({n}, and a no takes about 125 or more)" in text) == (n < 125)


def test_too_few_images_stand_beside_no_no():
    # The interval of one is within 3 points from 125 images on, that of the best of two from 143 on.
    text = said([], [compared(lam, 0, 0, n=130, base=130) for lam in (0.3, 0.5)])["noise"]
    assert "No other lambda helps (by more than 3.0 points)." in text
    assert "too few images" not in text


def test_a_no_takes_images_for_what_is_open_alone():
    # 0.5 lost 30 of 100 and is closed; 0.3, which changed nothing, takes 125. A share of 0.3 would take 1,286.
    text = said([], [compared(0.3, 0, 0, n=100, base=90), compared(0.5, 0, 30, n=100, base=90)])["noise"]
    assert "too few images (100, and a no takes about 125 or more)." in text
    # A balanced 20 of 100: z^2 (0.2 + sqrt(0.2^2 + 4 * 0.03^2 * 0.8)) / (2 * 0.03^2) - z^2 = 864.9, the most of both.
    text = said([], [compared(0.3, 0, 0, n=100, base=90), compared(0.5, 10, 10, n=100, base=80)])["noise"]
    assert "too few images (100, and a no takes about 865 or more)." in text
    # Where all of four gain, the interval ends at its limit, 1; a share of 1 takes z^2 / 0.03^2 - z^2 = 4,264.5.
    text = said([], [compared(0.5, 4, 0, n=4, base=0)])["noise"]
    assert "too few images (4, and a no takes about 4,265 or more)." in text
    # 60 against 40 of 1,000 reach 4 points: a share of 0.1 takes 456 where it changes nothing, so no number helps.
    assert "too few images. The mean" in said([], [compared(0.5, 60, 40)])["noise"]


def test_the_best_of_several_numbers_has_an_interval_for_the_choice():
    # 0.7 gains 30 and loses 20 of 1,000; z of 1 - 0.05 / 2 / 3 is 2.394 for the 1.960 of one number alone.
    every = [compared(lam, *counts) for lam, counts in ((0.3, (30, 30)), (0.5, (30, 25)), (0.7, (30, 20)))]
    best = every[2]
    middle, half = (best.low + best.high) / 2, (best.high - best.low) / 2 * 2.393980 / 1.959964
    interval = f"{100 * (middle - half):+.1f} to {100 * (middle + half):+.1f}"
    picked = f"3.0 points (95 % interval, widened for the choice among 3, {interval},"
    assert f"0.7 comes out highest: it changes nothing beyond {picked}" in said([], every)["noise"]
    # 40 and 30 end at 2.6 points by their own interval, at 3.04 by the wider one.
    wider = said([], [*every[:2], compared(0.7, 40, 30)])["noise"]
    assert (
        "0.7 comes out highest: it moves accuracy by +1.0 points, which cannot be told from chance, and by its own "
        "interval gains no more than 3.0 points (" in wider
    )
    assert "No other lambda helps (by more than 3.0 points)." in wider
    assert "too few images" not in wider
    alone = said([], every[2:])["noise"]
    assert f"95 % interval {100 * best.low:+.1f} to {100 * best.high:+.1f}," in alone


def test_means_over_other_conditions_are_not_mixed():
    few = replace(MEAN, perturbation="1 noise, 2 conditions")
    rows = [compared(0.5, 60, 10), compared(0.9, 300, 10, question=few, base=300)]
    text = said([], rows)["noise"]
    assert "The mean over 4 noises, 20 conditions is 50.0 % at the training lambda 0.1." in text
    assert "The mean over 1 noise, 2 conditions is 30.0 % at the training lambda 0.1." in text
    assert "0.5 comes out highest: it gains 5.0 points" in text
    assert "0.9 comes out highest: it gains 29.0 points" in text


@pytest.mark.parametrize(
    ("asked", "question", "base"),
    [
        (MEAN, "noise", "is 30.0 % of 1,000 images at the training lambda 0.1."),
        (BALL, "adversary", "leaves 30.0 % of 1,000 images under linf 8/255."),
    ],
)
def test_the_training_lambda_is_told_on_the_most_images_where_others_saw_fewer(asked, question, base):
    rows = [
        compared(0.5, 4, 2, n=20, base=10, question=asked),
        compared(0.9, 60, 10, base=300, question=asked),
    ]
    assert base in said([record(0.1, 0.5)], rows)[question]


def test_single_noises_are_counted():
    rows = [
        compared(lam, *moved, question=SHOT)
        for lam, moved in ((0.3, (60, 10)), (0.5, (1, 1)), (0.7, (10, 60)))
    ]
    text = said([], [compared(0.5, 60, 10), *rows])["noise"]
    assert "Of 3 tests of one noise at one strength, 1 found a gain and 1 a loss." in text


def test_what_is_no_noise_is_not_counted_as_one():
    fog = replace(SHOT, perturbation="fog", is_noise=False)
    assert "one noise" not in said([], [compared(0.5, 60, 10), compared(0.5, 60, 10, question=fog)])["noise"]


def test_of_equal_gains_the_smallest_number_is_named():
    text = said([], [compared(0.9, 60, 10), compared(0.5, 60, 10)])["noise"]
    assert "Of the fixed numbers, 0.5 comes out highest: it gains 5.0 points" in text


def test_noise_under_one_condition_is_not_called_not_asked():
    text = said([], [compared(0.5, 60, 10, question=SHOT)])["noise"]
    assert "not measured" not in text
    assert (
        "No mean over noises: it needs two conditions measured at both lambdas on the same images. " in text
    )
    assert "Of 1 test of one noise at one strength, 1 found a gain and 0 a loss." in text


def test_a_mean_over_more_than_noises_is_none_over_noises():
    every = replace(MEAN, perturbation="15 corruptions, 75 conditions", is_noise=False)
    assert "not measured" in said([], [compared(0.5, 300, 10, question=every)])["noise"]


def test_a_lambda_chosen_on_test_labels_helps_nobody():
    hindsight = Subject(SDNET, LambdaSpec("calibrated:test-labels"))
    text = said([], [replace(compared(0.7, 300, 10), a=hindsight), compared(0.5, 20, 20)])["noise"]
    assert "No other lambda helps" in text
    assert "calibrated" not in text


def test_a_model_on_two_data_sets_is_told_apart():
    other = replace(DATA, name="letters", content="e" * 64)
    rows = [
        compared(0.5, 60, 10),
        compared(0.5, 10, 60, question=replace(MEAN, data="letters", content=other.content)),
    ]
    hindsight = [record(0.1, 0.40, spec=NOISE), record("oracle", 0.47, spec=NOISE)]
    for data, told in ((DATA, (True, False)), (other, (False, True))):
        here, there = (
            text for _, text in sentences(evidences([replace(row, data=data) for row in hindsight], rows, []))
            if "noise:" in text
        )  # fmt: skip
        assert here.startswith("sdnet on digits, noise: Another lambda helps. The mean over")
        assert there.startswith("sdnet on letters, noise: No other lambda helps (by more than 3.0 points).")
        assert ("gains 7.0 points" in here, "gains 7.0 points" in there) == told


def test_worst_cases_of_two_models_are_not_of_the_same_perturbations():
    between = replace(compared(0.5, 200, 10, question=BALL), a=Subject(RESNET, None))
    plain = replace(between, b=Subject(network("plain"), None))
    for rows, times in (
        ([between], 1),
        ([plain], 0),
        ([compared(0.5, 200, 10, question=BALL)], 1),
        ([compared(0.5, 200, 10)], 0),
    ):
        for table in (family_table(rows), significant_table(rows)):
            assert table.notes.count(UNEVEN) == times


def test_the_oracle_is_called_a_bound_of_any_one_number():
    records = [record(0.1, 0.40, spec=NOISE), record("oracle", 0.47, spec=NOISE)]
    text = said(records, [compared(0.5, 60, 10)])["noise"]
    assert "gains 7.0 points; it bounds any single number, and nobody can deploy it." in text
    stronger = replace(NOISE, severity=1)
    records += [record(0.1, 0.40, spec=stronger), record("oracle", 0.43, spec=stronger)]
    assert "gains 5.0 points; it bounds" in said(records, [compared(0.5, 60, 10)])["noise"], "on average"


def test_oracles_of_other_layers_images_and_origins_are_not_mixed():
    stored = replace(NOISE, stored="jpeg85")
    rows = [
        record(0.1, 0.40, spec=NOISE),
        record("oracle", 0.50, spec=NOISE),
        record("all:oracle", 0.42, spec=NOISE),
    ]
    rows += [record(0.1, 0.30, spec=stored), record("oracle", 0.60, spec=stored)]
    text = said(rows, [compared(0.5, 60, 10)])["noise"]
    for told, gain in (("oracle", 10), ("all:oracle", 2), ("oracle, generated, stored as jpeg85", 30)):
        assert (
            f"({told}, 1,000 images) gains {gain}.0 points; it bounds any single number, and nobody can deploy it."
            in text
        )


@pytest.mark.parametrize(
    "row",
    [
        replace(record("oracle", 0.08, spec=NOISE), n=100),
        replace(record("oracle", 0.8, spec=NOISE), images="10-1009"),
        record("oracle", 0.8, spec=CorruptionSpec(name="fog", severity=5)),
        replace(record("oracle", 0.8, spec=NOISE), lam=LambdaSpec("calibrated:test-labels")),
    ],
    ids=["fewer images", "other images", "no noise", "image by image"],
)
def test_an_oracle_is_of_numbers_under_noise_on_the_same_images(row):
    trained = [record(0.1, 0.40, spec=spec) for spec in {NOISE, row.perturbation}]
    assert "bounds any single number" not in said([*trained, row], [compared(0.5, 60, 10)])["noise"]


def test_lambdas_of_all_layers_are_spoken_of_alike():
    answers = [
        said(
            [record(0.1, 0.40, spec=NOISE), record(f"{scope}oracle", 0.47, spec=NOISE)],
            [compared(f"{scope}0.5" if scope else 0.5, 60, 10), compared(f"{scope}calibrated", 120, 20)],
        )["noise"]
        for scope in ("", "all:")
    ]
    assert "all:0.5 comes out highest" in answers[1]
    assert answers[1].replace("all:", "") == answers[0]


def test_what_was_not_asked_is_said_so():
    text = said([], [compared(0.5, 1, 1, question=CLEAN)])
    assert list(text) == ["noise", "adversary"]
    assert all("not measured" in answer for answer in text.values())
    twice = [*evidences([], [compared(0.5, 1, 1)], [])] * 2
    assert [question for question, _ in sentences(twice)] == ["noise", "noise", "adversary"], (
        "attacks: said once"
    )
    assert not list(conclusion(evidences([], [], [])))
    assert [s.title for s in conclusion(evidences([], [compared(0.5, 1, 1)], []))] == [
        "Conclusion",
        "sdnet: gains over lambda 0.1",
    ]


def test_every_gain_and_loss_stands_in_a_table():
    half = replace(BALL, eps=Eps.parse("4/255"))
    rows = [
        compared(0.5, 20, 20),
        compared("calibrated", 200, 10),
        compared(0.5, 200, 10, question=half),
        compared(0.9, 200, 10, question=half),
        compared(0.5, 10, 200, question=BALL),
        compared(0.7, 1, 4, n=100, base=50, question=BALL),
        compared(0.9, 4, 2, n=50, base=25, question=BALL),
    ]
    weak = within(record(0.9, 0.9, findings=(FAILED,)), half)
    _, section = conclusion(evidences([weak], rows, []))
    (table,) = section.tables
    assert [(row[0], row[1], row[2], row[-1]) for row in table.rows] == [
        ("mean of 4 noises, 20 conditions", "0.5", 1000, "no change"),
        ("mean of 4 noises, 20 conditions", "calibrated", 1000, "gain"),
        ("worst case, linf 4/255", "0.5", 1000, "gain, unchecked"),
        ("worst case, linf 4/255", "0.9", 1000, "gain, untrusted"),
        ("worst case, linf 8/255", "0.5", 1000, "loss"),
        ("worst case, linf 8/255", "0.7", 100, "no gain"),
        ("worst case, linf 8/255", "0.9", 50, "too few images"),
    ]
    one = rows[4]
    assert table.columns[3:6] == ("at 0.1", "accuracy", "gain")
    interval = f"{100 * one.low:+.1f} to {100 * one.high:+.1f}"
    assert table.rows[4][3:-1] == ("50.0", "31.0", "-19.0", interval, "< 0.0001")
    assert "untrusted: " in table.notes[-1]
    _, section = conclusion(evidences([weak], rows[:2], []))
    assert all("untrusted: " not in note for table in section.tables for note in table.notes)


def test_where_no_number_comes_out_higher_none_is_praised():
    text = said([], [compared(0.5, 0, 0, n=20, base=10), compared(0.7, 0, 1, n=20, base=10)])["noise"]
    assert "Of the fixed numbers none comes out higher" in text
    assert "comes out highest" not in text


def test_salt_and_pepper_is_noise_like_any_other():
    salt = replace(NOISE, name="salt_and_pepper")
    rows = [record(0.1, 0.40, spec=salt), record("oracle", 0.47, spec=salt)]
    assert (
        "gains 7.0 points; it bounds any single number, and nobody can deploy it."
        in said(rows, [compared(0.5, 60, 10)])["noise"]
    )


def test_what_is_less_than_all_is_not_printed_as_all_beside_a_gain():
    (known,) = evidences([], [compared(0.5, 300, 0, n=10_000, base=9699)], [])
    assert gain_table(known).rows[0][3:6] == ("97.0", "99.99", "+3.0")
    assert significant_table([compared(0.5, 300, 0, n=10_000, base=9699)]).rows[0][4:6] == ("99.99", "97.0")
