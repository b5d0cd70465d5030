"""The worst case of everything run in a ball, and rivals: weaker attacks that break what the direct one left."""

from dataclasses import replace

import numpy as np
import pytest

from robustbench_sdnet.answers.comparisons import comparisons
from robustbench_sdnet.answers.gathered import gather
from robustbench_sdnet.answers.rivals import rivals
from robustbench_sdnet.answers.rows import rows as rows_of
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.reports.conclusion import sentences
from robustbench_sdnet.reports.evidence import evidences
from robustbench_sdnet.specs import Eps, LambdaSpec, params
from robustbench_sdnet.specs.models import Repeats

from ..made_answers import HIGH, LOW, PGD, RANDOM, SDNET, SQUARE, cell, compared_records, made_store, right


def test_one_attack_that_two_machines_ran_is_no_worst_case(tmp_path):
    mine, theirs = (replace(SDNET, fingerprint=(8.0, 8.0, 1.0 + off, 2.0)) for off in (0, 1e-7))
    answers = [(replace(cell(PGD), model=model), right(count)) for model, count in ((mine, 5), (theirs, 4))]
    with made_store(tmp_path, answers) as store:
        snapshot = Snapshot.read(store).told_apart
    assert {asked.kind for asked in gather(snapshot)} == {"attack"}


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
    rows = compared_records(tmp_path, _attacked())
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
    rows = compared_records(tmp_path, [(low, right(3)), (high, right(4)), (cell(PGD, lam=HIGH), right(5))])
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
    assert [row["kind"] for row in compared_records(tmp_path, answers)] == ["attack", "attack", "worst_case"]


def test_every_budget_in_every_norm_is_a_question_of_its_own(tmp_path):
    balls = (("linf", "4/255", 8, 7), ("linf", "8/255", 5, 1), ("l2", "0.5", 6, 2), ("l2", "1", 4, 3))
    answers = [
        (cell(attack_specs("pgd", [Eps.parse(eps, norm)], norm)[0], lam=lam), right(count))
        for norm, eps, *counts in balls
        for lam, count in zip((LOW, HIGH), counts, strict=True)
    ]
    found = {
        (row["norm"], row["eps"]): (row["accuracy_b"], row["accuracy_a"])
        for row in compared_records(tmp_path, answers)
    }
    assert found == {(norm, eps): (low / 10, high / 10) for norm, eps, low, high in balls}


def test_lambdas_that_met_other_attacks_have_no_worst_case_in_common(tmp_path):
    rows = compared_records(
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
        (cell(PGD, lam_attack=HIGH, parents=("p",)), right(150, n=200)),
    ]
    with made_store(tmp_path, answers) as store:
        snapshot = Snapshot.read(store)
    compared = comparisons(snapshot)
    assert {row.question.kind for row in compared} == {"clean", "noise"}, "nor are two transfers compared"
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
    rows = [row for row in compared_records(tmp_path, answers) if row["kind"] == "worst_case"]
    assert len(rows) == 1
    for side in ("a", "b"):
        single = [
            given.mean() for asked, given in answers if float(asked.lam.text) == rows[0][f"lambda_{side}"]
        ]
        assert rows[0][f"accuracy_{side}"] <= min(single)


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
    assert found[0.5, "transfer"] == {
        "data": "tiny", "model": "sdnet", "lambda": 0.5, "norm": "linf", "eps": "8/255", "n": 10, "left": 8,
        "rival": "transfer", "broken": 2, "suspicious": False,
    }  # fmt: skip
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


def stood_still(snapshot, attack):
    """The same where first gradients of an attack were zero on nine of ten images."""
    costs = (
        replace(one.cost, gradients=10, silent=9) if one.id == attack.id else one.cost
        for one in snapshot.answered
    )
    answered = (replace(one, cost=cost) for one, cost in zip(snapshot.answered, costs, strict=True))
    return replace(snapshot, answered=tuple(answered))


@pytest.mark.parametrize("images", [10, 8], ids=["the same images", "others"])
@pytest.mark.parametrize("lam", [LOW, HIGH])
def test_a_comparison_says_of_each_side_whether_it_is_untrusted(tmp_path, lam, images):
    answers = [(cell(PGD), right(5)), (cell(PGD, lam=HIGH), right(5, images))]
    with made_store(tmp_path, answers) as store:
        (found,) = comparisons(stood_still(Snapshot.read(store), cell(PGD, lam=lam)))
    assert (found.a.lam, found.untrusted_a, found.untrusted_b) == (HIGH, lam == HIGH, lam == LOW)


def test_what_was_transferred_to_a_lambda_does_not_cast_doubt_on_it(tmp_path):
    """PGD at 0.1 met gradients of zero; at 0.5, where it found none, its perturbations are one more attack."""
    weak = cell(PGD, lam=LOW)
    answers = [
        (weak, right(3)),
        (cell(PGD, lam=HIGH), right(5)),
        (cell(PGD, lam=HIGH, lam_attack=LOW, parents=(weak.id,)), right(9)),
    ]
    with made_store(tmp_path, answers) as store:
        snapshot = stood_still(Snapshot.read(store), weak)
    (direct,) = (one for one in comparisons(snapshot) if one.question.kind == "attack")
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


def test_a_worst_case_of_an_attack_that_stood_still_is_untrusted_on_the_images_that_all_saw(tmp_path):
    direct, moved = cell(PGD), cell(PGD, lam_attack=HIGH, parents=("p",))
    with made_store(tmp_path, [(direct, right(3)), (cell(SQUARE), right(9)), (moved, right(9))]) as store:
        snapshot = stood_still(Snapshot.read(store), direct)
    cut = (replace(one, outcome=one.outcome.cut(2 * (one.id != direct.id), 10)) for one in snapshot.answered)
    snapshot = replace(snapshot, answered=tuple(cut))
    (row,) = (row for row in rows_of(snapshot) if row.kind == "worst_case")
    assert (row.right, row.n, row.images, row.verdict, row.lam_attack) == (1, 8, "2-9", "untrusted", None)
    (run,) = (run for asked, run in gather(snapshot).items() if asked.kind == "worst_case")
    assert [(one.right.sum(), one.untrusted) for one in run.values()] == [(1, True)]


def test_a_model_that_draws_random_numbers_has_no_rivals(tmp_path):
    drawing = replace(SDNET, options=params({"randomised": True})).counted(Repeats(10))
    answers = [(cell(spec), right(count)) for spec, count in ((PGD, 8), (SQUARE, 1))]
    with made_store(tmp_path, answers) as store:
        plain = Snapshot.read(store)
    assert [(one.name, one.broken) for one in rivals(plain)] == [("square", 7)]
    drawn = (replace(one, cell=replace(one.cell, model=drawing)) for one in plain.answered)
    assert rivals(replace(plain, answered=tuple(drawn))) == ()
