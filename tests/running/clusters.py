"""Runs on Ray beside the same on one process: a small cluster, a plan with every kind of parent, and reports."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager

from robustbench_sdnet.planning import plan
from robustbench_sdnet.planning.questions import attack_specs, corruption_specs
from robustbench_sdnet.planning.setting import Setting
from robustbench_sdnet.reports import report
from robustbench_sdnet.running.engines import engine_of
from robustbench_sdnet.running.runner import run
from robustbench_sdnet.specs import Eps, LambdaSpec
from robustbench_sdnet.store.store import Store

from ..tiny_setting import RESNET, SDNET

LAMBDAS = (LambdaSpec("0.1"), LambdaSpec("0.5"))
NODE = {"num_cpus": 1, "object_store_memory": 200_000_000}


@contextmanager
def connected(nodes):
    """A Ray cluster of nodes of one core, to which the driver is connected."""
    import ray
    import torch
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    made = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    for _ in range(nodes - 1):
        made.add_node(**NODE)
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        torch.set_num_threads(threads)


def cells_of(data):
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


def ray_engine(workers):
    return engine_of(Setting(engine="ray", workers=workers, threads_per_worker=1))


def reports(folder, name, cells, worker, engine, **options):
    """A run's reports as bytes, by kind."""
    url = f"sqlite:///{folder}/{name}.db"
    with Store(url) as store, closing(engine):
        run(cells, store=store, worker=worker, count=130, engine=engine, **options)
    (folder / name).mkdir()
    kinds = ("json", "csv", "markdown")
    return {kind: report(url, kind, output=folder / name / f"report.{kind}").read_bytes() for kind in kinds}
