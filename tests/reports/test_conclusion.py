"""The conclusion: claims only what a test found, and says where images are too few."""

import re
from dataclasses import replace

import numpy as np
import pytest

from robustbench_sdnet.answers.comparisons import Comparison, comparisons
from robustbench_sdnet.answers.gathered import EVERY, Question, Subject
from robustbench_sdnet.answers.rivals import Rival, rivals
from robustbench_sdnet.answers.rows import rows as rows_in
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.reports.conclusion import conclusion, sentences
from robustbench_sdnet.reports.evidence import evidences
from robustbench_sdnet.reports.lead import lead
from robustbench_sdnet.reports.results import Results
from robustbench_sdnet.reports.tables.comparisons import UNEVEN, family_table, significant_table
from robustbench_sdnet.reports.tables.gains import gain_table
from robustbench_sdnet.specs import CorruptionSpec, Eps, LambdaSpec
from robustbench_sdnet.statistics import difference_interval, mcnemar

from ..made_answers import HIGH, LOW, PGD, RANDOM, SQUARE, cell, made_store, right
from .made_records import (
    DATA,
    FAILED,
    PASSED,
    RESNET,
    SDNET as MODEL,
    attack,
    lam_spec,
    network,
    record as made,
    results_of,
    rows_of,
)

SDNET = replace(MODEL, name="sdnet")
EPS = Eps.parse("8/255")
MEAN = Question("digits", DATA.content, "mean", "4 noises, 20 conditions", is_noise=True)
BALL = Question("digits", DATA.content, "worst_case", EVERY, norm="linf", eps=EPS)
CLEAN = Question("digits", DATA.content, "clean", "clean")
SHOT = Question("digits", DATA.content, "corruption", "shot_noise", 5, is_noise=True)
NOISE = CorruptionSpec(name="gaussian_noise", severity=5)


def scoped(lam):
    """A number, a policy, or either for all layers ("all:0.5")."""
    scope, colon, text = str(lam).rpartition(":")
    return LambdaSpec(text, scope) if colon else lam_spec(lam)


def compared(lam, gained, lost, n=1000, asked=MEAN, base=500):
    """A lambda against 0.1, which has `base` of `n` right; the difference's interval as for right or wrong."""
    differences = np.array([1.0] * gained + [-1.0] * lost + [0.0] * (n - gained - lost))
    low, high = difference_interval(differences)
    p = mcnemar(gained, lost)
    return Comparison(
        asked=asked, a=Subject(SDNET, scoped(lam)), b=Subject(SDNET, lam_spec(0.1)), n=n,
        accuracy_a=(base + gained - lost) / n, accuracy_b=base / n, low=low, high=high,
        square=(gained + lost) / n, only_a=gained, only_b=lost, p=p, p_corrected=p,
    )  # fmt: skip


def record(lam, accuracy, lam_attack=None, findings=(), spec=None):
    """The row of an attack, or of a corruption at `spec`."""
    given = {"model": SDNET, "findings": findings}
    answer = attack("pgd", "8/255", round(1000 * accuracy), 1000, lam=0.1, lam_attack=0.1, **given)
    (row,) = rows_of([answer])
    row = replace(row, lam=scoped(lam), lam_attack=scoped(lam_attack or lam))
    if spec:
        return replace(row, kind="corruption", perturbation=spec)
    return replace(row, kind="attack" if row.lam == row.lam_attack else "transfer")


def by_square(lam, accuracy, chain=""):
    """The row of Square, alone or as a stage."""
    row = record(lam, accuracy)
    return replace(row, perturbation=replace(row.perturbation, name="square", chain=chain))


def within(row, ball):
    """The row of the same attack in another ball."""
    return replace(row, perturbation=replace(row.perturbation, eps=ball.eps))


def rival(name, lam, broken):
    subject = Subject(SDNET, lam_spec(lam))
    return Rival(asked=BALL, subject=subject, n=1000, left=300, name=name, broken=broken)


def said(records, rows, rivals=()):
    return dict(sentences(evidences(records, rows, rivals)))


def test_a_significant_gain_under_noise_is_named_with_its_policy_and_points():
    # calibrated gains 120 and loses 20 of 1000: 10 points; 0.5 gains 60 and loses 10: 5 points.
    text = said([], [compared(0.5, 60, 10), compared("calibrated", 120, 20)])["noise"]
    assert "Another lambda helps." in text
    assert "50.0 % at the training lambda 0.1" in text
    assert "calibrated gains 10.0 points" in text
    assert "tests of one noise" not in text, "none was made"
    assert "0.5 comes out highest: it gains 5.0 points" in text


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
    assert "too few images (no takes about 536 or more, and these are 50)." in wide
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
    assert (f"no takes about 125 or more, and these are {n})" in text) == (n < 125)


def test_too_few_images_stand_beside_no_no():
    # The interval of one is within 3 points from 125 images on, that of the best of two from 143 on.
    text = said([], [compared(lam, 0, 0, n=130, base=130) for lam in (0.3, 0.5)])["noise"]
    assert "No other lambda helps (by more than 3.0 points)." in text
    assert "too few images" not in text


def test_a_no_takes_images_for_what_is_open_alone():
    # 0.5 lost 30 of 100 and is closed; 0.3, which changed nothing, takes 125. A share of 0.3 would take 1,286.
    text = said([], [compared(0.3, 0, 0, n=100, base=90), compared(0.5, 0, 30, n=100, base=90)])["noise"]
    assert "too few images (no takes about 125 or more, and these are 100)." in text
    # A balanced 20 of 100: z^2 (0.2 + sqrt(0.2^2 + 4 * 0.03^2 * 0.8)) / (2 * 0.03^2) - z^2 = 864.9, the most of both.
    text = said([], [compared(0.3, 0, 0, n=100, base=90), compared(0.5, 10, 10, n=100, base=80)])["noise"]
    assert "too few images (no takes about 865 or more, and these are 100)." in text
    # Where all of four gain, the interval ends at its limit, 1; a share of 1 takes z^2 / 0.03^2 - z^2 = 4,264.5.
    text = said([], [compared(0.5, 4, 0, n=4, base=0)])["noise"]
    assert "too few images (no takes about 4,265 or more, and these are 4)." in text
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
    rows = [compared(0.5, 60, 10), compared(0.9, 300, 10, asked=few, base=300)]
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
    rows = [compared(0.5, 4, 2, n=20, base=10, asked=asked), compared(0.9, 60, 10, base=300, asked=asked)]
    assert base in said([record(0.1, 0.5)], rows)[question]


def test_single_noises_are_counted():
    rows = [
        compared(lam, *moved, asked=SHOT) for lam, moved in ((0.3, (60, 10)), (0.5, (1, 1)), (0.7, (10, 60)))
    ]
    text = said([], [compared(0.5, 60, 10), *rows])["noise"]
    assert "Of 3 tests of one noise at one strength, 1 found a gain and 1 a loss." in text


def test_what_is_no_noise_is_not_counted_as_one():
    fog = replace(SHOT, perturbation="fog", is_noise=False)
    assert "one noise" not in said([], [compared(0.5, 60, 10), compared(0.5, 60, 10, asked=fog)])["noise"]


def test_of_equal_gains_the_smallest_number_is_named():
    text = said([], [compared(0.9, 60, 10), compared(0.5, 60, 10)])["noise"]
    assert "Of the fixed numbers, 0.5 comes out highest: it gains 5.0 points" in text


def test_noise_under_one_condition_is_not_called_not_asked():
    text = said([], [compared(0.5, 60, 10, asked=SHOT)])["noise"]
    assert "not measured" not in text
    assert (
        "No mean over noises: it needs two conditions that were measured at both lambdas. Of 1 test of one noise"
        in text
    )
    assert "1 found a gain and 0 a loss." in text


def test_a_mean_over_more_than_noises_is_none_over_noises():
    every = replace(MEAN, perturbation="15 corruptions, 75 conditions", is_noise=False)
    assert "not measured" in said([], [compared(0.5, 300, 10, asked=every)])["noise"]


def test_a_lambda_chosen_on_test_labels_helps_nobody():
    hindsight = Subject(SDNET, LambdaSpec("calibrated:test-labels"))
    text = said([], [replace(compared(0.7, 300, 10), a=hindsight), compared(0.5, 20, 20)])["noise"]
    assert "No other lambda helps" in text
    assert "calibrated" not in text


def test_a_model_on_two_data_sets_is_told_apart():
    other = replace(DATA, name="letters", content="e" * 64)
    rows = [
        compared(0.5, 60, 10),
        compared(0.5, 10, 60, asked=replace(MEAN, data="letters", content=other.content)),
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


def test_a_loss_is_called_one():
    text = said([], [compared(0.9, 10, 200, asked=BALL)])["adversary"]
    assert "No other lambda helps" in text
    assert text.endswith(
        "At the training lambda 0.1 the worst case, image by image, of everything run leaves 50.0 % under "
        "linf 8/255. Of 1 test of another lambda in a ball, 0 found a gain and 1 a loss, the largest of 19.0 points "
        "at 0.9 under linf 8/255."
    ), "nothing need check the attacks that took so much"


def test_a_gain_against_attacks_that_square_beats_is_not_to_be_trusted():
    rows = [compared(0.9, 200, 10, asked=BALL)]
    honest = said([record(0.9, 0.7), by_square(0.9, 0.7)], rows, [rival("square", 0.9, 1)])
    assert honest["adversary"].startswith("sdnet, an adversary who knows lambda: Another lambda helps.")
    assert "not to be trusted" not in honest["adversary"]
    assert (
        "Square, which uses no gradient, breaks at most 1 of the 300 images that the gradient attacks left, "
        "too few to doubt those (at lambda 0.9)." in honest["masking"]
    )
    masked = said([record(0.9, 0.7)], rows, [rival("square", 0.9, 40)])
    assert "lambda 0.9 gains 19.0 points" in masked["adversary"]
    assert "which is not to be trusted: see below" in masked["adversary"]
    assert "What looks like a gain is not to be trusted." in masked["adversary"]
    assert "Another lambda helps" not in masked["adversary"]
    assert "breaks 40 of the 300 images" in masked["masking"]
    assert "too few to doubt" not in masked["masking"]
    passed = said([record(0.9, 0.7, findings=(PASSED,))], rows, [rival("square", 0.9, 40)])
    assert "Another lambda helps" not in passed["adversary"], "whatever diagnostics found"
    elsewhere = replace(rival("square", 0.9, 40), asked=replace(BALL, content="e" * 64))
    assert (
        "Another lambda helps."
        in said([record(0.9, 0.7), by_square(0.9, 0.7)], rows, [elsewhere])["adversary"]
    )
    found = [record(0.9, 0.7), record(0.5, 0.7, findings=(PASSED,))]
    also = said(found, [*rows, compared(0.5, 200, 10, asked=BALL)], [rival("square", 0.9, 40)])
    assert "Another lambda helps." in also["adversary"], "0.5 gains undoubted"
    assert "Under linf 8/255, lambda 0.5 gains 19.0 points" in also["adversary"]
    assert "2 found a gain (1 untrusted) and 0 a loss." in also["adversary"]


def test_a_gain_by_attacks_that_nothing_checked_is_not_called_one():
    # PGD leaves 50 % at 0.1 and 69 % at 0.9, where its gradients may be masked: nobody looked.
    rows = [compared(0.9, 200, 10, asked=BALL)]
    plain = [record(0.1, 0.5), record(0.9, 0.69)]
    text = said(plain, rows)["adversary"]
    assert "What looks like a gain may come from weak attacks, which nothing checked." in text
    assert "Another lambda helps" not in text
    assert "lambda 0.9 gains 19.0 points" in text
    assert "corrected p < 0.0001, 1,000 images), by attacks that nothing checked." in text
    (sentence,) = lead(Results(()), list(evidences(plain, rows, [])))
    assert ", by attacks that nothing checked, another lambda seems to help sdnet (50.0 %" in sentence
    at_trained = [record(0.1, 0.5, findings=(PASSED,)), record(0.9, 0.69)]
    assert "Another lambda helps" not in said(at_trained, rows)["adversary"], "the gain is at 0.9"
    for found in (
        [record(0.1, 0.5), record(0.9, 0.69, findings=(PASSED,))],
        [*plain, by_square(0.9, 0.7)],
        [plain[0], by_square(0.9, 0.69, "autoattack")],
    ):
        checked = said(found, rows)["adversary"]
        assert "Another lambda helps." in checked
        assert "nothing checked" not in checked
    transferred = replace(by_square(0.9, 0.7), kind="transfer", lam_attack=lam_spec(0.1))
    assert "nothing checked" in said([*plain, transferred], rows)["adversary"], "Square was not run at 0.9"
    both = [*rows, compared(0.5, 200, 10, asked=BALL)]
    text = said([*plain, record(0.5, 0.69, findings=(PASSED,))], both)["adversary"]
    assert "Another lambda helps." in text, "0.5 does, whatever 0.9 comes to"
    assert (
        "Under linf 8/255, lambda 0.5 gains 19.0 points (95 % interval, widened for the choice among 2"
        in text
    )
    assert "2 found a gain (1 unchecked) and 0 a loss." in text


def test_a_no_says_that_nothing_checked_the_attacks_at_the_training_lambda():
    rows = [compared(0.9, 10, 200, asked=BALL)]
    text = said([record(0.1, 0.5), record(0.9, 0.31, findings=(PASSED,))], rows)["adversary"]
    assert "No other lambda helps (by more than 3.0 points), by attacks that nothing checked." in text
    (sentence,) = lead(Results(()), list(evidences([record(0.1, 0.5), record(0.9, 0.31)], rows, [])))
    assert ", by attacks that nothing checked, no other lambda helps sdnet (50.0 %" in sentence
    text = said([record(0.1, 0.5, findings=(PASSED,)), record(0.9, 0.31)], rows)["adversary"]
    assert "No other lambda helps (by more than 3.0 points)." in text
    assert "nothing checked" not in said([], [compared(0.5, 20, 20)])["noise"], "noise takes no attack"


def test_the_first_sentence_says_which_of_several_means_its_numbers_are_of():
    def first(*rows):
        (sentence,) = lead(Results(()), [*evidences([], rows, [])])
        return sentence

    few = replace(MEAN, perturbation="2 noises, 4 conditions", met=("a",))
    both = first(compared(0.5, 60, 50), compared("calibrated", 120, 20, asked=few, base=300))
    assert (
        "(30.0 % of 1,000 images at the training lambda 0.1 under 2 noises, 4 conditions, +10.0 points"
        in both
    )
    assert "at the training lambda 0.1, +10.0 points" in first(compared(0.5, 60, 50), compared(0.7, 120, 20))


def test_the_first_sentence_praises_no_gain_that_is_not_to_be_trusted():
    known = list(
        evidences([record(0.9, 0.7)], [compared(0.9, 200, 10, asked=BALL)], [rival("square", 0.9, 40)])
    )
    (sentence,) = lead(Results(()), known)
    assert "what looks like a gain is not to be trusted for sdnet" in sentence
    assert "helps" not in sentence


def test_a_lambda_is_named_for_a_gain_that_its_test_found():
    # 0.5 gains 10 points on 1000 images; 0.9 gains 20 on 20 images, which chance may have made.
    known = list(
        evidences([record(0.1, 0.5)], [compared(0.5, 200, 100), compared(0.9, 6, 2, n=20, base=10)], [])
    )
    (sentence,) = lead(Results(()), known)
    # The first sentence picks by the result as the conclusion does: z of 1 - 0.05 / 2 / 2 is 2.241402.
    one = compared(0.5, 200, 100)
    middle, half = (one.low + one.high) / 2, (one.high - one.low) / 2 * 2.241402 / 1.959964
    low, high = middle - half, middle + half
    assert sentence.endswith(
        "another lambda helps sdnet (50.0 % of 1,000 images at the training lambda 0.1, +10.0 points at 0.5, 95 % "
        f"interval, widened for the choice among 2, {100 * low:+.1f} to {100 * high:+.1f})."
    )
    text = dict(sentences(known))["noise"]
    assert "0.5 comes out highest of those distinguished from chance: it gains 10.0 points" in text
    # Square shows that the attack at 0.9, where the gain seems larger, was weak.
    rows = [compared(0.9, 300, 10, asked=BALL), compared(0.5, 200, 10, asked=BALL)]
    found = [record(0.9, 0.7), record(0.5, 0.7, findings=(PASSED,))]
    (sentence,) = lead(Results(()), list(evidences(found, rows, [rival("square", 0.9, 40)])))
    middle, half = (rows[1].low + rows[1].high) / 2, (rows[1].high - rows[1].low) / 2 * 2.241402 / 1.959964
    low, high = middle - half, middle + half
    assert sentence.endswith(
        "another lambda helps sdnet (50.0 % of 1,000 images at the training lambda 0.1, +19.0 points at 0.5, 95 % "
        f"interval, widened for the choice among 2, {100 * low:+.1f} to {100 * high:+.1f})."
    )


def test_the_first_sentence_says_that_another_is_as_high():
    rows = [
        made(190),
        made(190, model=network("other")),
        made(180, model=network("third")),
    ]
    (sentence,) = lead(results_of(rows), [])
    assert sentence == "Highest accuracies on digits, 200 images: 95.0 % clean (other and 1 more)."


def test_what_met_other_attacks_is_not_called_highest_without_a_word():
    """A model with lambda has a worst case over those that perturbations were made at, another has none."""
    at = {"model": MODEL, "lam": 0.1}
    rows = [
        attack("pgd", "8/255", 90, model=RESNET),
        attack("pgd", "8/255", 80, lam_attack=0.1, **at),
        attack("pgd", "8/255", 70, lam_attack=0.5, **at),
    ]
    (sentence,) = lead(results_of(rows), [])
    assert "45.0 % under linf 8/255 (resnet20, by pgd; others faced other attacks)" in sentence
    alike = attack("pgd", "8/255", 90, model=network("other"))
    (sentence,) = lead(results_of([*rows, alike]), [])
    assert "(other and 1 more, by pgd; others faced other attacks)" in sentence
    (sentence,) = lead(results_of([*rows[1:], attack("pgd", "8/255", 60, model=RESNET)]), [])
    assert "@ 0.1, by the worst case of pgd; others faced other attacks)" in sentence


def test_models_that_met_the_same_attacks_may_be_broken_by_different_ones():
    other = network("other")
    rows = [
        attack(name, "8/255", count, model=model)
        for model, pgd, square in ((RESNET, 90, 95), (other, 80, 70))
        for name, count in (("pgd", pgd), ("square", square))
    ]
    (sentence,) = lead(results_of(rows), [])
    assert "45.0 % under linf 8/255 (resnet20, by pgd)" in sentence
    (sentence,) = lead(results_of(rows[:3]), [])
    assert "45.0 % under linf 8/255 (resnet20, by pgd; others faced other attacks)" in sentence


def test_worst_cases_of_two_models_are_not_of_the_same_perturbations():
    between = replace(compared(0.5, 200, 10, asked=BALL), a=Subject(RESNET, None))
    plain = replace(between, b=Subject(network("plain"), None))
    for rows, said in (
        ([between], 1),
        ([plain], 0),
        ([compared(0.5, 200, 10, asked=BALL)], 1),
        ([compared(0.5, 200, 10)], 0),
    ):
        for table in (family_table(rows), significant_table(rows)):
            assert table.notes.count(UNEVEN) == said


def test_budgets_stand_in_growing_order(tmp_path):
    answers = []
    for text in ("16/255", "4/255", "8/255"):
        specs = [replace(spec, eps=Eps.parse(text)) for spec in (PGD, RANDOM)]
        answers += [(cell(spec, lam=lam), right(5)) for spec in specs for lam in (LOW, HIGH)]
    with made_store(tmp_path, answers) as store:
        snapshot = Snapshot.read(store)
    known = evidences(rows_in(snapshot), comparisons(snapshot), [])
    balls = re.findall(r"under linf (\d+)", dict(sentences(known))["adversary"])
    assert balls == ["4", "8", "16"]
    assert [one.asked.eps.text for one in rivals(snapshot)] == [f"{k}/255" for k in (4, 4, 8, 8, 16, 16)]


def test_lambdas_that_were_attacked_otherwise_are_named_and_not_compared():
    rows = [record(0.1, 0.5), record(0.5, 0.5), record(0.9, 0.7)]
    text = said(rows, [compared(0.5, 20, 20, asked=BALL)])["adversary"]
    assert (
        "Under linf 8/255, other attacks were run at 0.9 than at the training lambda: not compared." in text
    )
    assert "not compared" not in said(rows[:2], [compared(0.5, 20, 20, asked=BALL)])["adversary"]
    small = replace(PGD, eps=Eps.parse("4/255"))
    elsewhere = [*rows[:2], replace(rows[2], perturbation=small)]
    assert "not compared" not in said(elsewhere, [compared(0.5, 20, 20, asked=BALL)])["adversary"]


def test_an_adversary_who_met_lambdas_otherwise_is_not_called_not_measured():
    rows = [record(0.1, 0.5), record(0.5, 0.5), record(0.9, 0.7, lam_attack=0.1)]
    assert said(rows, [compared(0.5, 1, 1)])["adversary"].partition(": ")[2] == (
        "Under linf 8/255, other attacks were run at 0.5 than at the training lambda: not compared. Run "
        "the same attacks, and random noise, at several lambdas."
    )
    for few in (
        rows[:1],
        [rows[0], rows[2]],
        rows[1:],
    ):  # at one lambda alone, whatever carried over to others
        assert "adversary who knows lambda: not measured." in said(few, [compared(0.5, 1, 1)])["adversary"]
    # What is compared in one ball says nothing of another.
    small = [replace(row, perturbation=replace(PGD, eps=Eps.parse("4/255"))) for row in rows[:2]]
    text = said([*rows[:2], *small], [compared(0.5, 20, 20, asked=BALL)])["adversary"]
    assert text.count("not compared") == 1
    assert "Under linf 4/255, other attacks were run at 0.5 than at the training lambda" in text


def test_an_upper_bound_is_not_said_to_be_attacked_otherwise():
    rows = [record(0.1, 0.5), record("oracle", 0.5)]
    assert "not compared" not in said(rows, [compared(0.5, 20, 20, asked=BALL)])["adversary"]


def test_square_as_a_stage_is_not_called_absent():
    text = said([record(0.9, 0.7)], [compared(0.9, 200, 10, asked=BALL)])["masking"]
    assert "The gradient-free attack square was not run on its own." in text


def test_failed_diagnostics_are_named():
    records = [record(0.1, 0.5, findings=(PASSED,)), record(0.9, 0.7, findings=(FAILED,))]
    text = said(records, [compared(0.9, 200, 10, asked=BALL)])
    assert "Diagnostics failed for pgd (linf 8/255) at lambda 0.9: these accuracies are" in text["masking"]
    assert "First gradients" not in text["masking"], "a check failed, and not the sign that is free"
    assert "not to be trusted" in text["adversary"]
    assert "were not diagnosed" in said([record(0.9, 0.7)], [compared(0.9, 0, 0, asked=BALL)])["masking"]


def test_a_sound_attack_is_not_doubted_for_a_weak_one_beside_it():
    weak = replace(record(0.9, 0.9, findings=(FAILED,)), perturbation=SQUARE)
    rows = [compared(0.9, 200, 10, asked=BALL)]
    text = said([record(0.1, 0.5, findings=(PASSED,)), record(0.9, 0.7, findings=(PASSED,)), weak], rows)
    assert "Another lambda helps." in text["adversary"]
    assert "not to be trusted" not in text["adversary"]
    assert "Diagnostics failed for square (linf 8/255) at lambda 0.9:" in text["masking"]
    assert "was diagnosed" not in text["masking"]
    # A search for the smallest perturbation has no diagnostics to miss.
    sought = replace(record(0.9, 0.0), perturbation=replace(PGD, name="fmn", eps=None))
    checked = [record(lam, 0.5, findings=(PASSED,)) for lam in (0.1, 0.9)]
    assert "was diagnosed" not in said([*checked, sought], rows)["masking"]
    unable = replace(PASSED, verdict="not_run")
    nothing = said([record(0.1, 0.5, findings=(unable,)), record(0.9, 0.7)], rows)["masking"]
    assert "The attacks were not diagnosed." in nothing
    text = said([record(0.1, 0.5, findings=(PASSED,)), record(0.9, 0.7)], rows)["masking"]
    assert "No diagnostic of the attacks failed. Not every attack at lambda 0.9 was diagnosed." in text


def test_nothing_is_lost_to_a_training_lambda_that_is_not_to_be_trusted():
    # PGD at 0.1 leaves 50 % and is doubted: that 0.9 leaves 31 % says nothing of either.
    doubted = [record(0.1, 0.5, findings=(FAILED,)), record(0.9, 0.31, findings=(PASSED,))]
    rows = [compared(0.9, 10, 200, asked=BALL), compared(0.5, 20, 20, asked=BALL)]
    text = said(doubted, rows)["adversary"]
    assert (
        "Cannot tell whether another lambda helps: the accuracy at the training lambda is not to be" in text
    )
    assert "No other lambda helps" not in text
    assert "1 a loss, the largest of 19.0 points at 0.9 under linf 8/255, which is not to be trusted" in text
    (sentence,) = lead(Results(()), list(evidences(doubted, rows, [])))
    assert "the accuracy at the training lambda is too doubtful to tell for sdnet" in sentence
    gained = said(doubted, [compared(0.9, 200, 10, asked=BALL)])["adversary"]
    assert "Another lambda helps." in gained, "over too high a number all the more"


@pytest.mark.parametrize(
    ("transfer", "direct", "claim"),
    [
        # PGD leaves 50 % at 0.1, 80 % of the same images at 0.9, an apparent 30 points, and made there 55 %: 25 go.
        (0.80, 0.55, "gain of 30.0 points; made at 0.9 they leave 55.0 %: 25.0 points of that gain"),
        (0.80, 0.79, "transfer does not explain it"),
        (0.51, 0.50, "leave 50.0 % there and 51.0 % at lambda 0.9: not even transfer looks like a gain"),
        # No more of a gain is lost than there was: of the apparent 30 points not 70.
        (0.80, 0.10, "30.0 points of that gain are transfer"),
    ],
)
def test_transfer_is_told_from_robustness(transfer, direct, claim):
    records = [record(0.1, 0.5), record(0.9, direct), record(0.9, transfer, lam_attack=0.1)]
    # A stronger attack than the one that was transferred is no gain of transfer.
    records += [replace(record(lam, 0.05), perturbation=SQUARE) for lam in (0.1, 0.9)]
    assert claim in said(records, [compared(0.9, 0, 0, asked=BALL)])["masking"]


@pytest.mark.parametrize(
    ("other", "made"),
    [({"n": 100}, 0.1), ({"images": "10-1009"}, 0.1), ({}, 0.5)],
    ids=["fewer", "others", "made"],
)
def test_transfer_to_other_images_is_not_held_against_the_direct_attack(other, made):
    """Nor is what was made elsewhere than at the training lambda."""
    direct = [replace(record(lam, 0.02), **other) for lam in (0.1, 0.9)]
    text = said(
        [*direct, record(0.9, 0.8, lam_attack=made)], [compared(0.9, 0, 10, n=100, base=20, asked=BALL)]
    )
    assert "looks like a gain" not in text["masking"]
    assert "says nothing about robustness" in text["masking"]


def test_of_several_transfers_the_one_that_looks_most_like_a_gain_is_told():
    rows = [record(lam, 0.5) for lam in (0.1, 0.5, 0.9)]
    rows += [record(0.5, 0.8, lam_attack=0.1), record(0.9, 0.6, lam_attack=0.1)]
    for order in (rows, rows[::-1]):
        text = said(order, [compared(0.9, 0, 0, asked=BALL)])["masking"]
        assert "and 80.0 % at lambda 0.5, which looks like a gain of 30.0 points" in text


def test_square_is_told_where_it_broke_most_unless_it_doubts_another():
    few, more = rival("square", 0.5, 1), replace(rival("square", 0.9, 2), left=200)
    text = said([record(0.9, 0.7)], [compared(0.9, 0, 0, asked=BALL)], [few, more])["masking"]
    assert "breaks at most 2 of the 200 images" in text
    text = said([record(0.9, 0.7)], [compared(0.9, 0, 0, asked=BALL)], [few, rival("square", 0.9, 40)])
    assert "breaks 40 of the 300 images" in text["masking"]
    assert "too few to doubt" not in text["masking"]


def test_transfer_is_told_from_the_strongest_run_of_the_direct_attack():
    runs = [record(0.9, 0.55), record(0.9, 0.79)]
    for order in (runs, runs[::-1]):
        rows = [record(0.1, 0.5), *order, record(0.9, 0.8, lam_attack=0.1)]
        assert "made at 0.9 they leave 55.0 %" in said(rows, [compared(0.9, 0, 0, asked=BALL)])["masking"]


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
    text = said([], [compared(0.5, 1, 1, asked=CLEAN)])
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
        compared(0.5, 200, 10, asked=half),
        compared(0.9, 200, 10, asked=half),
        compared(0.5, 10, 200, asked=BALL),
        compared(0.7, 1, 4, n=100, base=50, asked=BALL),
        compared(0.9, 4, 2, n=50, base=25, asked=BALL),
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


def test_balls_of_one_verdict_share_it():
    sizes = [replace(BALL, eps=Eps.parse(f"{size}/255")) for size in (2, 4, 8)]
    nothing = [
        compared(0.5, 20, 20, asked=asked, base=base)
        for asked, base in zip(sizes, (900, 700, 100), strict=True)
    ]
    checked = [record(lam, 0.5, findings=(PASSED,)) for lam in (0.1, 0.5)]
    checked = [within(row, asked) for row in checked for asked in sizes]
    text = said(checked, nothing)["adversary"]
    assert text.count("No other lambda helps") == 1
    assert (
        "leaves 90.0 % under linf 2/255, 70.0 % under linf 4/255, 10.0 % under linf 8/255. Of 3 tests" in text
    )
    text = said(checked, [*nothing[:2], compared(0.5, 200, 10, asked=sizes[2])])["adversary"]
    assert (
        "No other lambda helps (by more than 3.0 points). At the training lambda 0.1 the worst case" in text
    )
    assert (
        "leaves 90.0 % under linf 2/255, 70.0 % under linf 4/255. Another lambda helps. That worst case leaves 50.0 % "
        "under linf 8/255. Under linf 8/255, lambda 0.5 gains 19.0 points (95 % interval"
    ) in text
    assert "Of 3 tests of another lambda in a ball, 1 found a gain and 0 a loss." in text


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
