"""What CONTRIBUTING promises: one file and one row add a member of a family, and the commands know it.

The package is copied, a file and a row of text are added to the copy for each family, and each member is run by its
command from the copy. There is no plug-in mechanism: the row is the whole registration.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import robustbench_sdnet as rs

PACKAGE = Path(rs.__file__).parent

ATTACK = '''
"""Paint an image white, as far as its ball allows."""

from ..engine.balls import ball
from ..engine.result import AttackResult
from .noise import noise
from .wrapper import Run, attack


@attack
def white(model, images, labels, *, eps, tries=1, **run) -> AttackResult:
    """Random noise under another name."""
    return noise(model, images, labels, eps=eps, draws=tries, **run)
'''

POLICY = '''
"""Half of the training lambda."""

from .policy import Fixed


def deploy(detail, fitting):
    return Fixed(fitting.model.training_lambda / 2)
'''

FORMAT = '''
"""One line a record: its accuracy alone."""


def render(records):
    return "".join(f"{record['perturbation']} {record['accuracy']:.3f}\\n" for record in records)
'''

NORM = '''
"""Half the largest change of a channel: budgets are twice as large as in linf."""

from .linf import Linf


class Half(Linf):
    name = "half"

    def lengths(self, delta):
        return super().lengths(delta) / 2

    def project(self, points, images, eps):
        return super().project(points, images, 2 * eps)


BALL = Half()
'''

CORRUPTION = '''
"""Turn every channel round, as far as a share."""


def invert(images, draws, setting):
    return (images * (1 - setting[0]) + (255 - images.float()) * setting[0]).round().to(images.dtype)
'''


ENGINE = '''
"""Every task in a thread of its own, one after the other."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .local import Local


class Threaded(Local):
    def run(self, tasks, worker, inputs, kept):
        with ThreadPoolExecutor(1) as pool:
            for task in tasks:
                yield [(task, pool.submit(worker.answer, task, inputs(task)).result())]
                with Path("threaded.log").open("a") as log:
                    log.write(f"{task.label}\\n")
'''


class Copy:
    """A copy of the package that members are added to and commands are run from."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.package = folder, folder / "robustbench_sdnet"
        shutil.copytree(PACKAGE, self.package, ignore=shutil.ignore_patterns("__pycache__", "weights"))

    def add(self, file: str, text: str, table: str, before: str, row: str) -> None:
        """Write a file, and a row before the first place in a table's file where `before` stands."""
        (self.package / file).write_text(text.lstrip("\n"))
        path = self.package / table
        written = path.read_text()
        assert before in written, f"{table} has no {before!r}: the table moved"
        path.write_text(written.replace(before, row + before, 1))

    def run(self, *arguments: str) -> str:
        """The standard output of a command that must end well."""
        done = subprocess.run(
            [sys.executable, "-m", "robustbench_sdnet", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def ask(self, *arguments: str, store: str = "s.db") -> list[dict]:
        """The records that `corrupt` or `attack` prints."""
        asked = f"--data npz:data.npz --model model.safetensors --limit 6 --store sqlite:///{store} --json"
        return json.loads(self.run(*arguments, *shlex.split(asked)))


@pytest.fixture(scope="module")
def copy(tmp_path_factory) -> Copy:
    import torch

    folder = tmp_path_factory.mktemp("extended")
    found = Copy(folder)
    torch.manual_seed(0)
    model = rs.build_model("sdnet20", width=4, num_classes=3, input_size=8).eval()
    rs.save_model(model, folder / "model.safetensors", data="npz:data.npz", name="tiny")
    images = np.random.default_rng(0).integers(0, 256, (30, 8, 8, 3), dtype=np.uint8)
    labels = np.arange(30) % 3
    np.savez(folder / "data.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    return found


@pytest.mark.slow
def test_an_attack(copy):
    copy.add(
        "attacks/native/white.py",
        ATTACK,
        "attacks/registry.py",
        '    _row("noise", ',
        '    _row("white", "white", {"tries": 1}),\n',
    )
    records = copy.ask("attack", "white", "--eps", "8/255", "--set", "tries=2")
    (found,) = (row for row in records if row["kind"] == "attack")
    assert found["perturbation"] == "white(tries=2)"
    assert "white" in copy.run("attack", "--help")


@pytest.mark.slow
def test_a_corruption(copy):
    row = """    Corruption(
        name="invert",
        category="digital",
        apply="invert:invert",
        settings={"cifar": ((0.2,), (0.4,), (0.6,), (0.8,), (1.0,))},
        family="",
    ),
"""
    before = '    _row("contrast", '
    copy.add("corruptions/invert.py", CORRUPTION, "corruptions/members.py", before, row)
    records = copy.ask("corrupt", "--corruption", "invert,contrast", "--severity", "1,5")
    assert [row["severity"] for row in records if row["perturbation"] == "invert"] == [1, 5]
    assert "invert" in copy.run("report", "to", "csv", "--store", "sqlite:///s.db")


@pytest.mark.slow
def test_a_lambda_policy(copy):
    copy.add(
        "lambdas/half.py",
        POLICY,
        "specs/lambdas.py",
        '        "oracle": PolicyRow(',
        '        "half": PolicyRow(home="half"),\n',
    )
    records = copy.ask("corrupt", "--corruption", "contrast", "--severity", "5", "--lambda", "half,0.05")
    by_policy, by_number = (
        [row["accuracy"] for row in records if row["lambda"] == wanted] for wanted in ("half", 0.05)
    )
    assert by_policy == by_number != []


@pytest.mark.slow
def test_a_report_format(copy):
    copy.ask("corrupt", "--corruption", "contrast", "--severity", "5")
    copy.add(
        "reports/writers/plain.py",
        FORMAT,
        "reports/formats.py",
        '        "csv": Format(',
        '        "plain": Format(".txt", _data(_lazy("writers.plain:render")), is_data=True),\n',
    )
    assert "contrast 0." in copy.run("report", "to", "plain", "--store", "sqlite:///s.db")


@pytest.mark.slow
def test_a_norm(copy):
    copy.add(
        "attacks/engine/norms/half.py",
        NORM,
        "specs/budgets.py",
        '        "l2": Norm(',
        '        "half": Norm(eps="4/255", curve=("1/255", "4/255"), largest=1),\n',
    )
    half = copy.ask("attack", "pgd", "--norm", "half", "--eps", "12/255")
    whole = copy.ask("attack", "pgd", "--norm", "linf", "--eps", "24/255")
    found, twin = (
        [(row["kind"], row["accuracy"]) for row in rows if row["kind"] != "clean"] for rows in (half, whole)
    )
    assert found == twin
    assert {row["norm"] for row in half if row["kind"] == "attack"} == {"half"}


@pytest.mark.slow
def test_an_engine(copy):
    copy.add(
        "running/engines/threaded.py",
        ENGINE,
        "running/engines/__init__.py",
        '"ray": "ray.engine:RayEngine"',
        '"threaded": "threaded:Threaded", ',
    )
    asked = shlex.split("attack pgd --eps 16/255 --steps 3 --lambda 0.1,0.3 --attack-lambda 0.1")
    threaded = copy.ask(*asked, "--engine", "threaded", store="threaded.db")
    assert len((copy.folder / "threaded.log").read_text().splitlines()) > len({"clean", "noise", "pgd"})
    assert threaded == copy.ask(*asked, store="local.db")
    assert "transfer" in {row["kind"] for row in threaded}, "a task went on from the images of its parent"
