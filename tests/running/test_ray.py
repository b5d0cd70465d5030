"""The ray engine: the same bytes as one process, whoever answers, and whoever is lost on the way."""

from __future__ import annotations

import os
import signal
import time
from contextlib import closing

import numpy as np
import pytest
import torch
from torch import nn

from robustbench_sdnet.errors import EngineError, InputError
from robustbench_sdnet.planning import plan
from robustbench_sdnet.planning.questions import attack_specs, corruption_specs
from robustbench_sdnet.planning.setting import Setting
from robustbench_sdnet.reports import report
from robustbench_sdnet.running.engines import engine_of
from robustbench_sdnet.running.runner import ModelsFailed, run
from robustbench_sdnet.specs import Eps, LambdaSpec, ModelSpec
from robustbench_sdnet.store.store import Store

from ..tiny_setting import RESNET, SDNET

ray = pytest.importorskip("ray")
pytestmark = pytest.mark.ray
LAMBDAS = (LambdaSpec("0.1"), LambdaSpec("0.5"))
MEMORY = 200_000_000


@pytest.fixture(scope="module")
def cluster():
    """A head of one core and a node of another, to which the driver's Ray is connected."""
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    made = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": MEMORY, "include_dashboard": False},
    )
    made.add_node(num_cpus=1, object_store_memory=MEMORY)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()
    torch.set_num_threads(threads)


def _cells(data):
    """Corruptions, a curve of growing eps, and a matrix of transfer: children of outcomes and of images."""
    lambdas = {"lambdas": LAMBDAS, "attack_lambdas": LAMBDAS}
    pgd = attack_specs("pgd", [Eps.parse(text) for text in ("1/255", "4/255")], given={"steps": "2"})
    return [
        *plan.corruption_cells(
            [SDNET, RESNET], data, corruption_specs("contrast,gaussian_noise", [1, 5]), LAMBDAS
        ),
        *plan.attack_cells([RESNET], data, pgd, eps_curve=True),
        *plan.attack_cells([SDNET], data, pgd[:1], **lambdas),
    ]


def _reports(folder, name, cells, worker, engine, **options):
    url = f"sqlite:///{folder}/{name}.db"
    with Store(url) as store, closing(engine):
        run(cells, store=store, worker=worker, count=130, engine=engine, **options)
    (folder / name).mkdir()
    kinds = ("json", "csv", "markdown")
    return {kind: report(url, kind, output=folder / name / f"report.{kind}").read_bytes() for kind in kinds}


def _ray(workers):
    return engine_of(Setting(engine="ray", workers=workers, threads_per_worker=1))


def _local():
    return engine_of(Setting())


def test_reports_are_those_of_one_process_at_any_number_of_workers(tmp_path, cluster, make_worker, data):
    cells = _cells(data)
    local = _reports(tmp_path, "local", cells, make_worker(), _local())
    for workers in (1, 2):
        assert _reports(tmp_path, f"ray{workers}", cells, make_worker(), _ray(workers)) == local


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


def test_a_killed_worker_loses_no_answer(tmp_path, cluster, make_worker, data, networks):
    cells = _cells(data)
    local = _reports(tmp_path, "local", cells, make_worker(), _local())
    worker = make_worker()
    worker.load = lambda spec: (
        _Once(networks["resnet"], tmp_path / "calls") if spec == RESNET else networks["sdnet"]
    )
    assert _reports(tmp_path, "killed", cells, worker, _ray(2)) == local
    assert (tmp_path / "calls").stat().st_size > 1, "it was called again"


@pytest.mark.slow
def test_a_poison_shard_is_named_and_the_rest_goes_on(tmp_path, cluster, make_worker, data, networks):
    poison = ModelSpec(name="poison", source="p", arch="resnet20", weights="c" * 64)
    cells = plan.corruption_cells([SDNET, poison], data, corruption_specs("contrast", [5]), LAMBDAS)
    worker = make_worker()
    worker.load = lambda spec: (
        networks["sdnet"] if spec == SDNET else _Once(networks["resnet"], tmp_path / "n", 10**9)
    )
    with Store(f"sqlite:///{tmp_path}/s.db") as store, closing(_ray(2)) as engine:
        with pytest.raises(
            ModelsFailed, match=r"poison under (clean|contrast 5), images 0 to .*: 3 workers ended"
        ) as failed:
            run(cells, store=store, worker=worker, count=100, engine=engine)
        answered = store.ranges()
        assert {cell.id for cell in cells if cell.model == SDNET} == set(answered)
        assert set(failed.value.progress.failed) == {
            f"poison under {what}, images 0 to 100" for what in ("clean", "contrast 5")
        }


@pytest.mark.slow
def test_a_killed_node_and_one_that_joins_change_nothing(tmp_path, cluster, make_worker, data):
    cells = _cells(data)
    local = _reports(tmp_path, "local", cells, make_worker(), _local())
    extra = cluster.add_node(num_cpus=1, object_store_memory=MEMORY)
    seen, gone = set(), []

    def watch(progress):
        seen.update(where for where, _ in progress.doing)
        if len(seen) == 3 and not gone:
            gone.append(time.monotonic())
            cluster.remove_node(extra, allow_graceful=False)
        if gone and len(gone) == 1 and progress.done_shards > 8:
            gone.append(time.monotonic())
            cluster.add_node(num_cpus=1, object_store_memory=MEMORY)

    assert _reports(tmp_path, "nodes", cells, make_worker(), _ray(3), on_progress=watch) == local
    assert gone, "the node was killed while the run went on"


def test_a_model_that_fails_on_its_workers_is_named_and_the_others_are_stored(
    tmp_path, cluster, make_worker, data, networks
):
    class Broken(nn.Module):
        def forward(self, images):
            return torch.full((len(images), 3), torch.nan)

    cells = _cells(data)
    worker = make_worker()
    worker.load = lambda spec: Broken() if spec == RESNET else networks["sdnet"]
    with Store(f"sqlite:///{tmp_path}/s.db") as store, closing(_ray(2)) as engine:
        with pytest.raises(ModelsFailed, match="resnet returned NaN"):
            run(cells, store=store, worker=worker, count=130, engine=engine)
        assert set(store.ranges()) == {cell.id for cell in cells if cell.model == SDNET}


def test_workers_record_their_threads_and_costs_add_up(tmp_path, cluster, make_worker, data):
    cells = _cells(data)
    costs = {}
    for name, engine in (("local", _local()), ("ray", _ray(2))):
        with Store(f"sqlite:///{tmp_path}/{name}.db") as store, closing(engine):
            run(cells, store=store, worker=make_worker(), count=130, engine=engine)
            costs[name] = {
                cell.id: [
                    (s.cost["threads"], s.cost["forwards"], s.cost["backwards"])
                    for s in store.shards(cell.id)
                ]
                for cell in cells
            }
    assert costs["ray"] == costs["local"]
    assert {threads for shards in costs["ray"].values() for threads, _, _ in shards} == {1}


def test_a_cluster_that_is_not_there_is_one_line(monkeypatch):
    from robustbench_sdnet.running.engines.ray import cluster as clusters

    monkeypatch.setattr(ray, "is_initialized", lambda: False)

    def refuse(**options):
        raise ConnectionError(
            "Could not find any running Ray instance.\nPlease specify the one to connect to"
        )

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(
        EngineError, match=r"No Ray cluster could be used at auto: .* ray start --head"
    ) as caught:
        clusters.connect("auto")
    assert "\n" not in str(caught.value)


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


def test_sizes_follow_the_cluster():
    from robustbench_sdnet.running.engines.ray.cluster import size_of

    held = {"CPU": 64.0, "GPU": 8.0}
    assert size_of(Setting(engine="ray"), "cuda").wanted(held) == 8
    assert size_of(Setting(engine="ray", gpus_per_worker=0.25), "cuda").wanted(held) == 32
    assert size_of(Setting(engine="ray"), "cpu").wanted(held) == 64
    assert size_of(Setting(engine="ray", threads_per_worker=4), "cpu").wanted(held) == 16
    assert size_of(Setting(engine="ray", workers=3), "cpu").wanted(held) == 3
    assert np.isclose(size_of(Setting(engine="ray", gpus_per_worker=0.1), "cuda").wanted(held), 80)
