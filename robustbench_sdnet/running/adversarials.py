"""Adversarial images as files: one .npz a cell, exact, with the accuracy of what was saved."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from ..attacks.saving import SavedAdversarials, save_adversarials
from ..data.tensors import first_images
from ..errors import StoreError
from ..specs import AttackSpec, Cell
from ..store.images import KeptImages
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
    lost = list[str]()
    first, ids = first_images(worker.data, 1, worker.device)[0], worker.data.ids[:count]
    labels = torch.from_numpy(worker.data.labels[:count]).to(worker.device)
    for cell in dict.fromkeys(cells):
        if cell.kind not in ("attack", "noise"):
            continue
        # Loaded here, so that what it draws while it loads is not of the cell's seed.
        classes_of(worker.model(cell.model), first, cell.model.name)
        try:
            with seeding(cell, ids, worker.device), worker.deployed(cell.model, cell.lam) as classifier:
                saved = save_adversarials(
                    folder / file_name(cell),
                    classifier,
                    partial(_parts, store.images, cell, count, worker.device),
                    labels,
                    sample_ids=ids,
                    eight_bit=eight_bit,
                    repeats=cell.model.repeats,
                )
        except _NotKept:
            lost.append(file_name(cell))
            continue
        yield saved
    if lost:
        raise StoreError(f"The images of {', '.join(lost)} are not kept. Run the attack again.")


class _NotKept(Exception):
    """Some images of a cell."""


def _parts(kept: KeptImages, cell: Cell, count: int, device: str) -> Iterator[Tensor]:
    """The perturbed images of a cell on a device, some at a time."""
    seen = 0
    for images in kept.parts(cell.id, 0, count):
        yield torch.from_numpy(images).to(device)
        seen += len(images)
    if seen < count:
        raise _NotKept


def file_name(cell: Cell) -> str:
    """A name that says what is in the file, and ends in the cell's id, so that no two cells share it."""
    spec = cell.perturbation
    eps = f"eps{spec.eps.text}" if isinstance(spec, AttackSpec) and spec.eps else ""
    lam = f"lambda{cell.lam.text}" if cell.lam else ""
    words = "-".join(word for word in (cell.model.name, spec.label, eps, lam, cell.id[:8]) if word)
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", words) + ".npz"
