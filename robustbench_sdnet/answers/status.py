"""What a store holds, in a few lines."""

from __future__ import annotations

from typing import Any

from ..store.store import Store
from .names import told_apart


def status(store: Store) -> list[dict[str, Any]]:
    """Per model, data set and kind of question, what is answered, under the names of reports.

    Returns:
        Rows of `model`, `data`, `kind`, `cells` (planned), `unfinished` (cells with fewer samples than a run asked
        for), `samples` (of the largest), `shards`, `last_finished` (UTC, or None).

    Raises:
        StoreError: a row is damaged; the first is named.
    """
    found = list(store.answered())
    cells = told_apart([stored.cell for stored in found])
    rows: dict[tuple[str, str, str], list[tuple[int, int, str | None, bool]]] = {}
    for stored, cell in zip(found, cells, strict=True):
        last = max((shard.finished_at for shard in stored.shards), default=None)
        of = cell.model.name, cell.data.label, cell.kind
        rows.setdefault(of, []).append((len(stored.shards), stored.samples, last, stored.unfinished))
    return [
        {
            "model": name,
            "data": label,
            "kind": kind,
            "cells": len(cells),
            "unfinished": sum(unfinished for *_, unfinished in cells),
            "samples": max(samples for _, samples, _, _ in cells),
            "shards": sum(shards for shards, _, _, _ in cells),
            "last_finished": max((last for _, _, last, _ in cells if last), default=None),
        }
        for (name, label, kind), cells in sorted(rows.items())
    ]
