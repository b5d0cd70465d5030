"""How much faster several processes of one command answer a plan on one store than one does, simulated.

    python benchmarks/sharing.py [--plans 10]

The schedule is the suite's own; only time is simulated. Shards are independent and of uneven length (log-normal, sigma
0.6, 5 % more or less in another process), start-up and the store cost nothing, and all processes start at once. The
limit is as many times as there are processes.
"""

from __future__ import annotations

import argparse
import heapq
import random
import statistics
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from robustbench_sdnet.planning.plan import Task
from robustbench_sdnet.planning.schedule import Schedule
from robustbench_sdnet.specs import CLEAN, Cell, DataSpec, ModelSpec

SHAPES = ((2, 200), (8, 200), (8, 1000), (32, 200), (32, 1000))
CELL = Cell(
    model=ModelSpec(name="none", source="none", arch="none", weights="none"),
    data=DataSpec(name="none", source="none", split="test", content="none"),
    perturbation=CLEAN,
)


class Process:
    """One of several that work on a plan; what is `stored` belongs to all."""

    def __init__(self, shards: int, stored: set[int]) -> None:
        self.stored, self.met = stored, False
        self.schedule = Schedule([Task(n, n + 1, (CELL,)) for n in range(shards)], self.left)
        self.tasks = iter(self.schedule)

    def left(self, task: Task) -> Task:
        """Nothing, of a shard that another has stored, once one was met."""
        return replace(task, cells=()) if self.met and task.start in self.stored else task

    def store(self, shard: int) -> None:
        """Keep an answer; one that is there already says that another is at work."""
        if shard in self.stored:
            self.met = True
            self.schedule.elsewhere()
        self.stored.add(shard)


def speed_up(processes: int, shards: int, seed: int) -> float:
    """The time of one process over that of several."""
    draw, stored = random.Random(seed), set[int]()
    seconds = [draw.lognormvariate(0, 0.6) for _ in range(shards)]
    crew = [Process(shards, stored) for _ in range(processes)]
    events: list[tuple[float, int, int | None]] = [(0.0, one, None) for one in range(processes)]
    end = 0.0
    while events:
        now, one, shard = heapq.heappop(events)
        if shard is not None:
            crew[one].store(shard)
        if (task := next(crew[one].tasks, None)) is None:
            end = max(end, now)
        else:
            heapq.heappush(events, (now + seconds[task.start] * draw.uniform(0.95, 1.05), one, task.start))
    return sum(seconds) / end


def main() -> None:
    """Print the median of several plans for each number of processes and shards."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--plans", type=int, default=10, help="plans of each shape")
    options = parser.parse_args()
    for processes, shards in SHAPES:
        found = [speed_up(processes, shards, seed) for seed in range(options.plans)]
        print(
            f"{processes:3} processes, {shards:5,} shards: {statistics.median(found):5.1f} times as fast as one"
        )


if __name__ == "__main__":
    main()
