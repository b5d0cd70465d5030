"""What the suite costs outside the model: starting up, and storing a shard.

    python benchmarks/overhead.py [--rounds 5]

Start-up is the CPU time of whole processes (help, a usage error), torch neither needed nor imported. A shard's overhead
is the wall time of a plan of many shards, asked of a model that costs nothing, over their number. The peer of both is
another checkout: PYTHONPATH=/path/to/it python benchmarks/overhead.py, in turn with this one.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

STARTS = (
    ["--help"],
    ["attack", "--help"],
    ["attack", "pgd", "--eps", "8"],
    ["corrupt", "--corruption", "fogg"],
)
MODEL = """
import torch

class Free(torch.nn.Module):
    def forward(self, images):
        return images[:, :, 0, 0]

def free():
    return Free()
"""
BUDGETS = 100


def start_up(arguments: list[str]) -> float:
    """CPU seconds of the command with these arguments."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "robustbench_sdnet", *arguments], capture_output=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def a_shard(folder: Path, number: int) -> float:
    """Milliseconds a shard, of random noise at many budgets: no gradient, no search, a model that is free."""
    import robustbench_sdnet as rs

    store = f"sqlite:///{folder}/{number}.db"
    attacks = [{"name": "noise", "eps": f"{k}/1000"} for k in range(1, BUDGETS + 1)]
    shards = []
    started = time.perf_counter()
    rs.evaluate(
        ["free_model:free"],
        f"npz:{folder}/data.npz",
        attacks=attacks,
        store=store,
        limit=100,
        on_progress=lambda progress: shards.append(progress.shards),
    )
    return 1000 * (time.perf_counter() - started) / shards[0]


def main() -> None:
    """Print both, as medians of rounds."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    for arguments in STARTS:
        seconds = statistics.median(start_up(arguments) for _ in range(rounds))
        print(f"start-up   {' '.join(arguments):<28} {seconds:.3f} s of CPU")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "free_model.py").write_text(MODEL)
        sys.path.insert(0, name)
        images = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 3), dtype=np.uint8)
        labels = np.arange(100) % 3
        np.savez(folder / "data.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
        times = [a_shard(folder, number) for number in range(rounds + 1)][1:]
    print(f"overhead   {'a shard of 100 images':<28} {statistics.median(times):.2f} ms")


if __name__ == "__main__":
    main()
