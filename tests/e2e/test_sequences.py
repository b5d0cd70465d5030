"""`corrupt --sequences`: from the command to the record, the screen and the report."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from robustbench_sdnet import corruptions
from robustbench_sdnet.answers.records import records
from robustbench_sdnet.cli import cli
from robustbench_sdnet.corruptions.sequences.members import MAIN
from robustbench_sdnet.errors import InputError
from robustbench_sdnet.evaluation import evaluate
from robustbench_sdnet.reports import report

FRAMES = {"translate": 16, "motion_blur": 21}
URL = "sqlite:///runs/results.db"
NETS = """
import torch


class Net(torch.nn.Module):
    '''Logits that grow with the image's mean (class 0), or fall: which one wins turns at a mean of 0.5 + bias.'''

    def __init__(self, bias):
        super().__init__()
        self.bias = bias

    def forward(self, images):
        mean = images.mean((1, 2, 3)) - self.bias
        return torch.stack([mean, 1 - mean, mean - 1], 1)


def net():
    return Net(0.0)


def other():
    return Net(0.1)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    generator = np.random.default_rng(0)
    images = np.clip(
        128 + generator.normal(0, 12, (12, 1, 1, 1)) + generator.normal(0, 30, (12, 32, 32, 3)), 0, 255
    ).astype(np.uint8)
    labels = np.arange(12) % 2
    np.savez(tmp_path / "grey.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    (tmp_path / "steady_net.py").write_text(NETS)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(place: Path, *more: str) -> object:
    models = ("--model", "steady_net:net", "--model", "steady_net:other")
    return CliRunner().invoke(
        cli, ["corrupt", "--data", f"npz:{place}/grey.npz", *models, "--sequences", *more]
    )


def expected(place: Path, name: str, bias: float, difficulty: int = 1) -> tuple[float, float, float]:
    """Flip probability, top-5 distance and accuracy on all frames, computed from the frames themselves."""
    with np.load(place / "grey.npz") as archive:
        images, labels = archive["x_test"], archive["y_test"]
    frames = corruptions.sequence(images, name, difficulty).astype(float) / 255
    mean = frames.mean((2, 3, 4)) - bias
    first = mean > 0.5  # the three orders: 0 1 2 above a half, else 1 0 2
    noise = "noise" in name
    before, after = (first[:, :1], first[:, 1:]) if noise else (first[:, :-difficulty], first[:, difficulty:])
    flips = (before != after).mean()
    return flips, 2 * flips, (np.where(first, 0, 1) == labels[:, None]).all(1).mean()


def test_from_the_command_to_the_report(place: Path) -> None:
    asked = run(place, "--corruption", "main", "--json")
    assert asked.exit_code == 0, asked.output
    rows = [row for row in json.loads(asked.stdout) if row["kind"] == "sequence"]
    assert len(rows) == 20
    for row in rows:
        flips, moved, right = expected(
            place, row["perturbation"], 0.1 if row["model"] == "steady_net:other" else 0.0
        )
        assert row["flip_probability"] == pytest.approx(flips, abs=1e-6)
        assert row["top5_distance"] == pytest.approx(moved, abs=1e-6)
        assert row["accuracy"] == pytest.approx(right)
        assert row["passes_forward"] == 12 * FRAMES.get(row["perturbation"], 31)
    clean = next(row for row in json.loads(asked.stdout) if row["kind"] == "clean")
    assert clean["flip_probability"] is None
    again = run(place, "--corruption", "main")
    assert "\n0 shards computed" in again.output, "answers are stored"
    assert "mean of the ten" in again.output

    mine = [row for row in rows if row["model"] == "steady_net:net"]
    base = {row["perturbation"]: row for row in rows if row["model"] == "steady_net:other"}
    text = Path(report(URL, "markdown", output=place / "r.md", baseline="steady_net:other")).read_text()
    assert "## Prediction stability" in text
    mean = 100 * sum(row["flip_probability"] for row in mine) / 10
    assert f"{mean:.1f}" in text
    ratios = [(row["flip_probability"], base[row["perturbation"]]["flip_probability"]) for row in mine]
    if all(other for _, other in ratios):
        assert f"{100 * sum(own / other for own, other in ratios) / 10:.1f}" in text
    assert "mFR" in text
    assert f"--sequences --corruption {','.join(MAIN)} --difficulty 1" in text
    page = Path(report(URL, "html", output=place / "r.html")).read_text()
    assert "Predictions that flip along a sequence" in page


@pytest.mark.filterwarnings("ignore:steady_net.net has 3 classes")  # true here, and not asked
def test_difficulty_and_python(place: Path) -> None:
    frame = evaluate(
        ["steady_net:net"],
        f"npz:{place}/grey.npz",
        sequences="brightness,gaussian_noise",
        difficulties=[1, 3],
        store=f"sqlite:///{place}/p.db",
    )
    found = frame[frame.kind == "sequence"].set_index("perturbation")
    assert set(found.index) == {
        *("brightness", "brightness(difficulty 3)", "gaussian_noise", "gaussian_noise(difficulty 3)")
    }
    for name in ("brightness", "gaussian_noise"):
        flips, _, _ = expected(place, name, 0.0, 3)
        assert found.loc[f"{name}(difficulty 3)", "flip_probability"] == pytest.approx(flips, abs=1e-6)
    assert len({row["cell"] for row in records(f"sqlite:///{place}/p.db")}) == 5


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--severity", "3"), "Sequences take no --severity. They take --difficulty 1, 2 or 3."),
        (("--table", "tiny"), "Sequences take no --table."),
        (("--corruption", "frost"), "Unknown sequence 'frost'"),
        (("--difficulty", "4"), "difficulty must lie in 1 to 3, got '4'"),
    ],
)
def test_what_does_not_go_together(place: Path, more: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        raise run(place, *more).exception


def test_other_sizes_are_refused(place: Path) -> None:
    images = np.zeros((2, 64, 64, 3), np.uint8)
    np.savez(place / "grey.npz", x_train=images, y_train=[0, 1], x_test=images, y_test=[0, 1])
    with pytest.raises(InputError, match="made for images of 32x32 pixels, got 64x64"):
        raise run(place).exception
    with pytest.raises(InputError, match="--difficulty is for sequences"):
        raise CliRunner().invoke(cli, ["corrupt", "--difficulty", "2"]).exception
