"""What a store holds, in a few lines."""

from __future__ import annotations

from typing import Any

from ..specs import ModelSpec
from ..store.store import Store
from .snapshot import marks, told


def status(store: Store) -> list[dict[str, Any]]:
    """Per model, data set and kind of question, what is answered; those of one name are told apart as in reports.

    Returns:
        Rows of `model`, `data`, `kind`, `cells` (planned), `unfinished` (cells with fewer samples than a run asked
        for), `samples` (of the largest), `shards`, `last_finished` (UTC, or None).

    Raises:
        StoreError: a row is damaged; the first is named.
    """
    groups: dict[tuple[ModelSpec, tuple[str, str], str], list[tuple[int, int, str | None, bool]]] = {}
    for stored in store.answered():
        samples = sum(len(shard.outcome) for shard in stored.shards)
        last = max((shard.finished_at for shard in stored.shards), default=None)
        # Of what older versions asked, only cells without any answer are known to be unfinished.
        unfinished = samples < (stored.asked or 1)
        model, data = stored.cell.model, stored.cell.data
        key = (model, (data.label, data.content), stored.cell.kind)
        groups.setdefault(key, []).append((len(stored.shards), samples, last, unfinished))
    models = told(model for (model, _, _), cells in groups.items() for _ in cells)
    sets = marks(one for _, one, _ in groups)
    rows: dict[tuple[str, str, str], list[tuple[int, int, str | None, bool]]] = {}
    for (model, one, kind), cells in groups.items():
        rows.setdefault((models[model.key].name, one[0] + sets[one], kind), []).extend(cells)
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
