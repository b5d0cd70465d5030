"""A store as one file to send on."""

from __future__ import annotations

from pathlib import Path

from ..store.store import Store
from .snapshot import url_of


def copy_store(store: str, path: Path) -> None:
    """Copy every cell, answer and verdict into an SQLite file; kept images stay where they are. Else a StoreError."""
    with Store(url_of(store), must_exist=True) as source, Store(f"sqlite:///{path}") as target:
        for stored in source.answered():
            target.add_cells({stored.id: stored.cell}, stored.asked)
            for shard in stored.shards:
                target.add_shard(stored.id, shard.start, shard.stop, shard.outcome, shard.cost)
            if stored.verdicts is not None:
                target.add_verdicts(stored.id, stored.verdicts)
