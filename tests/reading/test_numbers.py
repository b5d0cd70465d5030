"""Numbers from outside."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest

from robustbench_sdnet.errors import InputError
from robustbench_sdnet.reading.numbers import decimal, fraction, number, seed_of, whole


def test_numbers_are_read_exactly():
    assert decimal(" 0.10 ", "x") == Decimal("0.1")
    assert fraction("8/255", "x") == Fraction(8, 255)
    assert fraction("0.5/2", "x") == Fraction(1, 4)
    assert fraction("1e-3", "x") == Fraction(1, 1000)
    assert whole("12", "x") == whole(12.0, "x") == whole(12, "x") == 12
    assert number("2.5", "x") == number(2.5, "x") == 2.5


@pytest.mark.parametrize(
    "text",
    [
        "1e999999999",
        "1e-999999999",
        "-1e999999999",
        "9" * 5000,
        "1" + "0" * 400,
        "nan",
        "inf",
        "",
        "x",
        "1e400",
        "\x00",
    ],
)
def test_what_is_too_large_to_write_out_is_refused_at_once(text):
    for read in (decimal, fraction):
        with pytest.raises(InputError, match=r"^lambda must be a number, got '"):
            read(text, "lambda must be a number")


@pytest.mark.parametrize(
    "text", ["1/0", "1/", "/2", "1/2/3", "1/1e999999999", "1e999999999/1e999999999", "0/0", "8/256x"]
)
def test_fractions_need_two_numbers(text):
    with pytest.raises(InputError, match=f"^eps, got '{text}'"):
        fraction(text, "eps")


@pytest.mark.parametrize(
    "value", ["1.5", "1e3", 10**30, "1" + "0" * 30, 10**400, True, None, [1], math.inf, math.nan, 0]
)
def test_whole_numbers_have_bounds(value):
    with pytest.raises(InputError, match=r"^n must be whole( from 1 to 1,000)?, got '"):
        whole(value, "n must be whole", 1, 1000)


@pytest.mark.parametrize("value", [10**400, math.inf, "nan", True, None, {}, "1e400", 1.5])
def test_numbers_are_finite_and_inside_their_bounds(value):
    with pytest.raises(InputError, match=r"^a share, got '"):
        number(value, "a share", 0, 1)


def test_both_ends_are_inside():
    assert [whole(value, "x", 1, 5) for value in (1, "5")] == [1, 5]
    assert [number(value, "x", 0, 1) for value in (0, 1, Fraction(1, 2))] == [0, 1, 0.5]
    assert decimal("1e60", "x") == 10**60
    assert [seed_of(value) for value in (0, 2**63 - 1)] == [0, 2**63 - 1]
    assert seed_of(-1, -1) == -1
    for value in (-1, 2**63):
        with pytest.raises(InputError, match="seed must be a whole number from 0 to"):
            seed_of(value)


def test_whole_numbers_are_read_as_people_write_them():
    assert [whole(text, "x") for text in (" -3 ", "1_000", "+7", np.int64(4))] == [-3, 1000, 7, 4]
