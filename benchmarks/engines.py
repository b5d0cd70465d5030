"""The ray engine beside the local one, and how many shards a second its driver hands out and takes in.

    python benchmarks/engines.py [--images 1000] [--attacked 100] [--shards 2000]

The work is a corruption sweep and AutoAttack of a small network of the shelf, with one thread a worker; start-up (Ray,
the workers, the first load of a model) is left out by a small run before. The driver is measured with workers that
answer at once, so that nothing but the driver takes time. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from robustbench_sdnet.planning.plan import corruption_cells
from robustbench_sdnet.planning.questions import attack_specs, budgets, corruption_specs
from robustbench_sdnet.planning.setting import Setting
from robustbench_sdnet.running.engines import engine_of
from robustbench_sdnet.running.engines.ray import pool
from robustbench_sdnet.running.engines.ray.actor import Actor
from robustbench_sdnet.running.exchange import Answer
from robustbench_sdnet.running.ready import answer, attack_plan, corruption_plan, prepare
from robustbench_sdnet.running.runner import run
from robustbench_sdnet.specs import DataSpec, ModelSpec
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.store import Store

MODEL = "digits/resnet20-at"
ENGINES = {
    "local": {},
    "ray, 1 worker": {"engine": "ray", "workers": 1, "threads_per_worker": 1},
    "ray, 2 workers": {"engine": "ray", "workers": 2, "threads_per_worker": 1},
}
SIZE = 100


def work(folder: Path, images: int, attacked: int, engine: dict[str, Any]) -> tuple[float, float]:
    """Seconds of a corruption sweep and of AutoAttack, after a small run of each."""
    setting = Setting(models=[MODEL], data="digits", store=f"sqlite:///{folder}/warm.db", **engine)
    ready = prepare(setting)
    norm, eps = budgets("autoattack", "linf", "8/255")
    sweep = corruption_plan(ready, corruption_specs("all", (1, 3, 5)))
    attack = attack_plan(ready, attack_specs("autoattack", eps, norm))
    answer(replace(ready, count=1), [*sweep, *attack], setting)
    seconds = []
    for name, cells, count in (("sweep", sweep, images), ("attack", attack, attacked)):
        fresh = replace(setting, store=f"sqlite:///{folder}/{name}.db")
        started = time.perf_counter()
        answer(replace(ready, count=min(count, len(ready.data))), cells, fresh)
        seconds.append(time.perf_counter() - started)
    ready.engine.close()
    return seconds[0], seconds[1]


class Idle(Actor):
    """A worker that answers at once."""

    def answer(self, task: Any, inputs: Any, shared: Any, kept: Any) -> list[Any]:
        """The same for every task."""
        nothing, margins = np.full(SIZE, np.nan, "f4"), np.linspace(-1, 1, SIZE, dtype="f4")
        found = Outcome(
            np.arange(SIZE), margins > 0, np.full(SIZE, -1, "i4"), margins, nothing, nothing, nothing
        )
        return [Answer(cell, found, {"forwards": SIZE, "seconds": 10.0}) for cell in task.cells]


def driver(folder: Path, shards: int, workers: int) -> float:
    """Shards a second from the plan through Ray into the store."""
    from robustbench_sdnet.data.images import from_arrays
    from robustbench_sdnet.running.worker import Worker

    pixels = np.zeros((SIZE, 8, 8, 3), np.uint8)
    data = from_arrays("none", "test", pixels, np.arange(SIZE) % 3, 3, "none")
    models = [
        ModelSpec(name=f"m{k}", source="m", arch="a", weights=f"{k:064d}") for k in range(shards // 95 + 1)
    ]
    spec = DataSpec(name="none", source="none", split="test", content="c" * 64)
    cells = [
        cell
        for model in models
        for cell in corruption_cells([model], spec, corruption_specs("all", (1, 2, 3, 4, 5)))
    ][:shards]
    pool.Actor = Idle  # type: ignore[misc]
    engine = engine_of(Setting(engine="ray", workers=workers, threads_per_worker=1))
    worker = Worker(data=data, load=lambda _: torch.nn.Identity())
    with Store(f"sqlite:///{folder}/driver.db") as store:
        run(cells[:10], store=store, worker=worker, count=SIZE, engine=engine)
        started = time.perf_counter()
        run(cells[10:], store=store, worker=worker, count=SIZE, engine=engine)
        seconds = time.perf_counter() - started
    engine.close()
    pool.Actor = Actor  # type: ignore[misc]
    return len(cells[10:]) / seconds


def main() -> None:
    """Print all of it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=360)
    parser.add_argument("--attacked", type=int, default=100)
    parser.add_argument("--shards", type=int, default=2000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}, torch {torch.__version__}")
    base = None
    for name, engine in ENGINES.items():
        with tempfile.TemporaryDirectory() as folder:
            found = work(Path(folder), given.images, given.attacked, engine)
        base = base or found
        speed = [
            f"{seconds:7.1f} s ({first / seconds:.2f}x)" for seconds, first in zip(found, base, strict=True)
        ]
        print(f"{name:<16} corruption sweep {speed[0]}   AutoAttack {speed[1]}", flush=True)
    for workers in (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            print(
                f"driver, {workers} idle workers {driver(Path(folder), given.shards, workers):7.0f} shards/s",
                flush=True,
            )


if __name__ == "__main__":
    main()
