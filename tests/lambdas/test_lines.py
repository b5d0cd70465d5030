"""The lines of a calibration, from answers written by hand."""

from __future__ import annotations

import numpy as np
import pytest

from robustbench_sdnet.lambdas.lines import FitPoint, Line, fit_lines, line_through, most_accurate


def point(noise, level, seen, *right):
    """A level whose images are answered as each text says, the residual also standing for the noise level."""
    return FitPoint(noise, level, tuple(seen), tuple(seen), right)


def test_the_line_through_points():
    assert line_through([0, 1, 2], [1, 3, 5]) == Line(pytest.approx(2), pytest.approx(1))
    assert line_through([0, 1, 2], [0, 3, 0]) == Line(pytest.approx(0), pytest.approx(1))
    assert line_through([1, 1], [2, 4]) == line_through([0, 0], [2, 4]) == Line(0.0, 3.0)
    # The mean of equal numbers may be another number in its last digit.
    assert line_through([0.1] * 3, [1, 2, 4]) == Line(0.0, pytest.approx(7 / 3))
    assert line_through([0.3, 0.1 + 0.2], [0, 1]) == Line(0.0, 0.5)


def test_the_most_accurate_line_gives_each_image_the_lambda_it_needs():
    # Clean images are right at the first lambda alone, noisy ones at the last alone: only a rising line suits both.
    points = [
        point("clean", 0.0, (0.1, 0.2), "11", "00", "00"), point("gaussian_noise", 1.0, (0.8, 0.9), "00", "00", "11"),
    ]  # fmt: skip
    lambdas = (0.1, 0.5, 1.0)
    found = most_accurate(points, lambdas, [p.residuals for p in points])
    given = [min(max(found.intercept + found.slope * r, 0.1), 1.0) for p in points for r in p.residuals]
    assert given == pytest.approx([0.1, 0.1, 1.0, 1.0])


def test_lines_are_tried_in_tenths_at_both_ends_of_the_images_and_well_beyond_the_lambdas():
    # 40 images from 0 to 1, of which one half needs 0.1 and the other 1.4: the steepest line suits them best, from 1.5
    # below the lambdas at the 5 % quantile to 1.4 above them at the 95 % one, where the last tenth before 1.5 lies.
    seen = [(k + 0.5) / 40 for k in range(40)]
    found = most_accurate(
        [point("clean", 0.0, seen, "1" * 20 + "0" * 20, "0" * 20 + "1" * 20)], (0.1, 1.4), [seen]
    )
    ends = [found.intercept + found.slope * float(np.quantile(seen, share)) for share in (0.05, 0.95)]
    assert ends == pytest.approx([-1.4, 2.8])


def test_of_equal_lines_the_one_with_the_smallest_lambdas_stands():
    points = [point("clean", 0.0, (0.1, 0.9), "11", "11", "11")]
    found = most_accurate(points, (0.1, 0.5, 1.0), [points[0].residuals])
    assert max(found.intercept + found.slope * r for r in (0.1, 0.9)) <= 0.1


def test_more_noise_never_gets_a_smaller_lambda():
    # A falling line would suit both; of rising ones a flat one suits half.
    points = [point("clean", 0.0, (0.1, 0.2), "00", "11"), point("shot_noise", 1.0, (0.8, 0.9), "11", "00")]
    assert most_accurate(points, (0.1, 1.0), [p.residuals for p in points]).slope == 0


def test_each_rule_looks_at_its_own_number_and_accuracy():
    # Residuals tell nothing apart, estimated noise does; of a flat top from 0.1 to 0.5 the middle counts, or its first.
    low = FitPoint("clean", 0.0, (0.5, 0.5), (0.1, 0.2), ("11", "11", "00"))
    high = FitPoint("gaussian_noise", 1.0, (0.5, 0.5), (0.8, 0.9), ("00", "00", "11"))
    lines = fit_lines([low, high], (0.1, 0.5, 1.0))
    assert lines["residual"].slope == 0 < lines["noise"].slope
    assert lines["published"] == Line(0.0, pytest.approx((0.3 + 1.0) / 2))
    assert lines["test-labels"] == Line(0.0, pytest.approx((0.1 + 1.0) / 2))


def test_a_level_that_does_not_care_has_no_say_and_conditions_count_the_same():
    # Nine noise levels are right nowhere but twice, at 1.0; the published rule follows them, accuracy the clean images.
    clean = point("clean", 0.0, [0.1] * 10, "1" * 10, "0" * 10)
    noisy = [point("shot_noise", k, [0.1] * 10, "0" * 10, "11" + "0" * 8) for k in range(9)]
    lines = fit_lines([clean, *noisy], (0.1, 1.0))
    assert lines["residual"] == lines["noise"] == Line(0.0, 0.1)
    assert lines["published"].slope == 0
    assert lines["published"].intercept == pytest.approx((9 * 1.0 + 0.1) / 10)
    # Once the noise, as one condition, gains more than the clean images lose, it has its way.
    gaining = [point("shot_noise", k, [0.1] * 10, "0" * 10, "1" * 10) for k in range(9)]
    losing = point("clean", 0.0, [0.1] * 10, "1" * 10, "1" * 9 + "0")
    assert fit_lines([losing, *gaining], (0.1, 1.0))["residual"] == Line(0.0, 1.0)
    # So it is where signals differ, which here say nothing: 36 right answers at nine levels weigh less than ten images.
    apart, some = [0.1, 0.2] * 5, "1100110000"
    ten = point("clean", 0.0, apart, "1" * 10, "0" * 10)
    nine = [point("shot_noise", k, apart, "0" * 10, some) for k in range(9)]
    found = most_accurate([ten, *nine], (0.1, 1.0), [apart] * 10)
    assert max(found.intercept + found.slope * r for r in apart) <= 0.1 + 1e-9
