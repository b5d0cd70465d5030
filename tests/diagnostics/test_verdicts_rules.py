"""The rules of single checks, on traces and outcomes made by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from robustbench_sdnet.attacks.engine.losses import negative_margin
from robustbench_sdnet.diagnostics import Finding, diagnose, trust
from robustbench_sdnet.diagnostics.finding import by_count, by_thresholds
from robustbench_sdnet.diagnostics.masking import with_attack, without_attack
from robustbench_sdnet.diagnostics.masking.subject import STEPS, Subject, Trace, follow


class Linear(nn.Module):
    """Two logits, +w.x and -w.x: the margin of class 0 falls by 2 eps |w|_1 in an l-infinity ball."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, images):
        score = self.weight * (images - 0.5).flatten(1).sum(1)
        return torch.stack([score, -score], 1)


def subject(values, eps=0.1, norm="linf"):
    images = torch.tensor(values)[:, None, None, None].repeat(1, 1, 2, 2)
    n = len(values)
    return Subject(
        model=Linear(), images=images, labels=torch.zeros(n, dtype=torch.int64), ids=torch.arange(n),
        eps=eps, norm=norm, seed=0, batch_size=10,
    )  # fmt: skip


def trace(broken_at, broken_last, losses):
    n = len(broken_at)
    steps = torch.tensor(losses, dtype=torch.float64)[:, None].repeat(1, n)
    return Trace(torch.tensor(broken_at), torch.tensor(broken_last), steps, torch.zeros(n, 1, 2, 2))


def test_follow_reaches_the_closed_form_on_a_linear_model():
    # Pixels 0.55 are 0.05 above the boundary: eps 0.1 breaks them, 0.04 does not; the optimum is x - eps.
    broken = follow(subject([0.55, 0.9]), negative_margin)
    assert broken.broken().tolist() == [True, False]
    assert torch.allclose(broken.images[1], torch.full((1, 2, 2), 0.8))
    assert not follow(subject([0.55]), eps=0.04).broken().any()
    wider = follow(subject([0.9], eps=0.001), negative_margin, eps=0.1)
    assert torch.allclose(wider.images, torch.full((1, 1, 2, 2), 0.8)), "steps are as long as the radius asks"


def test_a_step_of_follow_is_a_quarter_of_the_radius():
    start, first, finer = (
        follow(subject([0.9]), steps=steps, **options).images
        for steps, options in ((0, {}), (1, {}), (1, {"step_fraction": 0.1}))
    )
    # Every pixel falls by a step of the radius 0.1, from wherever it began, and stays in the ball.
    assert torch.allclose(first, (start - 0.025).clamp_min(0.8))
    assert torch.allclose(finer, (start - 0.01).clamp_min(0.8))


def test_follow_in_l2():
    # An l2 step of eps moves each of the 4 equal pixels by eps / 2: 0.55 breaks from eps = 0.1 on.
    assert follow(subject([0.55], eps=0.11, norm="l2"), negative_margin).broken().all()
    assert not follow(subject([0.55], eps=0.09, norm="l2"), negative_margin).broken().any()


def test_followed_to_the_end_records_every_loss():
    watched = follow(subject([0.55, 0.9]), leave=False, steps=5)
    assert watched.losses.shape == (6, 2)
    assert not watched.losses.isnan().any()
    left = follow(subject([0.55, 0.9]), leave=True, steps=20)
    assert left.losses[-1, 0].isnan()
    assert not left.losses[-1, 1].isnan()
    assert torch.equal(follow(subject([0.55, 0.9]), leave=False).broken_at, left.broken_at), (
        "the first of many"
    )
    starts = [follow(subject([0.9]), steps=0, start=start).images for start in (0, 1)]
    assert not torch.equal(*starts)


def test_more_steps_that_break_more_are_not_converged():
    flat = [1.0] * (2 * STEPS + 1)
    late = trace([STEPS + 5] * 8 + [-1] * 92, [True] * 8 + [False] * 92, flat)
    found = with_attack.not_converged(late)
    assert (found.verdict, found.value) == ("fail", 8.0)
    assert found.sentence.startswith("Doubling the steps to 40 broke 8 more of 100 samples; ")
    early = trace([STEPS] * 8 + [-1] * 92, [True] * 8 + [False] * 92, flat)
    assert with_attack.not_converged(early).verdict == "pass"


def test_a_loss_that_still_moves_is_not_converged():
    # Ten steps before the end the loss is 0.9, at the end 1.0: 10 % of 1.0, above the 5 % allowed.
    climbing = [0.9] * (2 * STEPS - 9) + [1.0] * 10
    moved = with_attack.not_converged(trace([-1] * 50, [False] * 50, climbing))
    assert moved.verdict == "fail"
    assert moved.value == pytest.approx(0.1)
    settled = [0.97] * (2 * STEPS - 9) + [1.0] * 10
    assert with_attack.not_converged(trace([-1] * 50, [False] * 50, settled)).verdict == "pass"
    ten = [0.5] * (2 * STEPS - 10) + [0.97] + [1.0] * 10  # what moved before the last ten steps is no matter
    assert with_attack.not_converged(trace([-1] * 50, [False] * 50, ten)).verdict == "pass"
    for before, verdict in ((0.951, "pass"), (0.949, "fail")):
        moved = trace([-1] * 50, [False] * 50, [before] * (2 * STEPS - 9) + [1.0] * 10)
        assert with_attack.not_converged(moved).verdict == verdict
    falling = [1.1] * (2 * STEPS - 9) + [1.0] * 10
    assert with_attack.not_converged(trace([-1] * 50, [False] * 50, falling)).verdict == "fail"
    at_last = [1.0] * (2 * STEPS) + [1.1]
    assert with_attack.not_converged(trace([-1] * 50, [False] * 50, at_last)).verdict == "fail"
    # The loss of what broke says nothing, nor that of fewer than ten survivors.
    for left, verdict in ((0, "pass"), (9, "pass"), (10, "fail")):
        found = trace([3] * (50 - left) + [-1] * left, [True] * (50 - left) + [False] * left, climbing)
        assert with_attack.not_converged(found).verdict == verdict
    found = trace([3] * 25 + [-1] * 25, [True] * 25 + [False] * 25, settled)
    found.losses[:-5, :25] = 0
    assert with_attack.not_converged(found).verdict == "pass"


def test_lost_success_counts_samples_that_recover():
    flat = [1.0] * (2 * STEPS + 1)
    found = with_attack.lost_success(trace([3] * 20 + [-1] * 80, [False] * 20 + [False] * 80, flat))
    assert (found.verdict, found.value) == ("fail", 20.0)
    assert found.sentence.endswith("not at the last one: keep the first success, not the last iterate.")
    assert (
        with_attack.lost_success(trace([3] * 20 + [-1] * 80, [True] * 20 + [False] * 80, flat)).verdict
        == "pass"
    )


def test_steps_are_held_against_an_attack_on_trial_where_they_break_what_it_left():
    climbing = [0.9] * (2 * STEPS - 9) + [1.0] * 10
    late = trace([STEPS + 5] * 8 + [3] * 8 + [-1] * 84, [True] * 8 + [False] * 92, climbing)
    better, weaker = torch.arange(100) >= 16, torch.arange(100) >= 0
    assert with_attack.steps_break(late, better).verdict == "pass"
    found = with_attack.steps_break(late, weaker)
    assert (found.verdict, found.value) == ("fail", 16.0)
    assert found.sentence == "PGD of 40 steps broke 16 of 100 survivors of the attack (100 samples)."
    assert [with_attack.lost_success(late, left).value for left in (better, weaker)] == [0.0, 8.0]


def test_more_steps_may_break_two_in_a_hundred_and_are_told_from_one_in_two_hundred_on():
    # P(X >= 3) of 2 % passes 1 % between n = 22 and 23, that of 0.5 % between 87 and 88.
    found = [
        with_attack.steps_break(trace([1] * 3 + [-1] * (n - 3), [True] * n, [1.0]), torch.ones(n) > 0)
        for n in (22, 23, 87, 88)
    ]
    assert [one.verdict for one in found] == ["fail", "warn", "warn", "pass"]


def test_accuracy_that_rises_with_eps_is_not_monotone():
    # All of these survive twice the budget, so a budget at which none survives is a rise.
    tough = subject([0.9] * 20, eps=0.1)
    assert with_attack.not_monotone_in_eps(tough, torch.zeros(20, dtype=torch.bool)).verdict == "fail"
    assert with_attack.not_monotone_in_eps(tough, torch.ones(20, dtype=torch.bool)).verdict == "pass"
    # That k images alone recover has probability 2^-k: below 1 % from 7 on; two are never told.
    found = [with_attack.not_monotone_in_eps(tough, torch.arange(20) >= k) for k in (2, 3, 7)]
    assert [(one.value, one.verdict) for one in found] == [(0.1, "pass"), (0.15, "warn"), (0.35, "fail")]
    # Half of the budget breaks all of these, so that any left at the whole budget are a rise, too.
    weak = subject([0.52] * 20, eps=0.1)
    assert with_attack.not_monotone_in_eps(weak, torch.ones(20, dtype=torch.bool)).verdict == "fail"


def test_a_small_rise_after_a_large_one_does_not_soften_the_verdict(monkeypatch):
    # Robust of 20: none at half of the budget, 10 at the budget (2^-10), 13 at twice the budget (2^-3).
    robust = {0.05: 0, 0.2: 13}
    flat = [1.0] * (STEPS + 1)
    monkeypatch.setattr(
        with_attack,
        "follow",
        lambda _, eps: trace([-1] * robust[eps] + [0] * (20 - robust[eps]), [True] * 20, flat),
    )
    found = with_attack.not_monotone_in_eps(subject([0.9] * 20, eps=0.1), torch.arange(20) < 10)
    assert (found.verdict, found.value) == ("fail", 0.5)
    # Eight that half of the budget breaks survive it, four the other way: a rise of four, by chance in 19 %.
    robust |= {0.05: 6, 0.2: 0}
    base = (torch.arange(20) >= 4) & (torch.arange(20) < 14)
    found = with_attack.not_monotone_in_eps(subject([0.9] * 20, eps=0.1), base)
    assert (found.verdict, found.value) == ("warn", 0.2)


def test_what_a_weaker_attack_breaks_is_a_share_of_all_that_were_attacked():
    # Granted 0.2 %: P(X >= 3) is 0.001 of 100 images and 0.32 of 1,000, however few survived.
    three = torch.ones(3, dtype=torch.bool)
    found = [with_attack.won("noise_wins", "Noise", three, subject([0.9] * n), "why") for n in (100, 1000)]
    assert [one.verdict for one in found] == ["fail", "pass"]


def test_of_an_attack_on_trial_nobody_says_that_it_took_gradients():
    """It may be Square of few queries: then chance or a step does better without a masked gradient."""
    own, three = subject([0.9] * 9), torch.ones(3, dtype=torch.bool)
    tried = replace(own, survivors=torch.ones(9, dtype=torch.bool))
    said = [
        with_attack.won("noise_wins", "Noise", three, one, "chance does better").sentence
        for one in (own, tried)
    ]
    assert said[0].startswith("Noise broke 3 of 3 survivors of the white-box attack (9 samples), p = ")
    assert said[1].startswith("Noise broke 3 of 3 survivors of the attack (9 samples), p = ")
    alone = with_attack.won("noise_wins", "Noise", three[:1] & False, subject([0.9]), "why").sentence
    assert alone == "Noise broke 0 of 1 survivor of the white-box attack (1 sample)."


def test_shares_of_right_images_are_not_called_robust_accuracy():
    """Diagnostics look at right images alone, of which all may survive where the accuracy is lower."""
    some = torch.arange(40) < 10
    found = with_attack.losses_disagree(subject([0.9] * 40), some, ~some)
    assert (
        found.sentence
        == "PGD leaves 75.0 % of the right images on the cross-entropy and 25.0 % on the margin."
    )
    found = with_attack.not_monotone_in_eps(subject([0.9] * 4), torch.ones(4, dtype=torch.bool))
    assert (
        found.sentence == "Half eps, eps and twice eps leave 100.0 %, 100.0 %, 100.0 % of the right images."
    )


def test_noise_is_five_draws_of_its_own():
    # On the boundary a draw breaks an image with 1/2, five with 1 - 2^-5; of 2,000 images within 4 deviations.
    boundary = replace(subject([0.5] * 2000), batch_size=2000)
    found = with_attack.noise_wins(boundary, torch.ones(2000, dtype=torch.bool))
    assert found.value == pytest.approx(2000 * (1 - 2**-5), abs=4 * (2000 * 31 / 1024) ** 0.5)


def test_restarts_that_break_more_are_told():
    weak = subject([0.55] * 20)
    assert with_attack.restart_sensitive(weak, torch.zeros(20, dtype=torch.bool)).verdict == "fail"
    assert with_attack.restart_sensitive(weak, torch.ones(20, dtype=torch.bool)).verdict == "pass"


def test_restarts_begin_elsewhere_than_the_first_run_the_second_with_finer_steps(monkeypatch):
    asked = []

    def breaks_the_first(left, *, step_fraction, start):
        asked.append((start, step_fraction, left.ids.tolist()))
        others = len(left) - 1
        return trace([0] + [-1] * others, [True] + [False] * others, [1.0])

    monkeypatch.setattr(with_attack, "follow", breaks_the_first)
    found = with_attack.restart_sensitive(subject([0.9] * 20), torch.arange(20) < 5)
    assert found.value == 2
    assert asked == [(1, 0.25, [*range(5, 20)]), (2, 0.1, [*range(6, 20)])]


def test_losses_that_agree_on_shares_but_not_on_samples_pass():
    first = torch.arange(40) < 20
    assert with_attack.losses_disagree(subject([0.9] * 40), first, ~first).verdict == "pass"
    none = first & False
    assert with_attack.losses_disagree(subject([0.9] * 40), first, none).verdict == "fail"
    assert with_attack.losses_disagree(subject([0.9] * 40), none, first).verdict == "fail"
    # 7 of 100 are a gap between 5 and 10 % that a fair coin makes with 2^-7; 3 of 10 one that it makes with 2^-3.
    some = torch.arange(100) < 7
    assert with_attack.losses_disagree(subject([0.9] * 100), some, some & False).verdict == "warn"
    some = torch.arange(150) < 7  # as odd, but a gap below 5 %
    assert with_attack.losses_disagree(subject([0.9] * 150), some, some & False).verdict == "pass"
    # A fair coin gives 36 heads of 54 or more with 0.99 %, 23 of 32 with 1.003 %.
    for heads, n, verdict in ((36, 54, "fail"), (23, 32, "pass")):
        some = torch.arange(n) < heads
        assert with_attack.losses_disagree(subject([0.9] * n), ~some, some).verdict == verdict
    few = torch.arange(10) < 3
    assert with_attack.losses_disagree(subject([0.9] * 10), few, few & False).verdict == "pass"


def test_what_the_margin_breaks_of_survivors_is_held_against_the_attack():
    left = torch.arange(100) < 50
    found = [
        with_attack.margin_breaks(subject([0.9] * 100), left, torch.arange(100) >= k)
        for k in (50, 45, 44, 40, 39)
    ]
    assert [(one.value, one.verdict) for one in found] == [
        (0.0, "pass"), (0.05, "pass"), (0.06, "warn"), (0.1, "warn"), (0.11, "fail"),
    ]  # fmt: skip
    assert found[4].sentence == (
        "PGD on the margin broke 11 of 50 survivors of the attack (100 samples): "
        "its loss or its few steps hold it back; attack with apgd-dlr, pma or lean."
    )
    every = torch.ones(1000, dtype=torch.bool)
    verdicts = [
        with_attack.margin_breaks(subject([0.9] * 1000), every, torch.arange(1000) < k).verdict
        for k in (50, 51, 100, 101)
    ]
    assert verdicts == ["pass", "warn", "warn", "fail"]
    few = torch.arange(9) < 3
    verdicts = [
        with_attack.margin_breaks(subject([0.9] * 9), few, torch.arange(9) < k).verdict for k in (2, 3)
    ]
    assert verdicts == ["pass", "fail"], "two of nine images are no share that can be told"


def test_every_image_is_within_an_unbounded_eps():
    found = with_attack.unbounded_eps_survives(subject([0.55, 0.99]))
    assert (found.verdict, found.value) == ("pass", 0.0)
    # Where the cross-entropy has no gradient left, the margin still has one.
    confident = replace(subject([0.99] * 20), model=Linear(1e4))
    assert with_attack.unbounded_eps_survives(confident).verdict == "pass"


def test_a_model_that_answers_otherwise_at_the_third_call_is_randomised():
    calls = []

    def model(images):
        calls.append(len(images))
        return images.flatten(1)[:, :2] + float(calls.count(4) == 3)

    found = without_attack.randomised(replace(subject([0.9] * 4), model=model))
    assert (found.verdict, calls.count(4)) == ("fail", 3)


def test_perturbations_of_a_model_that_goes_the_other_way_transfer_nothing():
    all_left, weak = torch.ones(20, dtype=torch.bool), subject([0.55] * 20)
    away, along = ({"the other": Linear(weight)} for weight in (-1.0, 1.0))
    found = [with_attack.transfer_wins(weak, all_left, source) for source in (away, along)]
    assert [(one.value, one.verdict) for one in found] == [(0.0, "pass"), (20.0, "fail")]


def test_one_loss_without_a_gradient_is_enough():
    confident = replace(subject([0.9] * 4), model=Linear(1e4))  # the cross-entropy's is zero in float32
    found = without_attack.zero_gradient(confident)
    assert (found.value, found.verdict) == (1.0, "fail")
    assert "on 100 % (cross-entropy), 0 % (DLR)" in found.sentence


def test_a_few_images_without_a_gradient_are_told_from_one_in_fifty_on():
    class Deaf(Linear):
        """Without a gradient at the brighter images."""

        def forward(self, images):
            bright = images.flatten(1).amin(1) > 0.8
            return super().forward(torch.where(bright[:, None, None, None], images.detach(), images))

    found = [
        without_attack.zero_gradient(replace(subject([0.9] * k + [0.7] * (100 - k)), model=Deaf()))
        for k in (2, 3, 10, 11)
    ]
    assert [one.verdict for one in found] == ["pass", "warn", "warn", "fail"]


def test_outputs_are_logits_but_where_most_are_probabilities():
    def model(images):
        share = images.flatten(1)[:, 0]  # a number above 1 is none of a probability
        return torch.stack([share, 1 - share], 1)

    found = [
        without_attack.probabilities(replace(subject([0.9] * k + [1.5] * (10 - k)), model=model))
        for k in (1, 2, 5, 6)
    ]
    assert [one.verdict for one in found] == ["pass", "warn", "warn", "fail"]
    assert found[2].sentence == "50 % of the outputs are probabilities; the others are logits."
    assert found[3].sentence.startswith("60 % of the outputs are probabilities: the loss saturates on them")


def test_a_band_of_wrong_answers_is_stepped_into_and_out_of_again_or_over():
    class Banded(nn.Module):
        """Wrong about images whose mean is about 0.47; its gradient leads through them, and on."""

        def forward(self, images):
            level = images.flatten(1).mean(1)
            score = torch.where((level - 0.47).abs() < 0.012, -1.0, 1.0) + level - level.detach()
            return torch.stack([score, -score], 1)

    # From 0.5 steps of a quarter of eps: 0.03 is into the band, and so are two of 0.015; 0.06 is over it.
    images, labels = torch.full((20, 3, 32, 32), 0.5), torch.zeros(20, dtype=torch.int64)
    found = {one.check: one for one in diagnose(Banded(), images, labels, eps=0.12, queries=2)}
    assert (found["lost_success"].verdict, found["lost_success"].value) == ("fail", 20.0)
    assert found["not_monotone_in_eps"].sentence == (
        "Half eps, eps and twice eps leave 0.0 %, 0.0 %, 100.0 % of the right images."
    )


def test_grades():
    assert by_thresholds("x", 0.2, "", warn=0.1, fail=0.3).verdict == "warn"
    # n = 100, rate 2 %: P(X >= 7) = 0.004, P(X >= 6) = 0.015; 0.5 %: P(X >= 4) = 0.0017, P(X >= 3) = 0.014.
    assert [by_count("x", k, 100, "", tolerated=0.02, noticed=0.005).verdict for k in (3, 4, 6, 7)] == [
        "pass", "warn", "warn", "fail",
    ]  # fmt: skip


def test_one_fail_makes_an_accuracy_untrusted():
    good, bad, none = (Finding("x", word, 0.0, "") for word in ("pass", "fail", "not_run"))
    assert trust([good, bad]) == "untrusted"
    assert trust([good, none]) == "trusted"
    assert trust([none]) == trust([]) == "unchecked"
