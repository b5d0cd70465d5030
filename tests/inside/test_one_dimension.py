"""The examples of docs/one-dimension.md run as they stand, and what they print is what they claim."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

import robustbench_sdnet as rs
from robustbench_sdnet.statistics import wilson

DOC = Path(__file__).parents[2] / "docs" / "one-dimension.md"
SIGNAL, TOKENS = re.findall(r"```python\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
SIGNAL_SAYS, TOKENS_SAY = re.findall(r"```text\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)


def numbers(text: str) -> list[list[float]]:
    return [[float(number) for number in re.findall(r"\d+(?:\.\d+)?", line)] for line in text.splitlines()]


def test_the_signal_example_sweeps_lambda_with_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    held: dict[str, Any] = {"__name__": "example"}
    exec(SIGNAL, held)
    *rows, last = numbers(capsys.readouterr().out)
    *shown, _ = numbers(SIGNAL_SAYS)
    assert [row[0] for row in rows] == [row[0] for row in shown] == [0, 0.1, 0.2, 0.4, 0.8, 1.6]
    for (_, accuracy, *ends), (_, documented, *_) in zip(rows, shown, strict=True):
        assert accuracy == pytest.approx(documented, abs=0.03)  # other machines round otherwise
        assert ends == pytest.approx(wilson(round(accuracy * 600), 600), abs=6e-4)
    assert rows[-1][1] < rows[0][1]  # lambda is in force
    assert last[1] == 0.1
    assert last[2] > 0.05  # what the text below says
    x, y = held["signals"](200, 0.1, 7)
    assert float((held["model"](x).argmax(1) == y).float().mean()) > 0.95


def test_the_token_example_learns_and_grows_sparser_with_lambda(capsys: pytest.CaptureFixture[str]) -> None:
    exec(TOKENS, {"__name__": "example"})
    rows, shown = numbers(capsys.readouterr().out), numbers(TOKENS_SAY)
    for (lam, accuracy, active), (documented, right, share) in zip(rows, shown, strict=True):
        assert lam == documented
        assert accuracy == pytest.approx(right, abs=0.03)
        assert active == pytest.approx(share, abs=6)
    assert rows[0][2] >= rows[1][2] > rows[2][2]


@pytest.mark.parametrize(("stride", "length"), [(1, 64), (2, 32), (4, 16), (3, 22)])
def test_signals_have_codes_of_their_length_over_the_stride(stride: int, length: int) -> None:
    layer = rs.csc1d(2, 5, length=64, kernel=7, stride=stride).eval()
    assert layer(torch.rand(3, 2, 64)).shape == (3, 5, length)
    assert layer(torch.rand(3, 2, 100)).shape == (3, 5, -(-100 // stride))


def test_vectors_and_tokens_have_codes_with_an_entry_an_atom() -> None:
    layer = rs.csc_linear(6, 9, coding=rs.Coding(lam=0.0)).eval()
    vectors, tokens = torch.rand(4, 6), torch.rand(4, 5, 6)
    assert layer(vectors).shape == (4, 9)
    assert layer(tokens).shape == (4, 5, 9)
    torch.testing.assert_close(layer(tokens)[:, 2], layer(tokens[:, 2]))
    assert rs.csc2d(3, 4, size=(8, 8)).eval()(torch.rand(1, 3, 8, 8)).shape == (1, 4, 8, 8)
