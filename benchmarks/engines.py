"""The ray engine beside the local one, and how many shards a second its driver hands out and takes in.

    python benchmarks/engines.py [--images N] [--attacked N] [--share 0.02] [--minutes 6]

The work is a corruption sweep and AutoAttack (all four stages, a share of the steps of each) of a small network of the
shelf, with one thread a worker; 200 images are cut into as many shards for two workers as for one. Ray, the workers
and a first small run come before the clock starts. The engines take turns, each round beginning with another
one, for as many rounds as the minutes hold (at least one); medians are compared. The driver is measured with workers
that answer at once, so that nothing but the driver takes time, on SQLite and, where a PostgreSQL server is installed,
on PostgreSQL (--url takes another empty database); both write through to the disk. Run it on a machine that does
nothing else.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import torch

from robustbench_sdnet.data.images import from_arrays
from robustbench_sdnet.planning.plan import corruption_cells
from robustbench_sdnet.planning.questions import attack_specs, budgets, corruption_specs
from robustbench_sdnet.planning.setting import Setting
from robustbench_sdnet.running.engines import engine_of
from robustbench_sdnet.running.engines.ray import pool
from robustbench_sdnet.running.engines.ray.actor import Actor
from robustbench_sdnet.running.engines.ray.cluster import Size, connect, disconnect
from robustbench_sdnet.running.exchange import Answer
from robustbench_sdnet.running.ready import Ready, answer, attack_plan, corruption_plan, prepare
from robustbench_sdnet.running.runner import run
from robustbench_sdnet.running.worker import Worker
from robustbench_sdnet.specs import Cell, DataSpec, ModelSpec, params
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.store import Store
from tests.servers import serving

ENGINES: dict[str, dict[str, Any]] = {
    "local": {},
    "ray, 1 worker": {"engine": "ray", "workers": 1, "threads_per_worker": 1},
    "ray, 2 workers": {"engine": "ray", "workers": 2, "threads_per_worker": 1},
}
SIZE = 100  # images of a shard that does nothing
NUMBERS = count()


def plans(ready: Ready, given: argparse.Namespace) -> dict[str, tuple[list[Cell], int]]:
    """The two pieces of work, and how many images each is asked about."""
    norm, eps = budgets("autoattack", "linf", "8/255")
    stages = [
        replace(stage, params=params({**dict(stage.params), "steps": max(1, int(given.share * steps))}))
        for stage in attack_specs("autoattack", eps, norm)
        for steps in [int(dict(stage.params)["steps"])]
    ]
    return {
        "corruption sweep": (corruption_plan(ready, corruption_specs("all", (1, 3, 5))), given.images),
        "AutoAttack": (attack_plan(ready, stages), given.attacked),
    }


def seconds(ready: Ready, cells: list[Cell], images: int, folder: str) -> float:
    """How long an engine takes for cells on the first images, into a store of its own."""
    setting = replace(ready.setting, store=f"sqlite:///{folder}/{next(NUMBERS)}.db")
    started = time.perf_counter()
    answer(replace(ready, count=min(images, len(ready.data))), cells, setting)
    return time.perf_counter() - started


def compare(given: argparse.Namespace, folder: str) -> None:
    """Measure the engines in turn, and print the medians."""
    began = time.monotonic()
    asked = Setting(models=[given.model], data=given.data, store=f"sqlite:///{folder}/first.db")
    ready = {name: prepare(replace(asked, **engine)) for name, engine in ENGINES.items()}
    work = plans(ready["local"], given)
    for one in ready.values():
        for cells, _ in work.values():
            seconds(one, cells, 1, folder)
    print(f"start-up and first runs {time.monotonic() - began:.0f} s, not counted", flush=True)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    order, longest = list(ready), 0.0
    while not found or time.monotonic() - began + longest < 60 * given.minutes:
        round_began = time.monotonic()
        for name in order:
            for title, (cells, images) in work.items():
                found[title, name].append(seconds(ready[name], cells, images, folder))
        order = [*order[1:], order[0]]
        longest = max(longest, time.monotonic() - round_began)
    for title in work:
        base = statistics.median(found[title, "local"])
        for name in ENGINES:
            median = statistics.median(found[title, name])
            rounds = " ".join(f"{value:.1f}" for value in found[title, name])
            print(f"{title:<16} {name:<14} {median:6.2f} s  {base / median:.3f}x of local   ({rounds})")
    for one in ready.values():
        one.engine.close()


class Idle(Actor):
    """A worker that answers at once."""

    def answer(self, task: Any, inputs: Any, shared: Any, kept: Any) -> list[Any]:
        """The same for every task."""
        nothing, margins = np.full(SIZE, np.nan, "f4"), np.linspace(-1, 1, SIZE, dtype="f4")
        found = Outcome(
            np.arange(SIZE), margins > 0, np.full(SIZE, -1, "i4"), margins, nothing, nothing, nothing
        )
        return [Answer(cell, found, {"forwards": SIZE, "seconds": 10.0}) for cell in task.cells]


def driver(url: str, shards: int, workers: int) -> str:
    """Shards a second from the plan through Ray into the store; of the driver's own CPU time too."""
    pixels = np.zeros((SIZE, 8, 8, 3), np.uint8)
    data = from_arrays("none", "test", pixels, np.arange(SIZE) % 3, 3, "none")
    run_of = next(NUMBERS)
    models = [
        ModelSpec(name=f"m{k}", source="m", arch="a", weights=f"{run_of}-{k}")
        for k in range(shards // 95 + 1)
    ]
    spec = DataSpec(name="none", source="none", split="test", content="c" * 64)
    severities = corruption_specs("all", (1, 2, 3, 4, 5))
    cells = [cell for model in models for cell in corruption_cells([model], spec, severities, clean=False)]
    pool.Actor = Idle  # type: ignore[misc]
    engine = engine_of(Setting(engine="ray", workers=workers, threads_per_worker=1))
    worker = Worker(data=data, load=lambda _: torch.nn.Identity())
    with Store(url) as store:
        run(cells[:10], store=store, worker=worker, count=SIZE, engine=engine)
        wall, cpu = time.perf_counter(), time.process_time()
        done = run(cells[10 : 10 + shards], store=store, worker=worker, count=SIZE, engine=engine).shards
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    engine.close()
    pool.Actor = Actor  # type: ignore[misc]
    return f"{done / wall:6.0f} shards a second, {done / cpu:6.0f} a second of CPU"


@contextmanager
def stores(given: argparse.Namespace, folder: str) -> Iterator[dict[str, str]]:
    """A URL of every kind of store that is at hand."""
    server = serving(fsync="on") if given.url is None else nullcontext()
    with server as running:
        found = {"SQLite": f"sqlite:///{folder}/driver.db"}
        url = given.url or (running and running.database())
        yield found | ({"PostgreSQL": url} if url else {})


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", default="digits")
    parser.add_argument("--model", default="digits/resnet20-at")
    parser.add_argument("--images", type=int, default=200, help="of the corruption sweep")
    parser.add_argument("--attacked", type=int, default=200, help="images of AutoAttack")
    parser.add_argument("--share", type=float, default=0.02, help="of the official steps of each stage")
    parser.add_argument("--minutes", type=float, default=6, help="that the rounds may take")
    parser.add_argument("--shards", type=int, default=2000, help="that do nothing, for the driver")
    parser.add_argument("--url", help="an empty PostgreSQL database [default: a server of its own]")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}", flush=True)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        connect(None, Size(workers=4, cpus=1, gpus=0))  # room for both pools at once, of which one works
        compare(given, folder)
        with stores(given, folder) as urls:
            for workers in (1, 2):
                for name, url in urls.items():
                    rate = driver(url, given.shards, workers)
                    print(f"driver, {workers} idle workers, {name:<10}  {rate}", flush=True)
        disconnect()


if __name__ == "__main__":
    main()
