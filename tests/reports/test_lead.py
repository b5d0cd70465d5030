"""The first sentence of a report: the highest numbers, by what, and whether another lambda helps."""

from dataclasses import replace

from robustbench_sdnet.reports.conclusion import sentences
from robustbench_sdnet.reports.evidence import evidences
from robustbench_sdnet.reports.lead import lead
from robustbench_sdnet.reports.results import Results

from .made_evidence import BALL, MEAN, compared, record, rival
from .made_records import (
    PASSED,
    RESNET,
    SDNET as MODEL,
    attack,
    corruption,
    network,
    record as made,
    results_of,
)


def test_the_first_sentence_says_which_of_several_means_its_numbers_are_of():
    def first(*rows):
        (sentence,) = lead(Results(()), [*evidences([], rows, [])])
        return sentence

    few = replace(MEAN, perturbation="2 noises, 4 conditions", met=("a",))
    both = first(compared(0.5, 60, 50), compared("calibrated", 120, 20, question=few, base=300))
    assert (
        "(30.0 % of 1,000 images at the training lambda 0.1 under 2 noises, 4 conditions, +10.0 points"
        in both
    )
    assert "at the training lambda 0.1, +10.0 points" in first(compared(0.5, 60, 50), compared(0.7, 120, 20))


def test_the_first_sentence_praises_no_gain_that_is_not_to_be_trusted():
    known = list(
        evidences([record(0.9, 0.7)], [compared(0.9, 200, 10, question=BALL)], [rival("square", 0.9, 40)])
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
    rows = [compared(0.9, 300, 10, question=BALL), compared(0.5, 200, 10, question=BALL)]
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


def test_the_highest_severity_says_of_what_where_no_mean_stands_before_it():
    rows = [made(190), *(corruption("fog", severity, 100) for severity in (1, 3)), corruption("snow", 3, 120)]
    (sentence,) = lead(results_of(rows), [])
    assert sentence.endswith("; 55.0 % at severity 3 of 2 corruptions (resnet20).")
    (sentence,) = lead(results_of([*rows, corruption("snow", 1, 140)]), [])
    assert sentence.endswith(" % under 2 corruptions (resnet20); 55.0 % at severity 3 (resnet20).")


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
