"""The ray engine beside the local one, and how many shards a second its driver hands out and takes in.

    python benchmarks/engines.py [--images N] [--attacked N] [--share 0.02] [--minutes 6] [--only driver]

The work is a corruption sweep and AutoAttack (all four stages, a share of the steps of each) of a small network of the
shelf, with one thread a worker; 200 images are cut into as many shards for two workers as for one. Ray, the workers
and a first small run come before the clock starts. The engines take turns, each round beginning with another
one, for as many rounds as the minutes hold (at least one); medians are compared. The driver is measured with two
workers that answer at once, so that nothing but the driver takes time: corruptions (one task holds the cells of all
models), attacks (one task is one shard of one cell), and the stages of AutoAttack, each of which starts from what its
parent left; then with a thousand that take ten seconds a shard. On SQLite and, where a PostgreSQL server is installed,
on PostgreSQL (--url takes another empty database); both write through to the disk. Run it on a machine that does
nothing else; the driver takes about four minutes.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
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
from typing import Any, ClassVar
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
sys.path.insert(0, str(Path(__file__).parents[1]))

import numpy as np
import ray
import torch

from robustbench_sdnet.data.images import from_arrays
from robustbench_sdnet.planning.plan import attack_cells, corruption_cells
from robustbench_sdnet.planning.questions import attack_specs, budgets, corruption_specs
from robustbench_sdnet.planning.setting import Setting
from robustbench_sdnet.running.cells import attack_plan, corruption_plan
from robustbench_sdnet.running.engines import engine_of
from robustbench_sdnet.running.engines.ray import pool
from robustbench_sdnet.running.engines.ray.actor import Actor
from robustbench_sdnet.running.engines.ray.cluster import Size, connect
from robustbench_sdnet.running.exchange import Answer
from robustbench_sdnet.running.ready import Ready, answer, prepare
from robustbench_sdnet.running.runner import run
from robustbench_sdnet.running.worker import Worker
from robustbench_sdnet.specs import Cell, DataSpec, Eps, ModelSpec, params
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.store import Store
from tests.database_server import serving

ENGINES: dict[str, dict[str, Any]] = {
    "local": {},
    "ray, 1 worker": {"engine": "ray", "workers": 1, "threads_per_worker": 1},
    "ray, 2 workers": {"engine": "ray", "workers": 2, "threads_per_worker": 1},
}
SIZE = 100  # images of a shard that does nothing
NUMBERS = count()
KINDS = ("corruptions", "attacks", "chains of four")


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
    answer(replace(ready, setting=setting, count=min(images, len(ready.data))), cells)
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


class Nothing:
    """In place of a worker: the same answer at once to every task."""

    policies: ClassVar[dict[str, Any]] = {}

    def answer(self, task: Any, inputs: Any) -> list[Any]:
        """Made anew every time, as answers are."""
        n = task.stop - task.start
        nothing, margins = np.full(n, np.nan, "f4"), np.linspace(-1, 1, n, dtype="f4")
        found = Outcome(np.arange(n), margins > 0, np.full(n, -1, "i4"), margins, nothing, nothing, nothing)
        cost = {"forwards": n, "backwards": 0, "seconds": 10.0, "threads": 1, "device": "none"}
        return [Answer(cell, found, cost) for cell in task.cells]


class Idle(Actor):
    """An actor whose worker does nothing."""

    def __init__(self, data: Any, setup: Any) -> None:
        super().__init__(data, setup)
        self._worker = Nothing()  # type: ignore[assignment]  # answers as one, and is no more


def questions(kind: str, shards: int) -> list[Cell]:
    """So many cells of one shard each, no two runs' the same."""
    run_of = next(NUMBERS)
    data = DataSpec(name="none", source="none", split="test", content="c" * 64)
    norm, eps = budgets("autoattack", "linf", "8/255")
    stages = attack_specs("autoattack", eps, norm) if kind == "chains of four" else ()
    severities = corruption_specs("all", (1, 2, 3, 4, 5))
    pgd = attack_specs("pgd", [Eps.parse(f"{n}/2550") for n in range(1, 96)])
    cells: list[Cell] = []
    while len(cells) < shards:
        model = ModelSpec(name=f"m{len(cells)}", source="m", arch="a", weights=f"{run_of}-{len(cells)}")
        if kind == "corruptions":  # of all models one task a corruption
            cells += corruption_cells([model], data, severities, clean=False)
        else:
            cells += attack_cells([model], data, stages or pgd)[1:]
    return cells[:shards]


@contextmanager
def idle(kind_of: type[Actor], workers: int) -> Iterator[tuple[Any, Worker]]:
    """An engine whose actors are of that kind, and what its runs begin with."""
    pixels = np.zeros((SIZE, 8, 8, 3), np.uint8)
    data = from_arrays("none", "test", pixels, np.arange(SIZE) % 3, 3, "none")
    with mock.patch.object(pool, "Actor", kind_of):
        engine = engine_of(Setting(engine="ray", workers=workers, threads_per_worker=1))
        try:
            yield engine, Worker(data=data, load=lambda _: torch.nn.Identity())
        finally:
            engine.close()


def driver(kind: str, url: str, shards: int) -> str:
    """Shards a second from the plan through Ray into the store, and a second of the driver's own CPU time."""
    first, cells = questions(kind, 10), questions(kind, shards)
    with Store(url) as store, idle(Idle, 2) as (engine, worker):
        run(first, store=store, worker=worker, count=SIZE, engine=engine)
        wall, cpu = time.perf_counter(), time.process_time()
        done = run(cells, store=store, worker=worker, count=SIZE, engine=engine).done_shards
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return f"{done / wall:,.0f} ({done / cpu:,.0f})"


class Crowd(Idle):
    """Five hundred workers in one process, each with two shards in hand of ten seconds, on average, each."""

    async def answer(self, asked: Any, shared: Any) -> list[Any]:  # type: ignore[override]  # Ray runs both kinds
        """After as long as the two together take."""
        await asyncio.sleep(20 * random.uniform(0.5, 1.5))
        return super().answer(asked, shared)


def crowd(url: str, shards: int) -> str:
    """What 1,000 workers ask of the driver: how much of a core it takes, and how many shards a second they answer."""
    first, cells = questions("attacks", 10), questions("attacks", shards)
    with Store(url) as store, idle(Crowd, 2) as (engine, worker):
        run(first, store=store, worker=worker, count=SIZE, engine=engine)
        members = engine._pool.members
        members += [pool.Member(one.handle, one.place) for one in list(members) for _ in range(499)]
        seen: list[tuple[int, float, float]] = []

        def see(progress: Any) -> None:
            seen.append((progress.done_shards, time.perf_counter(), time.process_time()))

        run(cells, store=store, worker=worker, count=SIZE, engine=engine, on_progress=see)
    # Between the moments when all had begun and when the first found no more to do.
    steady = [one for one in seen if 500 <= one[0] <= shards - 2000] or seen
    (before, began, spent), (after, ended, used) = steady[0], steady[-1]
    return f"{(after - before) / (ended - began):.0f} shards a second, {(used - spent) / (ended - began):.0%} of a core"


@contextmanager
def stores(given: argparse.Namespace, folder: str) -> Iterator[dict[str, str]]:
    """A URL of every kind of store that is at hand."""
    server = serving(fsync="on") if given.url is None else nullcontext()
    with server as running:
        found = {"SQLite": f"sqlite:///{folder}/driver.db"}
        url = given.url or (running and running.database())
        yield found | ({"PostgreSQL": url} if url else {})


def drive(given: argparse.Namespace, folder: str) -> None:
    """Print what the driver takes in, on every kind of store that is at hand."""
    with stores(given, folder) as urls:
        print("| shards of nothing, a second (a second of the driver's CPU) |", " | ".join(urls), "|")
        print("|---" * (len(urls) + 1) + "|")
        for kind in KINDS:
            rates = [driver(kind, url, given.shards) for url in urls.values()]
            print(f"| {kind} |", " | ".join(rates), "|", flush=True)
        for name, url in urls.items() if given.crowd else ():
            print(f"1,000 workers, shards of 10 s, {name}: {crowd(url, given.crowd)}", flush=True)


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
    parser.add_argument(
        "--crowd", type=int, default=6000, help="shards for a thousand workers; 0 leaves it out"
    )
    parser.add_argument("--only", choices=["engines", "driver"], help="one of the two parts")
    parser.add_argument("--url", help="an empty PostgreSQL database [default: a server of its own]")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}", flush=True)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        connect(None, Size(workers=4, cpus=1, gpus=0))  # room for both pools at once, of which one works
        if given.only != "driver":
            compare(given, folder)
        if given.only != "engines":
            drive(given, folder)
        ray.shutdown()


if __name__ == "__main__":
    main()
