"""What a store holds, in a few lines."""

from __future__ import annotations

from typing import Any

from ..store.rows import Stored, is_unfinished
from ..store.store import Store
from .names import told_apart


def status(store: Store) -> list[dict[str, Any]]:
    """Per model, data set and kind of question, what is answered, under the names of reports.

    Returns:
        Rows of `model`, `data`, `kind`, `cells` (answered or asked), `unfinished` (cells with fewer samples than a run
        asked for), `samples` (of the largest), `shards`, `last_finished` (UTC, or None).

    Raises:
        StoreError: a row is damaged; the first is named.
    """
    found = [counted for counted in store.answered(_Counted) if counted.samples or counted.unfinished]
    cells = told_apart([one.cell for one in found])
    rows: dict[tuple[str, str, str], list[_Counted]] = {}
    for one, cell in zip(found, cells, strict=True):
        rows.setdefault((cell.model.name, cell.data.label, cell.kind), []).append(one)
    return [
        {
            "model": name,
            "data": label,
            "kind": kind,
            "cells": len(same),
            "unfinished": sum(one.unfinished for one in same),
            "samples": max(one.samples for one in same),
            "shards": sum(one.shards for one in same),
            "last_finished": max(one.last_finished for one in same) or None,
        }
        for (name, label, kind), same in sorted(rows.items())
    ]


def has_unfinished(store: Store) -> bool:
    """Whether a run asked for more of any cell than is answered; no answer is decoded."""
    asked, ranges = store.asked(), store.ranges()
    return any(
        is_unfinished(cell, asked.get(cell_id), sum(stop - start for start, stop in ranges.get(cell_id, ())))
        for cell_id, cell in store.cells().items()
    )


class _Counted:
    """How far a cell has come, without its answers."""

    def __init__(self, stored: Stored) -> None:
        self.cell, self.unfinished, self.samples = stored.cell, stored.unfinished, stored.samples
        self.shards = len(stored.shards)
        self.last_finished = max((shard.finished_at for shard in stored.shards), default="")
