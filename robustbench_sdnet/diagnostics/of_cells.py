"""Verdicts of attacks: the diagnostics of gradient masking, on the first images of every attack's cell."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..answers.trust import Finding
from ..data.tensors import first_images
from ..errors import SdnetBenchError, about
from ..planning.chains import is_stage
from ..planning.costs import Range, missing
from ..running.engines import Engine, Job
from ..running.runner import LOCAL
from ..running.worker import Worker
from ..specs import AttackSpec, Cell
from ..store.store import Store
from . import diagnose

IMAGES = 100

OnCheck = Callable[[int, int, str], None]
"""Told how many attacks are diagnosed, of how many, and which comes next or came last."""


def diagnose_cells(
    cells: Sequence[Cell],
    *,
    store: Store,
    worker: Worker,
    engine: Engine = LOCAL,
    cheap: bool = True,
    on_check: OnCheck = lambda done, total, words: None,
) -> tuple[dict[str, list[Finding]], dict[str, str]]:
    """Diagnose every answered attack of a plan, on its first images, against its own survivors; store the verdicts.

    A chain's stages are judged by the last one, and attacks without a budget, or without their first images, are not.

    Args:
        engine: where they are made, several at once where there are several workers.
        cheap: only the checks that cost at most 20 steps a survivor.
        on_check: called at the beginning and after each.

    Returns:
        The verdicts by the cell's id, in the order of the cells, and by name why models have none, or not all.
    """
    stored = store.ranges()
    todo = [
        cell for cell in dict.fromkeys(cells) if _is_judged(cell) and _first_seen(stored.get(cell.id, ()))
    ]

    def arguments(cell: Cell) -> tuple[Any, ...]:
        outcome = store.outcome(cell.id, 0, IMAGES)
        assert outcome is not None  # narrows the type: the first images were seen
        return cell, outcome.right, cheap

    jobs = [
        Job(
            label=f"diagnostics of {cell.perturbation.label} on {cell.model.name}",
            models=[cell.model],
            ask=_diagnosed,
            arguments=partial(arguments, cell),
        )
        for cell in todo
    ]
    found: dict[str, list[Finding]] = {}
    failed: dict[str, str] = {}
    if todo:
        on_check(0, len(todo), todo[0].words)
    for done, (number, verdicts) in enumerate(engine.ask(jobs, worker), 1):
        cell = todo[number]
        on_check(done, len(todo), cell.words)
        if isinstance(verdicts, SdnetBenchError):
            failed[cell.model.name] = about(cell.model.name, verdicts)
        else:
            found[cell.id] = verdicts
            store.add_verdicts(cell.id, [asdict(verdict) for verdict in verdicts])
    return {cell.id: found[cell.id] for cell in todo if cell.id in found}, failed


def _is_judged(cell: Cell) -> bool:
    spec = cell.perturbation
    if cell.kind != "attack" or is_stage(spec) or not isinstance(spec, AttackSpec):
        return False
    return spec.eps is not None and spec.eps.fraction > 0


def _first_seen(stored: Sequence[Range]) -> bool:
    """Whether the first images, or all that were seen, are stored without the gap that a lost worker leaves."""
    return bool(stored) and not any(missing((0, min(IMAGES, stored[-1][1])), stored))


def _diagnosed(worker: Worker, cell: Cell, right: NDArray[np.bool_], cheap: bool) -> list[Finding]:
    """The verdicts of one cell; `right` (n,) is what survived the attack, of its first images."""
    spec = cell.perturbation
    assert isinstance(spec, AttackSpec)  # narrows the type: nothing else is judged
    assert spec.eps is not None
    images, labels, ids = first_images(worker.data, len(right), worker.device)
    with worker.deployed(cell.model, cell.lam) as classifier:
        return diagnose(
            classifier,
            images,
            labels,
            eps=float(spec.eps),
            norm=spec.norm,
            seed=spec.seed,
            cheap=cheap,
            survivors=torch.tensor(right, device=worker.device),
            sample_ids=ids,
            batch_size=min(worker.batch_size, IMAGES),
        )
