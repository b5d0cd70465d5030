"""A store as large as a survey's: 20 models at 8 lambdas under 19 corruptions at 5 severities, 100 images a cell."""

from __future__ import annotations

import numpy as np

from robustbench_sdnet.corruptions.registry import CORRUPTIONS
from robustbench_sdnet.specs import CLEAN, Cell, CorruptionSpec, DataSpec, LambdaSpec, ModelSpec, decimal_text
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.store import Shard, Store

DATA = DataSpec(name="digits", source="digits", split="test", content="f" * 64)
COST = {
    "forwards": 100,
    "backwards": 0,
    "seconds": 0.1,
    "memory_mib": 100,
    "device": "cpu",
    "precision": "float32",
}
LAMBDAS = tuple(LambdaSpec(decimal_text(round(0.1 * step, 1))) for step in range(1, 9))
IMAGES = 100


def fill(url: str, models: int = 20) -> int:
    """Write the store; how many cells it holds."""
    names = [name for name, info in CORRUPTIONS.items() if info.published]
    corruptions = [CorruptionSpec(name=name, severity=level) for name in names for level in range(1, 6)]
    draws = np.random.default_rng(0)
    with Store(url) as store:
        cells = {}
        for number in range(models):
            model = ModelSpec(
                name=f"model-{number}",
                source="s",
                arch="sdnet20",
                weights=f"{number:064d}",
                training_lambda=0.1,
            )
            for spec in (CLEAN, *corruptions):
                for lam in LAMBDAS:
                    cell = Cell(model=model, data=DATA, perturbation=spec, lam=lam)
                    cells[cell.id] = cell
        store.add_cells(cells, asked=IMAGES)
        finished = []
        share = np.linspace(0.3, 0.9, models)
        for position, cell_id in enumerate(cells):
            nothing = np.full(IMAGES, np.nan, np.float32)
            outcome = Outcome(
                ids=np.arange(IMAGES),
                right=draws.random(IMAGES) < share[position * models // len(cells)],
                broken_at=np.full(IMAGES, -1, np.int32),
                margin=draws.normal(size=IMAGES).astype(np.float32),
                lam=nothing,
                residual=nothing,
                distance=nothing,
            )
            finished.append(Shard(cell_id, 0, IMAGES, outcome, {**COST, "versions": {"torch": "2.9"}}))
        store.add_shards(finished)
    return len(cells)
