"""The word beside an accuracy: may it be trusted? The one rule, for records and diagnostics alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..attacks.signs import stands_still
from ..specs import Cell
from ..store.store import Shard

FAIL, RAN = "fail", ("pass", "warn")


def trust(verdicts: Iterable[str]) -> str:
    """Untrusted after a fail, trusted after checks that ran, else unchecked."""
    found = set(verdicts)
    if FAIL in found:
        return "untrusted"
    return "trusted" if found.intersection(RAN) else "unchecked"


def first_gradients(shards: Iterable[Shard]) -> tuple[int, int]:
    """Samples whose first gradient an attack looked at, and those of them where it was zero or not finite."""
    costs = [shard.cost for shard in shards]
    gradients, silent = (sum(cost.get(key, 0) for cost in costs) for key in ("gradients", "silent"))
    return gradients, silent


def with_parents(cells: Iterable[Cell], signs: Mapping[str, tuple[int, int]]) -> dict[str, tuple[int, int]]:
    """Each cell's first gradients and those of every cell it goes on from: a chain's number is all its stages'.

    Args:
        signs: the cells' own, by id.
    """
    by_id = {cell.id: cell for cell in cells}
    found = {}
    for cell_id in by_id:
        lineage, waiting = set(), [cell_id]
        while waiting:
            here = waiting.pop()
            if here in by_id and here not in lineage:
                lineage.add(here)
                waiting.extend(by_id[here].parents)
        gradients, silent = zip(*(signs.get(here, (0, 0)) for here in lineage), strict=True)
        found[cell_id] = (sum(gradients), sum(silent))
    return found


def judged(checks: Sequence[Mapping[str, Any]], gradients: int, silent: int) -> str:
    """The word for a number: its stored diagnostics, and the free sign, which can only cast doubt.

    Args:
        checks: as the store keeps them; empty where none were asked for.
        gradients, silent: as `first_gradients` counts them.
    """
    free = ["fail"] if stands_still(gradients, silent) else []
    return trust([*(check["verdict"] for check in checks), *free])
