"""Verdicts of attacks: the diagnostics of gradient masking, on the first images of every attack's cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch

from ..data.tensors import to_images
from ..planning.chains import is_stage
from ..running.deploy import deployed
from ..running.worker import Worker
from ..specs import AttackSpec, Cell
from ..store.store import Store
from . import diagnose

if TYPE_CHECKING:
    from . import Finding

IMAGES = 100


def diagnose_cells(
    cells: Sequence[Cell],
    *,
    store: Store,
    worker: Worker,
    cheap: bool = True,
    on_check: Callable[[Cell], None] = lambda cell: None,
) -> dict[str, list[Finding]]:
    """Diagnose every answered attack of a plan, on its first images, against its own survivors; store the verdicts.

    A chain's stages are judged by the last one, and attacks without a budget are not judged.

    Args:
        cheap: only the checks that cost a few passes a sample.
        on_check: called before each.
    """
    found: dict[str, list[Finding]] = {}
    for cell in dict.fromkeys(cells):
        spec = cell.perturbation
        if cell.kind != "attack" or is_stage(spec) or not isinstance(spec, AttackSpec):
            continue
        if spec.eps is not None and spec.eps.fraction > 0:
            on_check(cell)
            found[cell.id] = _diagnosed(cell, spec, float(spec.eps), store, worker, cheap)
            store.add_verdicts(cell.id, [asdict(verdict) for verdict in found[cell.id]])
    return found


def _diagnosed(
    cell: Cell, spec: AttackSpec, eps: float, store: Store, worker: Worker, cheap: bool
) -> list[Finding]:
    outcome = store.outcome(cell.id, 0, IMAGES)
    count = 0 if outcome is None else len(outcome)
    data, device = worker.data, worker.device
    images = to_images(data.images(0, count), device)
    labels = torch.from_numpy(data.labels[:count]).to(device)
    survivors = None if outcome is None else torch.from_numpy(outcome.right).to(device)
    model = worker.model(cell.model)
    with deployed(model, cell.lam, worker.policies.get(cell.model.key, {})) as classifier:
        return diagnose(
            classifier,
            images,
            labels,
            eps=eps,
            norm=spec.norm,
            seed=spec.seed,
            cheap=cheap,
            survivors=survivors,
            sample_ids=torch.from_numpy(data.ids[:count]).to(device),
            batch_size=min(worker.batch_size, IMAGES),
        )
