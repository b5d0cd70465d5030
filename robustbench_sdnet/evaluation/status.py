"""What a store holds, in a few lines."""

from __future__ import annotations

from typing import Any

from .store import Store


def status(store: Store) -> list[dict[str, Any]]:
    """Per model, data set and kind of question, what is answered.

    Returns:
        Rows of `model`, `data`, `kind`, `cells` (planned), `unfinished` (cells with fewer samples than the largest of
        their row), `samples` (of the largest), `shards`, `last_finished` (UTC, or None).
    """
    progress = store.progress()
    groups: dict[tuple[str, str, str], list[tuple[int, int, str | None]]] = {}
    for cell_id, cell in store.cells().items():
        key = (cell.model.name, cell.data.name, cell.kind)
        groups.setdefault(key, []).append(progress.get(cell_id, (0, 0, None)))
    found = []
    for (model, data, kind), cells in sorted(groups.items()):
        largest = max(samples for _, samples, _ in cells)
        found.append(
            {
                "model": model,
                "data": data,
                "kind": kind,
                "cells": len(cells),
                "unfinished": sum(samples < max(largest, 1) for _, samples, _ in cells),
                "samples": largest,
                "shards": sum(shards for shards, _, _ in cells),
                "last_finished": max((last for _, _, last in cells if last), default=None),
            }
        )
    return found
