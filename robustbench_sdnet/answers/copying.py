"""One copy of stores, whatever databases hold them, in a file."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import ExitStack
from pathlib import Path

from ..errors import StoreError
from ..store.store import Store, Stored
from .snapshot import url_of

AT_ONCE = 100_000  # about so many samples go into a transaction; a small cell counts as a hundred


def copy_stores(stores: Sequence[str], path: Path) -> None:
    """Copy every cell, answer and verdict into an SQLite file; kept images and fits stay where they are.

    Of a cell that several stores hold, the answer is copied that stands in a report of them all: see `Snapshot.joined`.

    Raises:
        StoreError: a store cannot be read, or the file cannot be written.
    """
    with ExitStack() as opened:
        sources = [opened.enter_context(Store(url_of(store), must_exist=True)) for store in stores]
        target = opened.enter_context(Store(f"sqlite:///{path}"))
        if len(sources) == 1:
            _copy(sources[0], target, None)
        else:
            _unite(sources, target)
    behind = path.with_name(f"{path.name}-wal")
    if behind.exists():  # a full disk lets SQLite close a file without moving into it what was written last
        raise StoreError(
            f"Cannot write the store {path}: what was written last is still in {behind.name}. "
            "Free some space and run the same command again."
        )


def _copy(source: Store, target: Store, only: Collection[str] | None) -> None:
    """Copy the cells of some ids, or all, with their answers and verdicts."""
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

    source.answered(copy, only)
    write()


def _unite(sources: Sequence[Store], target: Store) -> None:
    """Copy every cell from the store that answers it on most images, of equals from the first."""
    best: dict[str, Store] = {}
    answered: dict[str, int] = {}
    for source in sources:
        ranges = source.ranges()
        for cell_id in source.cells():
            samples = sum(stop - start for start, stop in ranges.get(cell_id, ()))
            if samples > answered.get(cell_id, -1):
                best[cell_id], answered[cell_id] = source, samples
    for source in sources:
        _copy(source, target, {cell_id for cell_id in best if best[cell_id] is source})
    cells = target.cells()
    for source in reversed(sources):  # of diagnostics that saw as many images the first store's stand
        others = {cell_id for cell_id in best if best[cell_id] is not source}
        asked = {cell_id: n for cell_id, n in source.asked().items() if cell_id in others}
        for count in set(asked.values()):
            target.add_cells({cell_id: cells[cell_id] for cell_id in asked if asked[cell_id] == count}, count)
        for cell_id, checks in source.verdicts().items():
            target.add_verdicts(cell_id, checks)
