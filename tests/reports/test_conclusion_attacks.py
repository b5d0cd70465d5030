"""The conclusion on an adversary: what counts as a gain, and what attacks that are doubted, or transfer, are worth."""

import re
from dataclasses import replace

import pytest

from robustbench_sdnet.answers.comparisons import comparisons
from robustbench_sdnet.answers.rivals import rivals
from robustbench_sdnet.answers.rows import rows as rows_in
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.reports.conclusion import sentences
from robustbench_sdnet.reports.evidence import evidences
from robustbench_sdnet.reports.lead import lead
from robustbench_sdnet.reports.results import Results
from robustbench_sdnet.specs import Eps

from ..made_answers import HIGH, LOW, PGD, RANDOM, SQUARE, cell, made_store, right
from .made_evidence import BALL, by_square, compared, record, rival, said, within
from .made_records import FAILED, PASSED, lam_spec


def test_a_loss_is_called_one():
    text = said([], [compared(0.9, 10, 200, question=BALL)])["adversary"]
    assert "No other lambda helps" in text
    assert text.endswith(
        "At the training lambda 0.1 the worst case, image by image, of everything run leaves 50.0 % under "
        "linf 8/255. Of 1 test of another lambda in a ball, 0 found a gain and 1 a loss, the largest of 19.0 points "
        "at 0.9 under linf 8/255."
    ), "nothing need check the attacks that took so much"
    losses = [compared(lam, 10, lost, question=BALL) for lam, lost in ((0.5, 100), (0.9, 200), (1.3, 60))]
    assert "and 3 a loss, the largest of 19.0 points at 0.9 under" in said([], losses)["adversary"]


def test_a_gain_against_attacks_that_square_beats_is_not_to_be_trusted():
    rows = [compared(0.9, 200, 10, question=BALL)]
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
    elsewhere = replace(rival("square", 0.9, 40), question=replace(BALL, content="e" * 64))
    assert (
        "Another lambda helps."
        in said([record(0.9, 0.7), by_square(0.9, 0.7)], rows, [elsewhere])["adversary"]
    )
    found = [record(0.9, 0.7), record(0.5, 0.7, findings=(PASSED,))]
    also = said(found, [*rows, compared(0.5, 200, 10, question=BALL)], [rival("square", 0.9, 40)])
    assert "Another lambda helps." in also["adversary"], "0.5 gains undoubted"
    assert "Under linf 8/255, lambda 0.5 gains 19.0 points" in also["adversary"]
    assert "2 found a gain (1 untrusted) and 0 a loss." in also["adversary"]


def test_a_gain_by_attacks_that_nothing_checked_is_not_called_one():
    # PGD leaves 50 % at 0.1 and 69 % at 0.9, where its gradients may be masked: nobody looked.
    rows = [compared(0.9, 200, 10, question=BALL)]
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
    both = [*rows, compared(0.5, 200, 10, question=BALL)]
    text = said([*plain, record(0.5, 0.69, findings=(PASSED,))], both)["adversary"]
    assert "Another lambda helps." in text, "0.5 does, whatever 0.9 comes to"
    assert (
        "Under linf 8/255, lambda 0.5 gains 19.0 points (95 % interval, widened for the choice among 2"
        in text
    )
    assert "2 found a gain (1 unchecked) and 0 a loss." in text


def test_a_no_says_that_nothing_checked_the_attacks_at_the_training_lambda():
    rows = [compared(0.9, 10, 200, question=BALL)]
    text = said([record(0.1, 0.5), record(0.9, 0.31, findings=(PASSED,))], rows)["adversary"]
    assert "No other lambda helps (by more than 3.0 points), by attacks that nothing checked." in text
    (sentence,) = lead(Results(()), list(evidences([record(0.1, 0.5), record(0.9, 0.31)], rows, [])))
    assert ", by attacks that nothing checked, no other lambda helps sdnet (50.0 %" in sentence
    text = said([record(0.1, 0.5, findings=(PASSED,)), record(0.9, 0.31)], rows)["adversary"]
    assert "No other lambda helps (by more than 3.0 points)." in text
    assert "nothing checked" not in said([], [compared(0.5, 20, 20)])["noise"], "noise takes no attack"


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
    assert [one.question.eps.text for one in rivals(snapshot)] == [f"{k}/255" for k in (4, 4, 8, 8, 16, 16)]


def test_lambdas_that_were_attacked_otherwise_are_named_and_not_compared():
    rows = [record(0.1, 0.5), record(0.5, 0.5), record(0.9, 0.7)]
    text = said(rows, [compared(0.5, 20, 20, question=BALL)])["adversary"]
    assert (
        "Under linf 8/255, other attacks were run at 0.9 than at the training lambda: not compared." in text
    )
    assert "not compared" not in said(rows[:2], [compared(0.5, 20, 20, question=BALL)])["adversary"]
    small = replace(PGD, eps=Eps.parse("4/255"))
    elsewhere = [*rows[:2], replace(rows[2], perturbation=small)]
    assert "not compared" not in said(elsewhere, [compared(0.5, 20, 20, question=BALL)])["adversary"]


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
    text = said([*rows[:2], *small], [compared(0.5, 20, 20, question=BALL)])["adversary"]
    assert text.count("not compared") == 1
    assert "Under linf 4/255, other attacks were run at 0.5 than at the training lambda" in text


def test_an_upper_bound_is_not_said_to_be_attacked_otherwise():
    rows = [record(0.1, 0.5), record("oracle", 0.5)]
    assert "not compared" not in said(rows, [compared(0.5, 20, 20, question=BALL)])["adversary"]


def test_square_as_a_stage_is_not_called_absent():
    text = said([record(0.9, 0.7)], [compared(0.9, 200, 10, question=BALL)])["masking"]
    assert "The gradient-free attack square was not run on its own." in text


def test_failed_diagnostics_are_named():
    records = [record(0.1, 0.5, findings=(PASSED,)), record(0.9, 0.7, findings=(FAILED,))]
    text = said(records, [compared(0.9, 200, 10, question=BALL)])
    assert "Diagnostics failed for pgd (linf 8/255) at lambda 0.9: these accuracies are" in text["masking"]
    assert "First gradients" not in text["masking"], "a check failed, and not the sign that is free"
    assert "not to be trusted" in text["adversary"]
    assert "were not diagnosed" in said([record(0.9, 0.7)], [compared(0.9, 0, 0, question=BALL)])["masking"]


def test_a_sound_attack_is_not_doubted_for_a_weak_one_beside_it():
    weak = replace(record(0.9, 0.9, findings=(FAILED,)), perturbation=SQUARE)
    rows = [compared(0.9, 200, 10, question=BALL)]
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
    rows = [compared(0.9, 10, 200, question=BALL), compared(0.5, 20, 20, question=BALL)]
    text = said(doubted, rows)["adversary"]
    assert (
        "Cannot tell whether another lambda helps: the accuracy at the training lambda is not to be" in text
    )
    assert "No other lambda helps" not in text
    assert "1 a loss, the largest of 19.0 points at 0.9 under linf 8/255, which is not to be trusted" in text
    (sentence,) = lead(Results(()), list(evidences(doubted, rows, [])))
    assert "the accuracy at the training lambda is too doubtful to tell for sdnet" in sentence
    gained = said(doubted, [compared(0.9, 200, 10, question=BALL)])["adversary"]
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
    assert claim in said(records, [compared(0.9, 0, 0, question=BALL)])["masking"]


@pytest.mark.parametrize(
    ("other", "made"),
    [({"n": 100}, 0.1), ({"images": "10-1009"}, 0.1), ({}, 0.5)],
    ids=["fewer", "others", "made"],
)
def test_transfer_to_other_images_is_not_held_against_the_direct_attack(other, made):
    """Nor is what was made elsewhere than at the training lambda."""
    direct = [replace(record(lam, 0.02), **other) for lam in (0.1, 0.9)]
    text = said(
        [*direct, record(0.9, 0.8, lam_attack=made)], [compared(0.9, 0, 10, n=100, base=20, question=BALL)]
    )
    assert "looks like a gain" not in text["masking"]
    assert "says nothing about robustness" in text["masking"]


def test_of_several_transfers_the_one_that_looks_most_like_a_gain_is_told():
    rows = [record(lam, 0.5) for lam in (0.1, 0.5, 0.9)]
    rows += [record(0.5, 0.8, lam_attack=0.1), record(0.9, 0.6, lam_attack=0.1)]
    for order in (rows, rows[::-1]):
        text = said(order, [compared(0.9, 0, 0, question=BALL)])["masking"]
        assert "and 80.0 % at lambda 0.5, which looks like a gain of 30.0 points" in text


def test_square_without_a_gradient_attack_beside_it_was_run_all_the_same():
    rows = [record(0.1, 0.7), by_square(0.9, 0.7)]
    text = said(rows, [compared(0.9, 0, 0, question=BALL)])["masking"]
    assert (
        "The gradient-free attack square was run at lambda 0.9 alone, where no gradient attack met the same images."
        in text
    )
    staged = said([record(0.1, 0.7), by_square(0.1, 0.7, "autoattack")], [compared(0.9, 0, 0, question=BALL)])
    assert "square was not run on its own." in staged["masking"]


def test_square_that_broke_nothing_broke_none():
    found = [replace(rival("square", lam, 0), left=left) for lam, left in ((0.1, 40), (0.9, 30))]
    text = said([record(0.1, 0.7), record(0.9, 0.7)], [compared(0.9, 0, 0, question=BALL)], found)["masking"]
    assert (
        "Square, which uses no gradient, breaks none of the images that the gradient attacks left, 40 at most (at "
        "lambda 0.1, 0.9)." in text
    )


def test_square_is_told_where_it_broke_most_unless_it_doubts_another():
    few, more = rival("square", 0.5, 1), replace(rival("square", 0.9, 2), left=200)
    text = said([record(0.9, 0.7)], [compared(0.9, 0, 0, question=BALL)], [few, more])["masking"]
    assert "breaks at most 2 of the 200 images" in text
    text = said([record(0.9, 0.7)], [compared(0.9, 0, 0, question=BALL)], [few, rival("square", 0.9, 40)])
    assert "breaks 40 of the 300 images" in text["masking"]
    assert "too few to doubt" not in text["masking"]


def test_transfer_is_told_from_the_strongest_run_of_the_direct_attack():
    runs = [record(0.9, 0.55), record(0.9, 0.79)]
    for order in (runs, runs[::-1]):
        rows = [record(0.1, 0.5), *order, record(0.9, 0.8, lam_attack=0.1)]
        assert "made at 0.9 they leave 55.0 %" in said(rows, [compared(0.9, 0, 0, question=BALL)])["masking"]


def test_balls_of_one_verdict_share_it():
    sizes = [replace(BALL, eps=Eps.parse(f"{size}/255")) for size in (2, 4, 8)]
    nothing = [
        compared(0.5, 20, 20, question=asked, base=base)
        for asked, base in zip(sizes, (900, 700, 100), strict=True)
    ]
    checked = [record(lam, 0.5, findings=(PASSED,)) for lam in (0.1, 0.5)]
    checked = [within(row, asked) for row in checked for asked in sizes]
    text = said(checked, nothing)["adversary"]
    assert text.count("No other lambda helps") == 1
    assert (
        "leaves 90.0 % under linf 2/255, 70.0 % under linf 4/255, 10.0 % under linf 8/255. Of 3 tests" in text
    )
    text = said(checked, [*nothing[:2], compared(0.5, 200, 10, question=sizes[2])])["adversary"]
    assert (
        "No other lambda helps (by more than 3.0 points). At the training lambda 0.1 the worst case" in text
    )
    assert (
        "leaves 90.0 % under linf 2/255, 70.0 % under linf 4/255. Another lambda helps. That worst case leaves 50.0 % "
        "under linf 8/255. Under linf 8/255, lambda 0.5 gains 19.0 points (95 % interval"
    ) in text
    assert "Of 3 tests of another lambda in a ball, 1 found a gain and 0 a loss." in text
