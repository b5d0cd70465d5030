"""Names from outside in sentences, and errors of one line."""

from __future__ import annotations

import pytest

from robustbench_sdnet.errors import SdnetBenchError, unknown
from robustbench_sdnet.wording import brief, natural, one_line, shown, visible


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain $x$ \u03bb", "plain $x$ \u03bb"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\r\nb\u2028c", "a\\r\\nb\\u2028c"),
        ("\udce9\u202egnp", "\\udce9\\u202egnp"),
    ],
)
def test_what_steers_a_terminal_is_written_out(text, expected):
    assert visible(text) == expected
    expected.encode()


def test_numbers_in_names_stand_by_their_value():
    names = ["pgd(steps=10)", "pgd", "pgd(steps=2)", "noise@0.5", "noise@0.25", "noise", "run 10", "run 9b"]
    assert sorted(names, key=natural) == [
        "noise", "noise@0.25", "noise@0.5", "pgd", "pgd(steps=2)", "pgd(steps=10)", "run 9b", "run 10",
    ]  # fmt: skip


def test_what_is_kept_stays():
    assert visible("a\nb\x1b", keep="\n") == "a\nb\\x1b"


def test_numbers_that_differ_read_differently():
    assert [brief(value) for value in (0.1, 0.1 + 0.2, 1.0, None)] == ["0.1", "0.3", "1", ""]
    assert brief(0.1234567) != brief(0.1234568), "two lambdas are two lines of a table"


def test_long_names_are_cut():
    assert shown("x" * 5000) == "x" * 200 + "..."
    assert one_line(f"Unknown '{'x' * 5000}'. Known: pgd.").endswith("... Known: pgd.")
    assert len(one_line("word " * 5000)) < 4100


def test_an_error_is_one_line_whatever_it_quotes():
    error = SdnetBenchError("No model 'a\x1b[2J\nb'.\nWrite another.")
    assert str(error) == "No model 'a\\x1b[2J b'. Write another."
    assert len(str(unknown("model", "\x07" * 5000, ["pgd"]))) < 1000
