"""What a store holds, in a few lines."""

from __future__ import annotations

from typing import Any

from ..store.rows import Stored
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
    rows: dict[tuple[str, str, str], list[Stored]] = {}
    for stored, cell in zip(found, cells, strict=True):
        rows.setdefault((cell.model.name, cell.data.label, cell.kind), []).append(stored)
    return [
        {
            "model": name,
            "data": label,
            "kind": kind,
            "cells": len(same),
            "unfinished": sum(one.unfinished for one in same),
            "samples": max(one.samples for one in same),
            "shards": sum(len(one.shards) for one in same),
            "last_finished": max((part.finished_at for one in same for part in one.shards), default="")
            or None,
        }
        for (name, label, kind), same in sorted(rows.items())
    ]
