"""Made-up answers in a real store: which of ten images each subject has right, so that tests are checked by hand."""

from __future__ import annotations

import numpy as np

from robustbench_sdnet.answers.comparisons import comparisons
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.planning.questions import attack_specs, corruption_specs
from robustbench_sdnet.specs import CLEAN, Cell, DataSpec, Eps, LambdaSpec
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.store import Shard, Store

from .tiny_setting import RESNET as RESNET, SDNET

DATA = DataSpec(name="tiny", source="tiny", split="test", content="c" * 64)
COST = {"forwards": 1, "backwards": 0, "seconds": 0.1, "memory_mib": 1, "device": "cpu", "versions": {}}
LOW, HIGH = LambdaSpec("0.1"), LambdaSpec("0.5")
NOISE = corruption_specs("gaussian_noise", [1, 5]) + corruption_specs("shot_noise", [5])
PGD, SQUARE, RANDOM = (
    attack_specs(name, [Eps.parse("8/255")], given={"steps": "3"} if name == "pgd" else None)[0]
    for name in ("pgd", "square", "noise")
)


def cell(perturbation=CLEAN, model=SDNET, lam=LOW, lam_attack=None, parents=()):
    attack = hasattr(perturbation, "eps")
    return Cell(
        model=model,
        data=DATA,
        perturbation=perturbation,
        lam=lam if model == SDNET else None,
        lam_attack=(lam_attack or lam) if attack and model == SDNET else None,
        parents=parents,
    )


def right(count, n=10, first=0):
    """`count` images from position `first` on are right, the others wrong."""
    return (np.arange(n) >= first) & (np.arange(n) < first + count)


def made_store(path, answers, residual=np.nan):
    """A store with `answers`, pairs of a cell and its (n,) bool, and the residual that all images have."""
    store = Store(f"sqlite:///{path}/made.db")
    store.add_cells({cell.id: cell for cell, _ in answers})
    finished = []
    for asked, given in answers:
        n = len(given)
        nothing = np.full(n, np.nan, np.float32)
        outcome = Outcome(
            ids=np.arange(n),
            right=np.asarray(given, bool),
            broken_at=np.where(given, -1, 0).astype(np.int32),
            margin=np.where(given, 1, -1).astype(np.float32),
            lam=nothing,
            residual=np.full(n, residual, np.float32),
            distance=nothing,
        )
        finished.append(Shard(asked.id, 0, n, outcome, {**COST, "precision": "float32"}))
    store.add_shards(finished)
    return store


def compared_records(path, answers):
    """The records of all comparisons of a store that was given answers."""
    with made_store(path, answers) as store:
        return [found.record() for found in comparisons(Snapshot.read(store))]
