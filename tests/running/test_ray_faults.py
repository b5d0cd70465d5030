"""Faults under Ray: nodes that go and come, poison, a full object store, a database that goes away."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing

import numpy as np
import pytest
from torch import nn

import robustbench_sdnet as rs
from robustbench_sdnet.cli import main
from robustbench_sdnet.planning import plan
from robustbench_sdnet.planning.questions import corruption_specs
from robustbench_sdnet.reports import report
from robustbench_sdnet.running.engines.local import Local
from robustbench_sdnet.running.runner import ModelsFailed, run
from robustbench_sdnet.specs import ModelSpec
from robustbench_sdnet.store.repair import check
from robustbench_sdnet.store.store import Store

from ..tiny_setting import SDNET
from .clusters import LAMBDAS, NODE, cells_of, connected, ray_engine, reports

ray = pytest.importorskip("ray")
pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def cluster():
    """A head of one core and a node of another."""
    with connected(nodes=2) as made:
        yield made


class Poison(nn.Module):
    """Ends every process that calls it, but the one that made it."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.home = inner, os.getpid()

    def forward(self, images):
        if os.getpid() != self.home:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.inner(images)


def test_a_poison_shard_is_named_and_the_rest_goes_on(tmp_path, cluster, make_worker, data, networks):
    poison = ModelSpec(name="poison", source="p", arch="resnet20", weights="c" * 64)
    cells = plan.corruption_cells([SDNET, poison], data, corruption_specs("contrast", [5]), LAMBDAS)
    worker = make_worker()
    worker.load = lambda spec: networks["sdnet"] if spec == SDNET else Poison(networks["resnet"])
    with Store(f"sqlite:///{tmp_path}/s.db") as store, closing(ray_engine(2)) as engine:
        with pytest.raises(
            ModelsFailed, match=r"poison under (clean|contrast 5), images 0 to .*: 3 workers ended"
        ) as failed:
            run(cells, store=store, worker=worker, count=100, engine=engine)
        answered = store.ranges()
        assert {cell.id for cell in cells if cell.model == SDNET} == set(answered)
        assert set(failed.value.progress.failed) == {
            f"poison under {what}, images 0 to 100" for what in ("clean", "contrast 5")
        }


OWN = """
import os, signal
import torch
from torch import nn
import robustbench_sdnet as rs

class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 3, bias=False)
        self.linear.weight.data = torch.eye(3)

    def forward(self, images):
        return self.linear(images.mean((2, 3)))

class Poison(Linear):
    def forward(self, images):
        if os.getpid() != DRIVER and len(images) > 25 and images[:25].std() > 0.16:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().forward(images)

class Sparse(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = rs.build_model("sdnet20", width=4, num_classes=3, input_size=8)

    def forward(self, images):
        return self.net(images)

class Deadly(Sparse):
    def forward(self, images):
        if os.getpid() != DRIVER:
            os._exit(3)
        return super().forward(images)

linear, poison, sparse, deadly = Linear, Poison, Sparse, Deadly
"""


@pytest.fixture
def own(tmp_path, tiny_npz, monkeypatch):
    """A folder with models of one's own, where the test is."""
    (tmp_path / "own.py").write_text(f"DRIVER = {os.getpid()}{OWN}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def _exit(*command):
    with pytest.raises(SystemExit) as left:
        main(command)
    return left.value.code


def test_the_command_names_the_poison_shard_alone_and_exits_with_1(cluster, own, capsys):
    asked = ["corrupt", "--corruption", "contrast,impulse_noise", "--severity", "5", "--model", "own:poison"]
    asked += ["--data", "npz:tiny.npz"]
    assert _exit(*asked, "--store", "sqlite:///local.db") == 0
    assert _exit(*asked, "--engine", "ray", "--workers", "2") == 1
    errors = capsys.readouterr().err.splitlines()
    named = "Error: own:poison under impulse_noise 5, images 0 to 30: 3 workers ended while answering it"
    assert [line for line in errors if line.startswith("Error")] == [errors[-1]]
    assert errors[-1].startswith(named)

    def answered(url):
        found = json.loads(report(url, "json", output=own / "report.json").read_bytes())
        return {row["perturbation"]: row for row in found}

    whole, left = answered("sqlite:///local.db"), answered("sqlite:///runs/results.db")
    assert left == {name: row for name, row in whole.items() if name != "impulse_noise"}
    assert len(left) == 2


BOTH = ["--model", "own:deadly", "--model", "own:sparse", "--data", "npz:tiny.npz", "--json"]


def _failed_alone(capsys, what, *command):
    """The rows of a command in which the deadly model fails, in one line, and the other does not."""
    assert _exit(*command, *BOTH, "--engine", "ray", "--workers", "2") == 1
    printed = capsys.readouterr()
    (line,) = [line for line in printed.err.splitlines() if line.startswith("Error")]
    assert line.startswith(f"Error: {what}own:deadly: 3 workers ended while answering it")
    assert line.count("3 workers ended") == 1
    # Before and after it stands what Ray, imported by the tests, says of the workers.
    rows, _ = json.JSONDecoder().raw_decode(printed.out, printed.out.index("[\n"))
    return rows


def test_a_model_that_ends_the_workers_of_its_fit_fails_alone(cluster, own, capsys):
    asked = ["corrupt", "--corruption", "contrast", "--severity", "5", "--lambda", "calibrated,label-free"]
    rows = _failed_alone(capsys, "the fit of calibrated for ", *asked)
    assert {row["model"] for row in rows} == {"own:sparse"}
    assert {row["lambda"] for row in rows} == {"calibrated", "label-free:discrepancy"}


def test_a_model_that_ends_the_workers_of_its_diagnostics_fails_alone(cluster, own, capsys):
    asked = ["attack", "fgsm", "--eps", "1/255", "--verdicts", "cheap"]
    assert (
        _exit(*asked[:4], *BOTH) == 0
    )  # answered here, so that nothing but the diagnostics are asked of workers
    capsys.readouterr()
    rows = _failed_alone(capsys, "diagnostics of fgsm on ", *asked)
    attacks = {row["model"]: row["verdict"] for row in rows if row["kind"] == "attack"}
    assert attacks == {"own:deadly": "unchecked", "own:sparse": "trusted"}


class Gate(nn.Module):
    """Writes down on which node it is called; once a file says so, it waits until three of them were seen."""

    def __init__(self, inner, folder):
        super().__init__()
        self.inner, self.nodes, self.shut = inner, folder / "nodes", folder / "shut"

    def forward(self, images):
        with self.nodes.open("a") as file:
            file.write(ray.get_runtime_context().get_node_id() + "\n")
        until = time.monotonic() + 100
        while self.shut.exists() and len(self.used()) < 3 and time.monotonic() < until:
            time.sleep(0.1)
        return self.inner(images)

    def used(self):
        return set(self.nodes.read_text().split())


@pytest.fixture
def gated(tmp_path, make_worker, networks):
    """A worker whose models are gates."""
    worker = make_worker()
    worker.load = lambda spec: Gate(networks[spec.name], tmp_path)
    return worker


def test_a_node_that_joins_later_is_used(tmp_path, cluster, make_worker, gated, data):
    cells = cells_of(data)
    local = reports(tmp_path, "local", cells, make_worker(), Local())
    joined = []

    def watch(progress):
        if progress.done_shards > 2 and not joined:
            (tmp_path / "shut").touch()
            joined.append(cluster.add_node(**NODE))

    assert reports(tmp_path, "joined", cells, gated, ray_engine(3), on_progress=watch) == local
    assert joined[0].node_id in (tmp_path / "nodes").read_text(), "it answered shards"
    cluster.remove_node(joined[0])


def test_a_node_that_is_killed_loses_no_answer(tmp_path, cluster, make_worker, gated, data):
    cells = cells_of(data)
    local = reports(tmp_path, "local", cells, make_worker(), Local())
    extra = cluster.add_node(**NODE)
    (tmp_path / "shut").touch()
    gone = []

    def watch(progress):
        if not gone and progress.done_shards:  # so the gate has opened: each of the three is at work
            gone.append(progress.shards - progress.done_shards)
            cluster.remove_node(extra, allow_graceful=False)

    assert reports(tmp_path, "killed", cells, gated, ray_engine(3), on_progress=watch) == local
    assert extra.node_id in (tmp_path / "nodes").read_text()
    assert gone[0] > 0, "the node was killed while the run went on"


def _large(folder):
    """Images that no small object store holds: 1,000 of 128 x 128, as uint8 47 MiB, as float32 188."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (1000, 128, 128, 3), dtype=np.uint8)
    labels = np.arange(1000) % 3
    np.savez(folder / "large.npz", x_train=images[:9], y_train=labels[:9], x_test=images, y_test=labels)


# The least that Ray takes, and what one shard of 500 images fills alone.
SMALL = {"RAY_DEFAULT_OBJECT_STORE_MAX_MEMORY_BYTES": "78700000", "OMP_NUM_THREADS": "1"}
LARGE = ["attack", "pgd", "--steps", "1", "--model", "own:linear", "--data", "npz:large.npz", "--json"]


def _run(folder, command, **environment):
    return subprocess.run(
        [sys.executable, "-m", "robustbench_sdnet", *command],
        cwd=folder, env=os.environ | environment, capture_output=True, text=True, timeout=250,
    )  # fmt: skip


def test_an_object_store_that_is_too_small_spills_and_changes_nothing(own):
    _large(own)
    asked = [*LARGE, "--save-adversarials"]
    alone = _run(own, [*asked, "local", "--store", "sqlite:///local.db"], OMP_NUM_THREADS="1")
    assert alone.returncode == 0, alone.stderr
    found = _run(own, [*asked, "ray", "--engine", "ray", "--workers", "2"], **SMALL)
    assert found.returncode == 0, found.stderr
    assert json.loads(found.stdout) == json.loads(alone.stdout)
    for file in (own / "local").glob("*.npz"):
        assert (own / "ray" / file.name).read_bytes() == file.read_bytes()


def test_an_object_store_and_a_disk_that_are_full_are_one_line(own):
    _large(own)
    full = {**SMALL, "RAY_local_fs_capacity_threshold": "0.000001"}  # every disk counts as full
    asked = [*LARGE, "--save-adversarials", "ray", "--engine", "ray", "--workers", "2"]
    found = _run(own, asked, **full)
    assert found.returncode == 1
    last = found.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    assert "object store" in last
    assert "ray start --object-store-memory" in last
    again = _run(own, [*LARGE, "--store", "sqlite:///local.db"], OMP_NUM_THREADS="1")
    found = _run(own, [*LARGE, "--engine", "ray", "--workers", "2"], OMP_NUM_THREADS="1")
    assert json.loads(found.stdout) == json.loads(again.stdout), (
        "the same command goes on where there is room"
    )


def _report(url, folder):
    return report(url, "json", output=folder / "report.json").read_bytes()


@pytest.mark.postgres
@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_server_that_restarts_in_the_middle_is_waited_for(cluster, own, postgres, mode):
    url = postgres.database()
    asked = {"models": ["own:linear"], "data": "npz:tiny.npz", "corruptions": "noise,blur"}
    rs.evaluate(**asked, store="sqlite:///local.db")
    stops = []

    def restart(progress):
        if progress.done_shards >= 3 and not stops:
            stops.append(progress.shards - progress.done_shards)
            postgres.stop(mode)
            threading.Timer(1, postgres.start).start()

    rs.evaluate(**asked, store=url, engine="ray", workers=2, on_progress=restart)
    assert stops
    assert stops[0] > 0, "there was more to do"
    assert _report(url, own) == _report("sqlite:///local.db", own)


@pytest.mark.postgres
def test_two_drivers_with_workers_of_their_own_on_one_store(own, postgres):
    url = postgres.database()
    asked = ["corrupt", "--corruption", "noise,blur", "--model", "own:linear", "--data", "npz:tiny.npz"]
    command = [sys.executable, "-m", "robustbench_sdnet", *asked, "--engine", "ray", "--workers", "1"]
    environment = os.environ | SMALL
    drivers = [
        subprocess.Popen([*command, "--store", url], cwd=own, env=environment, stdout=subprocess.DEVNULL)
        for _ in range(2)
    ]
    assert [driver.wait(250) for driver in drivers] == [0, 0]
    assert _exit(*asked, "--store", "sqlite:///local.db") == 0
    assert _report(url, own) == _report("sqlite:///local.db", own)
    with Store(url) as store:
        check(store)
