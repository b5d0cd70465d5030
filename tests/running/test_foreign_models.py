"""Models of a user that raise, print, exit or compute in half precision: named, and the others go on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch

from robustbench_sdnet.cli import main
from robustbench_sdnet.zoo import load_model

BAD = """
import sys, warnings
import torch
from torch import nn

print("printed while imported")


class Own(Exception):
    pass


class Model(nn.Module):
    def __init__(self, fail=None, calls=0):
        super().__init__()
        self.fail, self.calls = fail, calls
        self.linear = nn.Linear(3, 3, bias=False)
        self.linear.weight.data = torch.eye(3)

    def forward(self, images):
        self.calls -= 1
        if self.fail and self.calls < 0:
            self.fail()
        return self.linear(images.mean((2, 3)))


def fails(error, calls=0):
    def fail():
        raise error
    return lambda: Model(fail, calls)


key = fails(KeyError("k"))
memory = fails(MemoryError())
large = lambda: Model(lambda: torch.empty(10**15))
own = fails(Own("mine\\nsecond line"))
eof = fails(EOFError("no more"))
pipe = fails(BrokenPipeError(32, "Broken pipe"))
disk = fails(OSError(28, "No space left on device"))
assertion = fails(AssertionError("never"))
missing = fails(ImportError("no such thing"))
warned = fails(UserWarning("a warning as an error"))
leaves = fails(SystemExit(0))
late = fails(KeyError("late"), calls=2)
good = Model


def loading():
    raise RuntimeError("at load")


def leaving():
    sys.exit(0)


def meta():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 3, device="meta"))


class Printing(Model):
    def forward(self, images):
        print("printed while called")
        return super().forward(images)


def printing():
    print("printed while loaded")
    return Printing()


def half():
    return Model().half()


def bfloat16():
    return Model().bfloat16()
"""
SAID = {
    "key": "bad:key raised KeyError on images (50, 3, 8, 8): 'k'",
    "memory": "bad:memory does not fit the device's memory. Take a smaller --batch-size.",
    "large": "bad:large does not fit the device's memory. Take a smaller --batch-size.",
    "own": "bad:own raised Own on images (50, 3, 8, 8): mine second line",
    "eof": "bad:eof raised EOFError on images (50, 3, 8, 8): no more",
    "pipe": "bad:pipe raised BrokenPipeError on images (50, 3, 8, 8): [Errno 32] Broken pipe",
    "disk": "bad:disk raised OSError on images (50, 3, 8, 8): [Errno 28] No space left on device",
    "assertion": "bad:assertion raised AssertionError on images (50, 3, 8, 8): never",
    "missing": "bad:missing raised ImportError on images (50, 3, 8, 8): no such thing",
    "warned": "bad:warned raised UserWarning on images (50, 3, 8, 8): a warning as an error",
    "leaves": "bad:leaves called sys.exit on images (50, 3, 8, 8): 0",
    "late": "bad:late raised KeyError on images (50, 3, 8, 8): 'late'",
    "loading": "Model 'bad:loading' raised RuntimeError while it was being loaded: at load",
    "leaving": "Model 'bad:leaving' called sys.exit while it was being loaded: 0",
    "meta": "Model 'bad:meta' has weights without values, as on the meta device",
}


@pytest.fixture
def folder(tmp_path, tiny_npz, monkeypatch):
    (tmp_path / "bad.py").write_text(BAD)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in ("bad", "moods"):
        sys.modules.pop(name, None)


class Said(NamedTuple):
    """What a command says."""

    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def run(folder, capfd) -> Callable[..., Said]:
    """Run a command on the first images of the tiny data set."""

    def run(*arguments: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--data", "npz:tiny.npz", "--limit", "20"])
        return Said(ended.value.code, *capfd.readouterr())

    return run


def test_whatever_models_raise_is_named_and_the_others_go_on(run):
    models = [part for name in ("good", *SAID) for part in ("--model", f"bad:{name}")]
    done = run("corrupt", "--corruption", "contrast", "--severity", "3", "--json", *models)
    assert done.returncode == 1, done.stderr
    rows = json.loads(done.stdout)
    assert {(row["model"], row["kind"]) for row in rows} == {
        ("bad:good", "clean"),
        ("bad:good", "corruption"),
    }
    assert [row["accuracy"] for row in rows if row["kind"] == "clean"] == [1.0], (
        "brightest channel, by design"
    )
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    for said in SAID.values():
        assert said in line
    assert "This is a bug" not in done.stderr


def test_an_attack_goes_on_with_the_other_models(run):
    done = run("attack", "fgsm", "--model", "bad:own", "--model", "bad:good", "--eps", "1/255")
    assert done.returncode == 1
    assert SAID["own"] in done.stderr
    assert "bad:good" in done.stdout
    assert "bad:own" not in done.stdout


def test_what_a_model_prints_leaves_json_alone(run):
    done = run("corrupt", "--severity", "3", "--corruption", "contrast", "--json", "--model", "bad:printing")
    assert done.returncode == 0, done.stderr
    assert {row["accuracy"] for row in json.loads(done.stdout) if row["kind"] == "clean"} == {1.0}
    for when in ("imported", "loaded", "called"):
        assert f"printed while {when}" in done.stderr


MOODY = """
import torch
import robustbench_sdnet as rs


def _refuse(module, inputs):
    if len(inputs[0]) > 8:  # more than a fingerprint takes
        raise KeyError("moody")


def moody():
    model = sound()
    model.normalise.register_forward_pre_hook(_refuse)
    return model


def sound():
    torch.manual_seed(0)
    return rs.build_model("sdnet20", width=4, num_classes=3, input_size=8).eval()
"""


@pytest.mark.parametrize("policy", ["calibrated", "label-free:noise"])
@pytest.mark.slow
def test_a_model_that_raises_in_the_fit_of_a_policy_loses_its_own_cells_alone(folder, run, policy):
    (folder / "moods.py").write_text(MOODY)
    asked = ["corrupt", "--severity", "3", "--corruption", "contrast", "--json", "--lambda", f"0.2,{policy}"]
    done = run(*asked, "--model", "moods:moody", "--model", "moods:sound")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert line == f"Error: moods:moody raised KeyError while {policy} was being fitted: 'moody'"
    answered = {(row["model"], row["lambda"], row["perturbation"]) for row in json.loads(done.stdout)}
    assert answered == {("moods:sound", lam, name) for lam in (0.2, policy) for name in ("clean", "contrast")}
    alone = run(*asked, "--model", "moods:moody")
    assert (alone.returncode, alone.stdout) == (1, "")
    assert "moods:moody raised KeyError" in alone.stderr


ODD = """
class Odd(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.late, self.net = rs.csc2d(3, 4, size=(8, 8), kernel=3), sound()

    def forward(self, images):
        logits = self.net(images)
        self.late(images)
        return logits
"""


HUNGRY = """
class Hungry(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.net = sound()

    def forward(self, images):
        if len(images) > 20:
            raise MemoryError
        return self.net(images)
"""


@pytest.mark.parametrize("policy", ["calibrated", "label-free:noise"])
@pytest.mark.slow
def test_a_smaller_batch_size_holds_in_the_fit_of_a_policy_too(folder, run, policy):
    (folder / "moods.py").write_text(MOODY + HUNGRY)
    asked = ["corrupt", "--severity", "3", "--corruption", "contrast", "--lambda", policy]
    done = run(*asked, "--model", "moods:Hungry")
    assert done.returncode == 1
    assert "moods:Hungry does not fit the device's memory. Take a smaller --batch-size." in done.stderr
    done = run(*asked, "--model", "moods:Hungry", "--batch-size", "20")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("lam", ["0.2", "calibrated", "label-free:noise"])
@pytest.mark.slow
def test_a_model_that_a_policy_cannot_be_fitted_for_is_named_and_fails_alone(folder, run, lam):
    (folder / "moods.py").write_text(MOODY + ODD)
    asked = ["corrupt", "--severity", "3", "--corruption", "contrast", "--json", "--lambda", lam]
    done = run(*asked, "--model", "moods:Odd", "--model", "moods:sound")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert line.startswith("Error: moods:Odd: This model calls another of its sparse coding layers before")
    assert {row["model"] for row in json.loads(done.stdout)} == {"moods:sound"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["half", "bfloat16"])
def test_half_precision_models_compute_in_their_own_precision_and_say_so(run, name):
    done = run("attack", "pgd", "--set", "steps=3", "--json", "--model", f"bad:{name}")
    assert done.returncode == 0, done.stderr
    own = {"half": "float16"}.get(name, name)
    assert f"bad:{name} computes in its own precision, {own}." in done.stderr
    assert {row["accuracy"] for row in json.loads(done.stdout) if row["kind"] == "clean"} == {1.0}


@pytest.mark.parametrize("name", ["half", "bfloat16"])
def test_a_half_precision_model_computes_so_under_autocast_too(folder, name):
    """A search in bfloat16 would hand batch normalisation images of one half type and weights of the other."""
    model, images = load_model(f"bad:{name}"), torch.rand(2, 3, 8, 8)
    model.model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4), torch.nn.Flatten()
    ).eval()
    model.to(model.dtype)
    wanted = model(images)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(model(images), wanted)


@pytest.mark.parametrize("name", ["half", "bfloat16", "good"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_images_of_another_type_are_handed_over_in_the_models(folder, name, dtype):
    model = load_model(f"bad:{name}")
    images = torch.zeros(2, 3, 8, 8, dtype=dtype)
    images[:, 1] = 1
    logits = model(images)
    assert logits.dtype == torch.float32
    assert logits.tolist() == [[0, 1, 0], [0, 1, 0]]
