"""What a store holds, in a few lines."""

from __future__ import annotations

from typing import Any

from ..store.store import Store
from .snapshot import marks


def status(store: Store) -> list[dict[str, Any]]:
    """Per model, data set and kind of question, what is answered; those of one name have the start of their hash.

    Returns:
        Rows of `model`, `data`, `kind`, `cells` (planned), `unfinished` (cells with fewer samples than a run asked
        for), `samples` (of the largest), `shards`, `last_finished` (UTC, or None).

    Raises:
        StoreError: a row is damaged; the first is named.
    """
    groups: dict[tuple[tuple[str, str], tuple[str, str], str], list[tuple[int, int, str | None, bool]]] = {}
    for stored in store.answered():
        samples = sum(len(shard.outcome) for shard in stored.shards)
        last = max((shard.finished_at for shard in stored.shards), default=None)
        # Of what older versions asked, only cells without any answer are known to be unfinished.
        unfinished = samples < (stored.asked or 1)
        model, data = stored.cell.model, stored.cell.data
        key = ((model.name, model.weights), (data.label, data.content), stored.cell.kind)
        groups.setdefault(key, []).append((len(stored.shards), samples, last, unfinished))
    models, sets = marks(model for model, _, _ in groups), marks(data for _, data, _ in groups)
    return [
        {
            "model": model[0] + models[model],
            "data": data[0] + sets[data],
            "kind": kind,
            "cells": len(cells),
            "unfinished": sum(unfinished for *_, unfinished in cells),
            "samples": max(samples for _, samples, _, _ in cells),
            "shards": sum(shards for shards, _, _, _ in cells),
            "last_finished": max((last for _, _, last, _ in cells if last), default=None),
        }
        for (model, data, kind), cells in sorted(groups.items())
    ]
