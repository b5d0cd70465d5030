"""The examples of docs/one-dimension.md run as they stand, and what they print is what they claim."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import robustbench_sdnet as rs

DOC = Path(__file__).parents[2] / "docs" / "one-dimension.md"
SIGNAL, TOKENS = re.findall(r"```python\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)


def test_the_signal_example_sweeps_lambda_with_intervals(capsys: pytest.CaptureFixture[str]) -> None:
    held: dict[str, object] = {"__name__": "example"}
    exec(SIGNAL, held)  # noqa: S102  the project's own text
    printed = capsys.readouterr().out
    rows = [[float(number) for number in re.findall(r"[\d.]+", line)] for line in printed.splitlines()[:4]]
    assert [row[0] for row in rows] == [0, 0.1, 0.4, 0.8]
    for _, accuracy, low, high in rows:
        assert low <= accuracy <= high
        assert 0.09 < high - low < 0.13 or accuracy > 0.85  # Wilson at n = 300
    assert rows[1][1] > 0.6  # better than chance on noise that training did not see
    x, y = held["signals"](200, 0.1, 7)  # type: ignore[operator]
    assert float((held["model"](x).argmax(1) == y).float().mean()) > 0.95  # type: ignore[operator]


def test_the_token_example_learns_and_grows_sparser_with_lambda(capsys: pytest.CaptureFixture[str]) -> None:
    exec(TOKENS, {"__name__": "example"})  # noqa: S102  the project's own text
    found = re.findall(
        r"lambda ([\d.]+): ([\d.]+) right, (\d+) % of the code active", capsys.readouterr().out
    )
    assert [row[0] for row in found] == ["0", "0.05", "0.3"]
    assert float(found[1][1]) > 0.85
    assert int(found[0][2]) >= int(found[1][2]) > int(found[2][2])


@pytest.mark.parametrize(("stride", "length"), [(1, 64), (2, 32), (4, 16)])
def test_signals_have_codes_of_their_length_over_the_stride(stride: int, length: int) -> None:
    layer = rs.csc1d(2, 5, length=64, kernel=7, stride=stride).eval()
    assert layer(torch.rand(3, 2, 64)).shape == (3, 5, length)
    assert layer(torch.rand(3, 2, 100)).shape == (3, 5, 100 // stride)


def test_vectors_and_tokens_have_codes_with_an_entry_an_atom() -> None:
    layer = rs.csc_linear(6, 9, coding=rs.Coding(lam=0.0)).eval()
    vectors, tokens = torch.rand(4, 6), torch.rand(4, 5, 6)
    assert layer(vectors).shape == (4, 9)
    assert layer(tokens).shape == (4, 5, 9)
    torch.testing.assert_close(layer(tokens)[:, 2], layer(tokens[:, 2]))
    assert rs.csc2d(3, 4, size=(8, 8)).eval()(torch.rand(1, 3, 8, 8)).shape == (1, 4, 8, 8)
