"""How far every cell of a store has come, without its answers."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from ..specs import Cell
from .rows import Reader, is_unfinished, refuse
from .schema import CELLS, SHARDS, VERDICTS, columns, each_row, rows, select
from .store import Store

Finished = tuple[int, int, str]
"""Start and stop of a shard, and when it was stored."""


@dataclass(frozen=True)
class Counted:
    """How far a cell has come.

    Attributes:
        samples, shards: how many are answered.
        last_finished: when the last of them was; empty where none is.
        unfinished: whether fewer are answered than a run asked for, see `rows.is_unfinished`.
    """

    cell: Cell
    samples: int
    shards: int
    last_finished: str
    unfinished: bool


def counted(store: Store) -> list[Counted]:
    """Every recorded cell in order of ids, as one transaction sees them.

    Checksums are believed: only answers of versions that wrote none are decoded, which takes long.

    Raises:
        StoreError: a row is damaged; the first is named.
    """

    def read(connection: sa.Connection) -> list[Counted]:
        reader, present = Reader(), columns(connection)
        for row in rows(connection, select(VERDICTS, present)):
            reader.verdicts(row)
        recorded = rows(connection, select(CELLS, present).order_by(CELLS.c.id))
        cells = {row["id"]: reader.cell(row) for row in recorded}
        finished: dict[str, list[Finished]] = {}
        with each_row(connection, select(SHARDS, present).order_by(*SHARDS.primary_key)) as shards:
            for row in shards:
                reader.shard(row, decoded=False)
                ranges = finished.setdefault(row["cell_id"], [])
                ranges.append((row["start"], row["stop"], row["finished_at"]))
        reader.note_overlaps(
            (cell_id, start, stop) for cell_id, ranges in finished.items() for start, stop, _ in ranges
        )
        refuse(store.shown, reader.damages, cells)
        return [
            _counted(cell, row["asked"], finished.get(row["id"], []))
            for row in recorded
            if (cell := cells[row["id"]]) is not None
        ]

    return store.database.run("read", read)


def _counted(cell: Cell, asked: int | None, finished: list[Finished]) -> Counted:
    samples = sum(stop - start for start, stop, _ in finished)
    last = max((at for *_, at in finished), default="")
    return Counted(cell, samples, len(finished), last, is_unfinished(cell, asked, samples))
