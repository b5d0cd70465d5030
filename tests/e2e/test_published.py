"""`corrupt` on a folder in the published layout gives the answers of the generator that wrote it."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys

import numpy as np
import pytest

COMMAND = [sys.executable, "-m", "robustbench_sdnet"]


def _run(arguments, folder, code=0):
    done = subprocess.run([*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=280)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Ten-class data, a model trained on it, and published corruptions of its test images."""
    from robustbench_sdnet.corruptions import corrupt

    place = tmp_path_factory.mktemp("published")
    generator = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 100), ("test", 50)):
        arrays[f"x_{split}"] = generator.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8)
        arrays[f"y_{split}"] = np.arange(n) % 10
    np.savez(place / "ten.npz", **arrays)
    _run(shlex.split("train npz:ten.npz resnet20 --recipe smoke --set model.width=4 --output runs/r"), place)
    files = place / "CIFAR-10-C"
    files.mkdir()
    for name in ("gaussian_noise", "contrast"):
        batches = [corrupt(arrays["x_test"], name, severity=severity) for severity in range(1, 6)]
        np.save(files / f"{name}.npy", np.concatenate(batches))
    np.save(files / "labels.npy", np.tile(arrays["y_test"], 5))
    return place


@pytest.mark.slow
def test_published_and_generated_answers_agree_and_are_told_apart(folder):
    model = ["--model", "runs/r", "--severity", "1,5", "--json"]
    published = json.loads(_run(["corrupt", "--data", "cifar10c:CIFAR-10-C", *model], folder))
    names = ["--corruption", "gaussian_noise,contrast"]
    generated = json.loads(_run(["corrupt", "--data", "npz:ten.npz", *names, *model], folder))
    keys = ("perturbation", "severity", "n", "accuracy")
    wanted = [tuple(row[key] for key in keys) for row in generated if row["kind"] == "corruption"]
    assert [tuple(row[key] for key in keys) for row in published] == wanted, (
        "and no clean row: no clean images"
    )
    assert {row["source"] for row in published} == {"published"}
    assert {row["source"] for row in generated} == {"generated"}
    assert len(wanted) == 4


def test_what_the_folder_lacks_is_said(folder):
    message = _run(
        ["corrupt", "--data", "cifar10c:CIFAR-10-C", "--model", "runs/r", "--corruption", "fog"],
        folder,
        code=2,
    )
    assert message == "Error: cifar10c:CIFAR-10-C holds contrast, gaussian_noise, not fog.\n"


def test_in_python_a_group_means_what_the_folder_holds(folder, monkeypatch):
    import robustbench_sdnet as rs

    monkeypatch.chdir(folder)
    asked = {"data": "cifar10c:CIFAR-10-C", "severities": [2], "store": "sqlite:///group.db"}
    with pytest.warns(UserWarning, match=r"r was trained on npz:ten\.npz, not on cifar10"):
        table = rs.evaluate(["runs/r"], corruptions="noise", **asked)
    assert set(table[["perturbation", "source"]].itertuples(index=False, name=None)) == {
        ("gaussian_noise", "published")
    }
    with pytest.raises(rs.errors.InputError, match="not fog"):
        rs.evaluate(["runs/r"], corruptions=["contrast", "fog"], **asked)
    with pytest.raises(rs.errors.InputError, match="An attack perturbs clean images, got 'cifar10c:CIFAR"):
        rs.evaluate(["runs/r"], attacks=["pgd"], **asked)
    with pytest.raises(
        rs.errors.InputError, match=r"A diagnosis perturbs clean images.* Write --data cifar10;"
    ):
        rs.diagnose("runs/r", "cifar10c:CIFAR-10-C")


@pytest.mark.slow
def test_a_folder_that_was_generated_here_says_so(folder):
    made = ["data", "generate", "cifar10c", "--data", "npz:ten.npz", "--output", "made", "--seed", "3"]
    _run([*made, "--corruption", "gaussian_noise,contrast", "--limit", "50", "--workers", "1"], folder)
    model = ["--model", "runs/r", "--severity", "1", "--json"]
    found = json.loads(_run(["corrupt", "--data", "cifar10c:made", *model], folder))
    rows = [row for row in found if row["kind"] == "corruption"]
    assert {row["source"] for row in rows} == {"generated"}
    # A corruption without draws has no seed to name.
    assert [row["perturbation"] for row in rows] == ["contrast", "gaussian_noise(seed=3)"]
    asked = ["--corruption", "gaussian_noise", "--seed", "3"]
    drawn = json.loads(_run(["corrupt", "--data", "npz:ten.npz", *asked, *model], folder))
    assert drawn[-1]["accuracy"] == rows[-1]["accuracy"]
    (folder / "made" / ".generation.jsonl").unlink()
    found = json.loads(_run(["corrupt", "--data", "cifar10c:made", *model], folder))
    assert {row["source"] for row in found if row["kind"] == "corruption"} == {"published"}


@pytest.mark.slow
def test_a_model_of_other_data_is_asked_with_a_warning(folder):
    asked = ["--model", "runs/r", "--corruption", "fog", "--severity", "1", "--limit", "5"]
    other = subprocess.run(
        [*COMMAND, "corrupt", "--data", "digits", *asked], cwd=folder, capture_output=True, text=True
    )
    assert other.returncode == 0
    assert other.stderr.count("Warning") == 1
    assert "Warning: r was trained on npz:ten.npz, not on digits." in other.stderr
    own = subprocess.run(
        [*COMMAND, "corrupt", "--data", "npz:ten.npz", *asked], cwd=folder, capture_output=True, text=True
    )
    assert own.returncode == 0
    assert "Warning" not in own.stderr
