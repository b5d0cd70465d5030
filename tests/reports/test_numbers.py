"""Means of accuracies: their arithmetic, and when there is none."""

from __future__ import annotations

import pytest

from robustbench_sdnet.reports.numbers import Estimate, Missing, error, mean, probability
from robustbench_sdnet.wording import percent


def test_a_mean_takes_the_means_of_accuracies_and_of_interval_ends() -> None:
    value = mean({"a": Estimate(0.5, 0.4, 0.6, 100), "b": Estimate(0.7, 0.6, 0.9, 100)})
    # (0.5 + 0.7) / 2, (0.4 + 0.6) / 2, (0.6 + 0.9) / 2
    assert isinstance(value, Estimate)
    assert (value.accuracy, value.low, value.high) == pytest.approx((0.6, 0.5, 0.75))
    assert value.n == 100


def test_means_of_the_same_accuracies_in_another_order_are_equal() -> None:
    """65 of 80 images: as sums of floats 0.8125 and 0.8125000000000001."""
    means = [
        mean({str(i): Estimate(share, 0.5, 0.9, 20) for i, share in enumerate(shares)})
        for shares in ((0.8, 0.8, 0.85, 0.8), (0.8, 0.8, 0.8, 0.85))
    ]
    assert means[0] == means[1]


def test_a_mean_says_what_is_missing() -> None:
    assert mean({"fog": None, "snow": Estimate(0.5, 0.4, 0.6, 10), "frost": None}) == Missing(
        "not run: fog, frost"
    )
    assert mean({}) == Missing("nothing was run")


def test_a_mean_is_never_taken_over_different_numbers_of_images() -> None:
    value = mean({"a": Estimate(0.5, 0.4, 0.6, 1000), "b": Estimate(0.5, 0.4, 0.6, 100)})
    assert value == Missing("on different numbers of images: 100, 1,000")


def test_one_untrusted_part_makes_a_mean_untrusted() -> None:
    value = mean({"a": Estimate(0.5, 0.4, 0.6, 10), "b": Estimate(0.5, 0.4, 0.6, 10, untrusted=True)})
    assert isinstance(value, Estimate)
    assert value.untrusted


def test_an_error_turns_the_interval_around() -> None:
    value = error(Estimate(0.9, 0.8, 0.95, 10))
    assert isinstance(value, Estimate)
    assert (value.accuracy, value.low, value.high) == pytest.approx((0.1, 0.05, 0.2))
    assert error(Missing("not run")) == Missing("not run")


@pytest.mark.parametrize(
    ("n", "percent", "interval"),
    [(200, "12.3", "10.0-15.7"), (4999, "12.3", "10.0-15.7"), (5000, "12.34", "10.00-15.68")],
)
def test_decimals_follow_the_number_of_images(n: int, percent: str, interval: str) -> None:
    value = Estimate(0.1234, 0.1, 0.15678, n)
    assert (value.percent, value.interval()) == (percent, interval)


def test_a_number_bears_all_its_marks() -> None:
    value = Estimate(0.5, 0.4, 0.6, 8, untrusted=True, transfer=True)
    assert value.text == "(50.0) untrusted"


def test_images_are_named_where_they_are_not_the_tables_usual_ones() -> None:
    plain, lost = Estimate(0.5, 0.4, 0.6, 8), Estimate(0.5, 0.4, 0.6, 8, images="0-3, 6-9")
    assert plain.count_beside(plain.image_set) == lost.count_beside(lost.image_set) == ""
    assert plain.count_beside(None) == " n=8"
    assert lost.count_beside((10, "")) == " n=8 of images 0-3, 6-9"
    assert plain.count_beside(lost.image_set) == " of images from the first on"


def test_less_than_all_is_never_printed_as_all() -> None:
    shown = [Estimate(right / 2500, 0, 1, 2500).percent for right in (0, 1, 2499, 2500)]
    assert shown == ["0.0", "0.04", "99.96", "100.0"]
    assert percent(9_999 / 10_000) == "99.99 %"


def test_a_p_value_shows_on_which_side_of_the_level_it_lies() -> None:
    values = (0.04996, 0.049999, 0.05, 0.05000001, 0.0005, 0.00009)
    assert [probability(value) for value in values] == [
        "0.04996",
        "0.049999",
        "0.0500",
        "0.05000001",
        "0.0005",
        "< 0.0001",
    ]
