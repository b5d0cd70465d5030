"""One cell and its answers, for tests of the store alone."""

import numpy as np

from robustbench_sdnet.specs import CLEAN, Cell, DataSpec, ModelSpec
from robustbench_sdnet.store.outcome import Outcome

MODEL = ModelSpec(name="r", source="r", arch="resnet20", weights="b")
DATA = DataSpec(name="digits", source="digits", split="test", content="c")
CELL = Cell(model=MODEL, data=DATA, perturbation=CLEAN)
COST = {"forwards": 4, "backwards": 0, "seconds": 0.1, "memory_mib": 1, "device": "cpu", "versions": {}}


def shards(store, cell_id):
    """What is stored of a cell, in order of samples."""
    return [shard for stored in store.answered(lambda stored: stored, [cell_id]) for shard in stored.shards]


def outcome(start=0, stop=4, right=True):
    n = stop - start
    return Outcome(
        ids=np.arange(start, stop),
        right=np.full(n, right),
        broken_at=np.full(n, -1, np.int32),
        margin=np.linspace(-1, 1, n, dtype=np.float32),
        lam=np.full(n, np.nan, np.float32),
        residual=np.full(n, np.nan, np.float32),
        distance=np.full(n, np.nan, np.float32),
    )
