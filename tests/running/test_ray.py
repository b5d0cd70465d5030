"""The ray engine: the same bytes as one process, whoever answers, and whoever is lost on the way."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import warnings
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import robustbench_sdnet as rs
from robustbench_sdnet.answers.records import records
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.cli import main
from robustbench_sdnet.diagnostics.of_cells import diagnose_cells
from robustbench_sdnet.errors import EngineError, InputError
from robustbench_sdnet.planning.setting import Setting
from robustbench_sdnet.running.engines.local import Local
from robustbench_sdnet.running.policies import fitted
from robustbench_sdnet.running.ready import prepare
from robustbench_sdnet.running.runner import ModelsFailed, run
from robustbench_sdnet.running.worker import Worker
from robustbench_sdnet.specs import LambdaSpec
from robustbench_sdnet.store.store import Store
from robustbench_sdnet.zoo import build_model, save_model

from ..store.made import shards
from ..tiny_setting import RESNET, SDNET
from .clusters import cells_of, connected, ray_engine, reports
from .test_randomised import MODELS

pytest.importorskip("ray")
import ray
from ray import exceptions as errors

from robustbench_sdnet.running.engines.ray.actor import sources_of, versions
from robustbench_sdnet.running.engines.ray.cluster import Size, connect, gpus_left, size_of

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def cluster():
    """A head of one core and a node of another."""
    with connected(nodes=2) as made:
        yield made


def test_reports_are_those_of_one_process_at_any_number_of_workers(tmp_path, cluster, make_worker, data):
    cells = cells_of(data)
    local = reports(tmp_path, "local", cells, make_worker(), Local())
    for workers in (1, 2):
        assert reports(tmp_path, f"ray{workers}", cells, make_worker(), ray_engine(workers)) == local


@pytest.mark.slow
def test_randomised_models_answer_with_the_same_draws(tmp_path, cluster, tiny_npz, monkeypatch):
    (tmp_path / "drawn.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    small = {"eps": "1/255", "steps": 3}
    attacks = [{"name": name, "eot": 2, **small} for name in ("pgd", "square")] + [
        {"name": "lean", "eps": "1/255"}
    ]
    asked = {"corruptions": "contrast", "severities": [1, 5], "attacks": attacks, "device": "cpu", "draws": 5}
    answers = {}
    for name, engine in (("local", {}), ("ray", {"engine": "ray", "workers": 2, "threads_per_worker": 1})):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "drawn:.* is randomised")  # which is what is asked
            rs.evaluate(
                ["drawn:flips", "drawn:steady"],
                f"npz:{tiny_npz}",
                store=f"sqlite:///{name}.db",
                **asked,
                **engine,
            )
        with Store(f"sqlite:///{name}.db") as store:
            answers[name] = {
                cell_id: [
                    (shard.start, shard.stop, shard.outcome.encode()) for shard in shards(store, cell_id)
                ]
                for cell_id in store.cells()
            }
    assert answers["ray"] == answers["local"]
    assert len(answers["local"]) > 10


class _Once(nn.Module):
    """A model that ends its own process the first time that it is called, by whatever process."""

    def __init__(self, inner, marker, often=1):
        super().__init__()
        self.inner, self.marker, self.often = inner, str(marker), often

    def forward(self, images):
        with open(self.marker, "ab") as file:
            file.write(b"x")
            file.flush()
            if file.tell() <= self.often:
                os.kill(os.getpid(), signal.SIGKILL)
        return self.inner(images)


@pytest.mark.slow
def test_a_killed_worker_loses_no_answer(tmp_path, cluster, make_worker, data, networks):
    cells = cells_of(data)
    local = reports(tmp_path, "local", cells, make_worker(), Local())
    worker = make_worker()
    worker.load = lambda spec: (
        _Once(networks["resnet"], tmp_path / "calls") if spec == RESNET else networks["sdnet"]
    )
    assert reports(tmp_path, "killed", cells, worker, ray_engine(2)) == local
    assert (tmp_path / "calls").stat().st_size > 1, "it was called again"


@pytest.mark.slow
def test_a_model_that_fails_on_its_workers_is_named_and_the_others_are_stored(
    tmp_path, cluster, make_worker, data, networks
):
    class Broken(nn.Module):
        def forward(self, images):
            return torch.full((len(images), 3), torch.nan)

    cells = cells_of(data)
    worker = make_worker()
    worker.load = lambda spec: Broken() if spec == RESNET else networks["sdnet"]
    with Store(f"sqlite:///{tmp_path}/s.db") as store, closing(ray_engine(2)) as engine:
        with pytest.raises(ModelsFailed, match="resnet returned NaN"):
            run(cells, store=store, worker=worker, count=130, engine=engine)
        assert set(store.ranges()) == {cell.id for cell in cells if cell.model == SDNET}


@pytest.mark.slow
def test_workers_record_their_threads_and_costs_add_up(tmp_path, cluster, make_worker, data):
    cells = cells_of(data)
    costs, columns = {}, {}
    for name, engine in (("local", Local()), ("ray", ray_engine(2))):
        url = f"sqlite:///{tmp_path}/{name}.db"
        with Store(url) as store, closing(engine):
            run(cells, store=store, worker=make_worker(), count=130, engine=engine)
            spent = {cell.id: [shard.cost for shard in shards(store, cell.id)] for cell in cells}
        rows = {row["cell"]: row for row in records(Snapshot.read(url), with_cost=True)}
        for cell_id, parts in spent.items():
            assert rows[cell_id]["seconds"] == pytest.approx(sum(cost["seconds"] for cost in parts), abs=1e-3)
        costs[name] = {
            cell_id: [(cost["threads"], cost["forwards"], cost["backwards"]) for cost in parts]
            for cell_id, parts in spent.items()
        }
        passes = ("passes_forward", "passes_backward")
        columns[name] = {cell_id: [row[key] for key in passes] for cell_id, row in rows.items()}
    assert costs["ray"] == costs["local"]
    assert columns["ray"] == columns["local"]
    assert {threads for shards in costs["ray"].values() for threads, _, _ in shards} == {1}


@pytest.mark.slow
def test_diagnostics_of_attacks_are_those_of_one_process(tmp_path, cluster, make_worker, data):
    attacks = [cell for cell in cells_of(data) if cell.kind == "attack"][-3:]
    found, told_of = {}, {}
    with Store(f"sqlite:///{tmp_path}/s.db") as store:
        run(cells_of(data), store=store, worker=make_worker(), count=130)
        for name, engine in (("local", Local()), ("ray", ray_engine(2))):
            told_of[name] = []
            with closing(engine):
                found[name], _ = diagnose_cells(
                    attacks,
                    store=store,
                    worker=make_worker(),
                    engine=engine,
                    on_check=lambda *told, name=name: told_of[name].append(told),
                )
            assert store.verdicts().keys() == {cell.id for cell in attacks}
    assert found["ray"] == found["local"]
    assert list(found["ray"]) == list(found["local"]) == [cell.id for cell in attacks]
    words = [cell.words for cell in attacks]
    assert told_of["local"] == [(0, 3, words[0]), *((done, 3, words[done - 1]) for done in (1, 2, 3))]
    assert [told[:2] for told in told_of["ray"]] == [(done, 3) for done in (0, 1, 2, 3)]
    assert {finding.verdict for verdicts in found["ray"].values() for finding in verdicts} > {"pass"}


@pytest.mark.slow
def test_the_command_diagnose_prints_the_same_bytes(tmp_path, cluster, tiny_npz, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("sdnet20", "resnet20"):
        torch.manual_seed(0)
        model = build_model(name, width=4, num_classes=3, input_size=8)
        save_model(model.eval(), f"runs/{name}/last.safetensors", data=f"npz:{tiny_npz}")
    asked = ["diagnose", "runs/sdnet20", "--transfer-from", "runs/resnet20", "--lambda", "0.3", "--json"]
    printed = []
    for more in ([], ["--engine", "ray", "--workers", "1", "--threads-per-worker", "1"]):
        with pytest.raises(SystemExit) as left:
            main([*asked, *more])
        assert left.value.code == 0
        printed.append(capsys.readouterr().out)
    assert printed[0] == printed[1]
    (transfer,) = [item for item in json.loads(printed[1]) if item["check"] == "transfer_wins"]
    assert "runs/resnet20" in transfer["sentence"]


@pytest.mark.slow
def test_policies_are_fitted_on_the_workers_to_the_same_bytes(tmp_path, cluster, tiny_npz, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    model = build_model("sdnet20", width=4, num_classes=3, input_size=8)
    save_model(model.eval(), "runs/sdnet20/last.safetensors", data=f"npz:{tiny_npz}")
    kept, told = {}, {}
    for name, more in (("local", {}), ("ray", {"engine": "ray", "workers": 2, "threads_per_worker": 1})):
        ready = prepare(Setting(models=("runs/sdnet20",), store=f"sqlite:///{name}.db", device="cpu", **more))
        told[name] = []
        with closing(ready.engine):
            lambdas = fitted(ready, [LambdaSpec("calibrated"), LambdaSpec("label-free")], told[name].append)
            assert all(lam.fit for lam in lambdas(ready.models[0]))
        kept[name] = {file.name: file.read_bytes() for file in Path(f"{name}.fits").iterdir()}
        monkeypatch.setattr(Worker, "model", None)  # from here on, in the driver
    assert kept["ray"] == kept["local"]
    assert len(kept["ray"]) == 5, "each with its hash, and the picture of a calibration"
    # Who waits for workers is told of no progress, again and again.
    counted = {
        name: list(dict.fromkeys((one.lam.text, one.done, one.steps) for one in told[name])) for name in told
    }
    assert counted["ray"] == counted["local"]
    assert counted["ray"][-3:] == [("calibrated", 36, 36), ("label-free", 0, 1), ("label-free", 1, 1)]


def _other(versions):
    return lambda: {**versions, "torch": "9.9"}


@pytest.mark.slow
def test_a_cluster_of_other_versions_is_one_line(cluster, make_worker, data, monkeypatch, tmp_path):
    from robustbench_sdnet.running.engines.ray import pool

    monkeypatch.setattr(pool, "versions", _other(pool.versions()))
    ours = torch.__version__.partition("+")[0]
    with Store(f"sqlite:///{tmp_path}/s.db") as store, closing(ray_engine(2)) as engine:
        with pytest.raises(
            EngineError,
            match=rf"No worker could start: Node \S+ is not used: it runs torch {ours}, the driver 9\.9\. Install",
        ) as caught:
            run(cells_of(data), store=store, worker=make_worker(), count=130, engine=engine)
        assert str(caught.value).count("is not used") == 1, "one line a node, of one address here"


@pytest.mark.slow
def test_a_node_of_other_versions_is_left_out_and_named(tmp_path, cluster, make_worker, data, monkeypatch):
    from robustbench_sdnet.running.engines.ray import pool
    from robustbench_sdnet.running.engines.ray.actor import Actor

    odd = sorted(node["NodeID"] for node in ray.nodes() if node["Alive"])[0]
    versions = pool.versions()

    class Elsewhere(Actor):
        def place(self):
            found = super().place()
            if found.node_id != odd:
                return found
            return type(found)(found.node, found.node_id, found.pid, {**versions, "Python": "2.7"})

    monkeypatch.setattr(pool, "Actor", Elsewhere)
    cells = cells_of(data)
    local = reports(tmp_path, "local", cells, make_worker(), Local())
    seen = []
    assert reports(tmp_path, "ray", cells, make_worker(), ray_engine(2), on_progress=seen.append) == local
    assert len({where for where, _ in seen[-1].doing}) == 1
    slow = "No worker has started for a minute"  # is said too where the machine has other work
    (note,) = (one for one in seen[-1].notes if not one.startswith(slow))
    ours = versions["Python"]
    assert note.endswith(
        f"is not used: it runs Python 2.7, the driver {ours}. Install the same version there."
    )


def test_another_checkout_of_the_same_version_is_another(tmp_path):
    package = Path(rs.__file__).parent
    copy = shutil.copytree(
        package, tmp_path / "copy", ignore=shutil.ignore_patterns("weights", "__pycache__")
    )
    ours = f"(sources {sources_of(package)})"
    assert versions()["robustbench_sdnet"].endswith(ours)
    assert sources_of(copy) == sources_of(package)
    for file in ("attacks/native/pgd.py", "corruptions/settings.txt"):
        before = (copy / file).read_text()
        (copy / file).write_text(before + "# edited")
        assert sources_of(copy) != sources_of(package)
        (copy / file).write_text(before)


@pytest.fixture
def init(monkeypatch):
    """What `ray.init` is called with, in place of calling it."""
    given = []
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **options: given.append(options))
    for name in ("RAY_ADDRESS", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    return given


def test_a_ray_that_is_started_here_is_told_to_notice_soon_that_its_driver_is_gone(init, monkeypatch):
    seconds, seen = "RAY_gcs_rpc_server_reconnect_timeout_s", []
    monkeypatch.delenv(seconds, raising=False)
    monkeypatch.setattr(ray, "init", lambda **options: seen.append(os.environ.get(seconds)))
    one = Size(workers=1, cpus=1, gpus=0)
    connect(None, one)
    connect("auto", one)  # its nodes have been started by others, with what they chose
    assert seen == ["20", None]
    assert seconds not in os.environ
    monkeypatch.setenv(seconds, "7")
    connect(None, one)
    assert (seen[-1], os.environ[seconds]) == ("7", "7")


def test_a_cluster_is_looked_for_where_it_was_said_and_else_started_here(init, monkeypatch):
    two = Size(workers=200, cpus=2, gpus=0)
    connect("auto", two)
    connect(None, two)
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("127.0.0.1", 0)) as other:
        first, second = (f"127.0.0.1:{server.getsockname()[1]}" for server in (one, other))
        monkeypatch.setenv("RAY_ADDRESS", first)
        connect(None, two)
        connect(second, two)
    assert [given["address"] for given in init] == ["auto", "local", first, second]
    assert init[1]["num_cpus"] == 400, "room for what was asked, however few cores there are"
    assert init[1]["include_dashboard"] is False
    assert "num_cpus" not in init[0], "a cluster that runs says itself what it has"


@pytest.mark.parametrize("address", ["127.0.0.1:{port}", "[::1]:{port}", "127.0.0.1:99999"])
def test_an_address_where_nobody_listens_is_refused_before_ray_tries_for_minutes(init, address):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = address.format(port=server.getsockname()[1])
    with pytest.raises(
        EngineError, match=r"No Ray cluster could be used at .*: .*\. Start one: ray start --head"
    ):
        connect(address, Size(workers=None, cpus=1, gpus=0))
    assert init == []


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Could not find any running Ray instance.\nPlease specify the one", r"at auto: .* ray start --head"),
        (
            "Version mismatch: The cluster was started with:\n Ray: 2.49.0\n Python: 3.9.1",
            r"Version mismatch",
        ),
        ("The current node timed out during startup.\nThis could", r"at auto: The current node timed out"),
        ("Failed to connect to Ray cluster at 10.0.0.1:6379", r"token: export RAY_AUTH_MODE=token"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_one_line(monkeypatch, init, said, told):
    def refuse(**options):
        raise {"Could": ConnectionError, "Version": RuntimeError}.get(said.split()[0], Exception)(said)

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(EngineError, match=f"No Ray cluster could be used .*{told}") as caught:
        connect("auto", Size(workers=None, cpus=1, gpus=0))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (
            errors.OutOfMemoryError("Task was killed due to the node running low on memory.\n..."),
            "--batch-size",
        ),
        (errors.OutOfDiskError("The local disk is full"), "ray start --object-store-memory"),
        (errors.ObjectStoreFullError("full"), "ray start --object-store-memory"),
        (errors.WorkerCrashedError(), "See Ray's logs"),
        (errors.NodeDiedError("Task failed due to the node"), "See Ray's logs"),
    ],
)
def test_what_ends_workers_again_and_again_is_one_line_with_a_remedy(error, remedy):
    from robustbench_sdnet.running.engines.ray.pool import gave_up

    said = gave_up("m under fog 3, images 0 to 9", error)
    assert said.startswith("m under fog 3, images 0 to 9: ")
    assert remedy in said
    assert "\n" not in said


def test_gpus_of_the_cluster_that_nobody_uses_are_named(monkeypatch):
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0, "GPU": 4.0})
    assert gpus_left().startswith("The cluster has 4 GPUs, and none is used")
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 8.0})
    assert gpus_left() == ""


def test_gpus_of_this_machine_that_one_process_leaves_idle_are_named(monkeypatch):
    from robustbench_sdnet.running import ready

    monkeypatch.setattr(ready, "pick_device", lambda wanted: "cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    asked = {"models": ["digits/resnet20-at"], "data": "digits", "limit": 2}
    line = "This machine has 4 GPUs, and one is used: --engine ray uses all of them."
    assert ready.prepare(Setting(**asked), stored=False).notes == [line]
    assert ready.prepare(Setting(**asked, engine="ray"), stored=False).notes == []


def test_options_of_ray_without_it_are_refused(monkeypatch):
    import importlib.util

    for name, value in {
        "workers": 2,
        "ray_address": "auto",
        "gpus_per_worker": 0.5,
        "threads_per_worker": 1,
    }.items():
        with pytest.raises(InputError, match=f"--{name.replace('_', '-')} needs --engine ray"):
            Setting(**{name: value})
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'robustbench-sdnet\[ray\]'"):
        Setting(engine="ray")


@pytest.mark.parametrize("share", [0, -1, float("nan"), True, "half"])
def test_a_share_of_a_gpu_that_is_none_is_refused(share):
    with pytest.raises(InputError, match=rf"gpus_per_worker must be a number above 0, got '{share}'"):
        Setting(engine="ray", gpus_per_worker=share)


def test_sizes_follow_the_cluster():
    held = {"CPU": 64.0, "GPU": 8.0}
    assert size_of(Setting(engine="ray"), "cuda").wanted(held) == 8
    assert size_of(Setting(engine="ray", gpus_per_worker=0.25), "cuda").wanted(held) == 32
    assert size_of(Setting(engine="ray"), "cpu").wanted(held) == 64
    assert size_of(Setting(engine="ray", threads_per_worker=4), "cpu").wanted(held) == 16
    assert size_of(Setting(engine="ray", workers=3), "cpu").wanted(held) == 3
    with pytest.raises(InputError, match=r"--gpus-per-worker shares GPUs, but the device is 'cpu'"):
        size_of(Setting(engine="ray", gpus_per_worker=0.5), "cpu")
    assert np.isclose(size_of(Setting(engine="ray", gpus_per_worker=0.1), "cuda").wanted(held), 80)
