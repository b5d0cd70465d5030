"""What a store holds, in a few lines."""

from __future__ import annotations

from typing import Any

from ..store.counting import Counted, counted
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
    found = [one for one in counted(store) if one.samples or one.unfinished]
    cells = told_apart([one.cell for one in found])
    rows: dict[tuple[str, str, str], list[Counted]] = {}
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
    """Whether a run asked for more of any cell than is answered."""
    return any(one.unfinished for one in counted(store))
