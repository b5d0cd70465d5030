"""How many shards a second the driver takes in: shards that do nothing, planned, stored and counted.

    python benchmarks/store.py [--shards 2000] [--url postgresql+psycopg://USER@HOST/EMPTY]

The peer is the bare minimum: the same rows written by Python's sqlite3, as many to a transaction, without a plan, a
checksum or a look at what is there. Both write through to the same disk (synchronous=FULL). With --url the same on a
PostgreSQL database, beside. CPU time is what bounds a driver whose disk is idle.
"""

from __future__ import annotations

import argparse
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np

from robustbench_sdnet.planning.plan import Task, corruption_cells
from robustbench_sdnet.planning.questions import corruption_specs
from robustbench_sdnet.running.exchange import Answer
from robustbench_sdnet.running.runner import run
from robustbench_sdnet.specs import Cell, DataSpec, ModelSpec
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.store import Store

SIZE = 100  # images a shard
COST = {
    "forwards": SIZE,
    "backwards": 0,
    "seconds": 10.0,
    "memory_mib": 500,
    "device": "cpu",
    "precision": "float32",
}


def outcome() -> Outcome:
    """What a shard answers, with margins that do not compress."""
    nothing, margins = np.full(SIZE, np.nan, "f4"), np.random.default_rng(0).normal(size=SIZE).astype("f4")
    return Outcome(np.arange(SIZE), margins > 0, np.full(SIZE, -1, "i4"), margins, nothing, nothing, nothing)


class Nothing:
    """An engine whose answers are there at once."""

    doing, notes = (), ()

    def run(self, tasks: Iterable[Task], *_: object) -> Iterator[list[tuple[Task, list[Answer]]]]:
        """Every task, answered."""
        for task in tasks:
            yield [(task, [Answer(cell, outcome(), COST, None) for cell in task.cells])]

    def close(self) -> None:
        """Nothing to end."""


def plan(shards: int, together: int) -> list[Cell]:
    """Cells of one shard each; `together` of them look at the same images, and share a task."""
    models = [ModelSpec(name=str(i), source="", arch="resnet20", weights=str(i)) for i in range(together)]
    data = DataSpec(name="none", source="", split="test", content="")
    specs = corruption_specs("all", [1, 2, 3, 4, 5]) * (1 + shards)
    seeded = [
        corruption_specs(s.name, [s.severity or 1], seed=i)[0]
        for i, s in enumerate(specs[: shards // together])
    ]
    return corruption_cells(models, data, seeded, clean=False)


def rate(work: Callable[[], int]) -> str:
    """Shards a second, of the wall clock and of CPU time."""
    wall, cpu = time.perf_counter(), time.process_time()
    shards = work()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return f"{shards / wall:6.0f} shards a second, {shards / cpu:6.0f} a second of CPU"


def driven(url: str, cells: list[Cell]) -> int:
    """Run a plan through the driver."""
    worker: Any = SimpleNamespace(data=SimpleNamespace(image_shape=(32, 32)), device="cpu")
    engine: Any = Nothing()
    with Store(url) as store:
        return run(cells, store=store, worker=worker, engine=engine, count=SIZE).shards


def bare(path: str, shards: int, together: int) -> int:
    """The same rows by sqlite3 alone."""
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(
            "CREATE TABLE shards (cell, start, stop, outcome, cost, PRIMARY KEY (cell, start, stop))"
        )
    for first in range(0, shards, together):
        with connection:
            rows = [(str(i), 0, SIZE, outcome().encode(), str(COST)) for i in range(first, first + together)]
            connection.executemany("INSERT INTO shards VALUES (?, ?, ?, ?, ?)", rows)
    connection.close()
    return shards


def main() -> None:
    """Print the rates, one line a size of transaction."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shards", type=int, default=2000)
    parser.add_argument("--url", help="an empty PostgreSQL database")
    asked = parser.parse_args()
    for together in (1, 4, 20):
        cells = plan(asked.shards, together)
        with tempfile.TemporaryDirectory(dir=".") as folder:
            stores = {"sqlite": partial(driven, f"sqlite:///{folder}/a.db", cells)}
            stores["bare sqlite"] = partial(bare, f"{folder}/b.db", len(cells), together)
            if asked.url:
                stores["postgresql"] = partial(driven, asked.url, cells)
            for name, work in stores.items():
                print(f"{name:<11} {together:3} a transaction  {rate(work)}")


if __name__ == "__main__":
    main()
