"""Adversarial images as files: one .npz a cell, exact, with the accuracy of what was saved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from ..attacks.saving import SavedAdversarials, save_adversarials
from ..errors import StoreError
from ..specs import AttackSpec, Cell
from ..store.store import Store
from .deploy import seeding
from .predict import classes_of
from .worker import Worker


def save_cells(
    cells: Sequence[Cell], *, store: Store, worker: Worker, count: int, folder: Path, eight_bit: bool
) -> Iterator[SavedAdversarials]:
    """Write the perturbed images of every attack of a plan that was run with its images kept.

    Args:
        count: how many samples, from the first.
        folder: gets one file a cell, named after model, attack, eps and lambda.
        eight_bit: also the images rounded to 8 bits, with their accuracy.

    Raises:
        StoreError: some images are not kept; raised when the others are written.
    """
    kept, lost = store.images, list[str]()
    labels = torch.from_numpy(worker.data.labels[:count])
    for cell in dict.fromkeys(cells):
        if cell.kind not in ("attack", "noise"):
            continue
        images = kept.fetch(cell.id, 0, count)
        if images is None:
            lost.append(file_name(cell))
            continue
        ids = worker.data.ids[:count]
        shown = torch.from_numpy(images).to(worker.device)
        # Loaded here, so that what it draws while it loads is not of the cell's seed.
        classes_of(worker.model(cell.model), shown[:1], cell.model.name)
        with seeding(cell, ids, worker.device), worker.deployed(cell.model, cell.lam) as classifier:
            yield save_adversarials(
                folder / file_name(cell),
                classifier,
                shown,
                labels.to(worker.device),
                sample_ids=ids.tolist(),
                eight_bit=eight_bit,
                repeats=cell.model.repeats,
            )
    if lost:
        raise StoreError(f"The images of {', '.join(lost)} are not kept. Run the attack again.")


def file_name(cell: Cell) -> str:
    """A name that says what is in the file, and ends in the cell's id, so that no two cells share it."""
    spec = cell.perturbation
    eps = f"eps{spec.eps.text}" if isinstance(spec, AttackSpec) and spec.eps else ""
    lam = f"lambda{cell.lam.text}" if cell.lam else ""
    words = "-".join(word for word in (cell.model.name, spec.label, eps, lam, cell.id[:8]) if word)
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", words) + ".npz"
