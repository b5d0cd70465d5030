"""Intervals and tests against closed forms and against SciPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from scipy import stats

from robustbench_sdnet.answers.published import VERDICT_CONFIDENCE
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.statistics import (
    binomial_tail,
    difference_interval,
    difference_p,
    exceeds_rare_rate,
    gain_over_networks,
    holm,
    images_needed,
    mcnemar,
    mean_interval,
    wilson,
)


def test_wilson_of_half():
    # p = 1/2, n = 100: centre 1/2, half width z / (2 sqrt(n + z^2)) = 1.959964 / (2 sqrt(103.841459)).
    low, high = wilson(50, 100)
    half = 1.959963984540054 / (2 * math.sqrt(100 + 1.959963984540054**2))
    assert low == pytest.approx(0.5 - half, abs=1e-12)
    assert high == pytest.approx(0.5 + half, abs=1e-12)


@pytest.mark.parametrize("n", [1, 2, 9, 100, 10_000])
def test_wilson_at_the_edges(n):
    # None of n: the interval is [0, z^2 / (n + z^2)]; all of n is its mirror.
    z = 1.959963984540054
    assert wilson(0, n) == (0.0, pytest.approx(z * z / (n + z * z), abs=1e-12))
    assert wilson(n, n) == (pytest.approx(n / (n + z * z), abs=1e-12), 1.0)


@given(st.integers(1, 3000), st.floats(0, 1))
def test_wilson_agrees_with_scipy(n, share):
    right = round(share * n)
    expected = stats.binomtest(right, n).proportion_ci(0.95, method="wilson")
    assert wilson(right, n) == pytest.approx((expected.low, expected.high), abs=1e-9)


def test_wilson_without_samples_is_nan():
    assert all(math.isnan(end) for end in wilson(0, 0))


@pytest.mark.parametrize(("right", "n"), [(5, 4), (-1, 4)])
def test_wilson_refuses_nonsense(right, n):
    with pytest.raises(InputError, match="wilson"):
        wilson(right, n)


def test_mcnemar_closed_forms():
    assert mcnemar(0, 0) == 1.0
    assert mcnemar(5, 5) == 1.0
    assert mcnemar(0, 6) == pytest.approx(2 / 2**6)  # both tails of six heads in a row
    assert mcnemar(1, 7) == pytest.approx(2 * (1 + 8) / 2**8)


@given(st.integers(0, 400), st.integers(0, 400))
def test_mcnemar_is_the_two_sided_sign_test(first, second):
    assert mcnemar(first, second) == mcnemar(second, first)
    if first + second:
        expected = stats.binomtest(first, first + second).pvalue
        assert mcnemar(first, second) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_refuses_negative_counts():
    with pytest.raises(InputError, match="negative"):
        mcnemar(-1, 2)


def test_holm_by_hand():
    # Sorted .01 .02 .03 .04 times 4 3 2 1 is .04 .06 .06 .04; each at least the one before: .04 .06 .06 .06.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert holm([]).size == 0


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_raw_and_bonferroni(raw):
    corrected = holm(raw)
    assert (corrected >= np.asarray(raw) - 1e-12).all()
    assert (corrected <= np.minimum(np.asarray(raw) * len(raw), 1) + 1e-12).all()


@pytest.mark.parametrize("values", [[1.5], [-0.5], [[0.1]], [math.nan]])
def test_holm_refuses_what_is_no_list_of_p_values(values):
    with pytest.raises(InputError, match="holm"):
        holm(values)


def test_binomial_tail_closed_forms():
    assert binomial_tail(0, 10, 0.3) == 1.0
    assert binomial_tail(1, 10, 0.002) == pytest.approx(1 - 0.998**10)
    assert binomial_tail(10, 10, 0.5) == pytest.approx(2**-10)
    assert [binomial_tail(1, 10, rate) for rate in (0, 1)] == [0.0, 1.0]
    for count, rate in ((11, 0.5), (-1, 0.5), (1, 1.5), (1, -0.5)):
        with pytest.raises(InputError, match="binomial_tail"):
            binomial_tail(count, 10, rate)


def test_rare_rate_needs_three_samples_and_the_test():
    # Rate 0.2 %, n = 100: P(X >= 3) = 0.0011; n = 1000: P(X >= 5) = 0.052, P(X >= 7) = 0.0045.
    assert not exceeds_rare_rate(2, 3)
    assert not exceeds_rare_rate(2, 100)
    assert exceeds_rare_rate(3, 100)
    assert not exceeds_rare_rate(5, 1000)
    assert exceeds_rare_rate(7, 1000)
    # P(X >= 3) of 0.2 % passes 1 % between n = 218 and 219, that of 2 % between 22 and 23.
    assert [exceeds_rare_rate(3, n) for n in (218, 219)] == [True, False]
    assert [exceeds_rare_rate(3, n, rate=0.02) for n in (22, 23)] == [True, False]


def test_a_mean_has_students_interval():
    values = [0.3, 0.9, 0.4, 0.8, 0.55]
    expected = stats.t.interval(0.95, 4, np.mean(values), stats.sem(values))
    assert mean_interval(values) == pytest.approx((np.mean(values), *expected), abs=1e-12)
    # t of 2 degrees of freedom at 97.5 % is 4.302653; deviation 1, three values: 4.302653 / sqrt(3) = 2.484138.
    assert mean_interval([1, 2, 3]) == pytest.approx((2, 2 - 2.484138, 2 + 2.484138), abs=1e-5)
    # Of two values it is wide, and there: t of 1 degree is 12.7062, deviation and root of n both the root of 2.
    assert mean_interval([0, 2]) == pytest.approx((1, 1 - 12.7062, 1 + 12.7062), abs=1e-4)
    assert np.isnan(mean_interval([5])[1:]).all()
    with pytest.raises(InputError, match="mean_interval needs values"):
        mean_interval([])


def test_intervals_of_differences_end_where_differences_do():
    # Both of two images gained: mean 2 / 4, variance 3 / 4 - 1 / 4, half 1.96 * sqrt(0.5 / 4) = 0.69, beyond 1.
    assert difference_interval(np.ones(2))[1] == 1
    assert difference_interval(-np.ones(2))[0] == -1
    opposed = gain_over_networks([[1.0] * 9, [-1.0] * 9])
    assert (opposed.low, opposed.gain, opposed.high) == (-1, 0, 1)


def test_a_gain_over_networks_that_hardly_differ_by_image_is_students_over_networks():
    ours, theirs = np.array([0.031, 0.052, 0.017, 0.049]), np.array([0.012, 0.044])
    images = np.ones(100_000)
    alone = gain_over_networks(np.outer(ours, images))
    interval = stats.ttest_1samp(ours, 0).confidence_interval()
    assert alone.gain == pytest.approx(ours.mean())
    assert (alone.low, alone.high) == pytest.approx(tuple(interval), rel=1e-3)
    assert alone.p == pytest.approx(stats.ttest_1samp(ours, 0).pvalue, rel=1e-3)
    both = gain_over_networks(np.outer(ours, images), np.outer(theirs, images))
    welch = stats.ttest_ind(ours, theirs, equal_var=False)
    assert both.gain == pytest.approx(ours.mean() - theirs.mean())
    assert (both.low, both.high) == pytest.approx(tuple(welch.confidence_interval()), rel=1e-3)
    assert both.p == pytest.approx(welch.pvalue, rel=1e-3)


@given(st.integers(0, 1000), st.integers(1, 60), st.floats(-0.3, 0.3))
def test_the_p_value_of_a_mean_is_below_5_percent_where_its_interval_leaves_0_out(seed, images, shift):
    draws = np.clip(np.random.default_rng(seed).normal(shift, 0.3, images), -1, 1)
    low, high = difference_interval(draws)
    assert (difference_p(draws) < 0.05) == (not low <= 0 <= high)


@pytest.mark.parametrize(("n", "rate"), [(64, 0.03), (100, 0.02), (300, 0.02), (1000, 0.01)])
def test_the_interval_of_changes_that_all_go_one_way_covers_them(n, rate):
    """By enumeration; with half an image of each outcome added it covers in 86 to 94 %."""
    covered = 0.0
    for count in range(n + 1):
        low, high = difference_interval(np.repeat([1.0, 0.0], [count, n - count]))
        covered += stats.binom.pmf(count, n, rate) * (low <= rate <= high)
    assert covered > 0.949


@pytest.mark.parametrize("published", [(0.1434, 0.0784, 0.0431, 0.0335), (0.0615, 0.0541, 0.0495, 0.0241)])
def test_one_of_four_verdicts_is_false_in_at_most_5_percent(published):
    """By enumeration: of 100 images a tenth loses, and the true gain is half of the published one; 7 % at 95 %."""
    n, lose = 100, 0.1
    true = {"low": 1.0, "high": 1.0}
    for half in (value / 2 for value in published):
        wrong = dict.fromkeys(true, 0.0)
        for gained in range(n + 1):
            chance = stats.binom.pmf(gained, n, half + lose)
            losses = np.arange(n - gained + 1) if chance > 1e-5 else []
            pmf = stats.binom.pmf(losses, n - gained, lose / (1 - half - lose))
            for lost in losses:
                p = pmf[lost]
                if p > 1e-5:
                    differences = np.repeat([1.0, -1.0, 0.0], [gained, lost, n - gained - lost])
                    low, high = difference_interval(differences, VERDICT_CONFIDENCE)
                    wrong["low"] += chance * p * (low > half)
                    wrong["high"] += chance * p * (high < half)
        for end in true:
            true[end] *= 1 - wrong[end]
    assert 0.95 <= min(true.values()) < 0.98


def test_the_interval_of_the_best_of_many_holds_its_true_gain():
    """13 lambdas that gain nothing on 1,000 images; the best one's own interval holds 0 in four fifths of cases."""
    rng = np.random.default_rng(0)
    own = picked = 0
    for _ in range(400):
        shared = rng.normal(size=1000)
        every = np.sqrt(0.5) * (shared + rng.normal(size=(13, 1000)))
        tail = stats.norm.ppf(0.92)
        gains = (every > tail).astype(float) - (every < -tail)
        best = gains[gains.sum(1).argmax()]
        low, high = difference_interval(best)
        own += low <= 0 <= high
        low, high = difference_interval(best, 1 - 0.05 / 13)  # as `Comparison.picked` widens it
        picked += low <= 0 <= high
    assert own < 0.9 * 400
    assert picked > 0.95 * 400


@pytest.mark.parametrize(("n", "gained", "lost"), [(100, 0, 0), (100, 10, 10), (200, 30, 20), (50, 4, 2)])
def test_so_many_images_narrow_an_interval_to_what_is_asked(n, gained, lost):
    share = (gained + lost) / n
    needed = images_needed(share, 0.03)
    for m, inside in ((needed, True), (needed - 1, False)):
        # A balanced change of the same share: the mean square is share * m of m + z^2 images, z^2 added.
        padded = m + 1.959964**2
        half = 1.959964 * np.sqrt(share * m + 1.959964**2) / padded
        assert (half <= 0.03) == inside
    assert gained or needed == 125


@pytest.mark.parametrize("n", range(1, 200, 9))
def test_as_many_images_as_there_are_narrow_an_interval_to_its_own_end(n):
    _, high = difference_interval(np.zeros(n))
    assert images_needed(0.0, high) == n


def test_an_interval_where_nothing_differs_is_that_of_the_score_test():
    z2 = 1.959964**2
    assert difference_interval(np.zeros(100)) == pytest.approx((-z2 / (100 + z2), z2 / (100 + z2)))


def test_the_p_value_of_a_mean_where_nothing_differs_is_1():
    assert difference_p(np.zeros(10)) == difference_p(np.empty(0)) == 1.0


def test_of_many_means_that_are_nothing_few_are_called_a_gain_or_a_loss():
    # 60 % of images gain a twelfth, 10 % lose half: a mean of 0 that every sign test rejects. Of 14 such, an interval
    # leaves 0 out in four of ten families.
    draws, wrong = np.random.default_rng(0), 0
    for _ in range(300):
        shared = draws.normal(size=200)
        places = stats.norm.cdf((shared + draws.normal(size=(14, 200))) / 2**0.5)
        gains = np.where(places < 0.6, 1 / 12, np.where(places > 0.9, -0.5, 0.0))
        wrong += bool((holm([difference_p(row) for row in gains]) < 0.05).any())
    assert wrong <= 27, "0.05 of 300, and three standard deviations more"


def test_a_gain_over_networks_that_answer_alike_is_the_one_over_images():
    gains = np.repeat([1.0, 0.0, -1.0], [30, 50, 20])
    found = gain_over_networks(np.stack([gains] * 3))
    low, high = difference_interval(gains)
    assert found.gain == pytest.approx(0.1)
    assert found.high - found.low == pytest.approx(high - low, rel=1e-6)
    assert gain_over_networks(np.zeros((2, 40))).p == 1.0, "no gain, and images enough to say so"


@given(st.integers(0, 1000), st.integers(2, 5), st.floats(-0.2, 0.2))
def test_the_p_value_of_a_gain_is_below_5_percent_where_its_interval_leaves_0_out(seed, networks, shift):
    draws = np.random.default_rng(seed)
    found = gain_over_networks(
        shift + draws.normal(0, 0.02, (networks, 1)) + draws.normal(0, 0.3, (networks, 60))
    )
    assert (found.p < 0.05) == (not found.low <= 0 <= found.high)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("spread", [0.0, 0.05])
def test_the_interval_of_a_gain_over_networks_covers_the_truth(groups, spread):
    # Crossed effects of networks and images and what is left, of a true gain of 0: 95 % of 600, two deviations lower.
    draws, covered = np.random.default_rng(7), 0
    for _ in range(600):
        images = draws.normal(0, 0.2, 80)
        sides = [
            draws.normal(0, spread, (2, 1)) + images * (which == 0) + draws.normal(0, 0.3, (2, 80))
            for which in range(groups)
        ]
        found = gain_over_networks(*sides)
        covered += found.low <= 0 <= found.high
    assert covered / 600 > 0.95 - 2 * math.sqrt(0.95 * 0.05 / 600)


def test_one_network_says_nothing_about_others():
    for sides in (([[0.1, 0.2]],), ([[0.1], [0.2]], [[0.1]]), (np.empty((2, 0)),), ([0.1, 0.2],)):
        with pytest.raises(InputError, match="two networks or more a side, and images, got"):
            gain_over_networks(*sides)


def test_the_interval_of_a_difference():
    # 3.8415 = 1.959964^2 images that differ added, half of each sign. 8 gained, 2 lost of 98: 6 / 101.8415 = 0.0589;
    # variance 13.8415 / 101.8415 - 0.058915^2 = 0.132441; half the width 1.959964 * sqrt(0.132441 / 101.8415).
    differences = np.array([1.0] * 8 + [-1.0] * 2 + [0.0] * 88)
    low, high = difference_interval(differences)
    half = 1.959964 * (0.132441 / 101.8415) ** 0.5
    assert (low, high) == (pytest.approx(0.058915 - half, abs=1e-5), pytest.approx(0.058915 + half, abs=1e-5))
    assert np.isnan(difference_interval(np.empty(0))).all()
