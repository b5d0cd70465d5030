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
    sizes = [dict(source.answered(_size)) for source in sources]
    best: dict[str, int] = {}
    asked: dict[str, int] = {}
    for number, size in enumerate(sizes):
        for cell_id, (samples, wanted) in size.items():
            if cell_id not in best or samples > sizes[best[cell_id]][cell_id][0]:
                best[cell_id] = number
            asked[cell_id] = max(wanted or 0, asked.get(cell_id, 0))
    for number, source in enumerate(sources):
        _copy(source, target, {cell_id for cell_id in best if best[cell_id] == number})
    cells = target.cells()
    for wanted in set(asked.values()) - {0}:
        target.add_cells({name: cell for name, cell in cells.items() if asked.get(name) == wanted}, wanted)
    for source in reversed(sources):  # of diagnostics that saw as many images the first store's stand
        for cell_id, checks in source.verdicts().items():
            target.add_verdicts(cell_id, checks)


def _size(stored: Stored) -> tuple[str, tuple[int, int | None]]:
    """A cell's id, how many samples are answered, and how many were asked for."""
    return stored.id, (stored.samples, stored.asked)
