"""A copy of a store, whatever database holds it, in a file."""

from __future__ import annotations

from pathlib import Path

from ..errors import StoreError
from ..store.store import Store, Stored
from .snapshot import url_of

AT_ONCE = 100_000  # about so many samples go into a transaction; a small cell counts as a hundred


def copy_store(store: str, path: Path) -> None:
    """Copy every cell, answer and verdict into an SQLite file; kept images stay where they are. Else a StoreError."""
    with Store(url_of(store), must_exist=True) as source, Store(f"sqlite:///{path}") as target:
        batch: list[Stored] = []

        def write() -> None:
            for asked in {stored.asked for stored in batch}:
                target.add_cells({one.id: one.cell for one in batch if one.asked == asked}, asked)
            target.add_shards([shard for stored in batch for shard in stored.shards])
            for one in batch:
                if one.verdicts is not None:
                    target.add_verdicts(one.id, one.verdicts)
            batch.clear()

        def copy(stored: Stored) -> None:
            batch.append(stored)
            if len(batch) * max(stored.samples, 100) >= AT_ONCE:
                write()

        source.answered(copy)
        write()
    behind = path.with_name(f"{path.name}-wal")
    if behind.exists():  # a full disk lets SQLite close a file without moving into it what was written last
        raise StoreError(
            f"Cannot write the store {path}: what was written last is still in {behind.name}. "
            "Free some space and run the same command again."
        )
