"""Look through a store for rows that do not read as they were written, and drop them so that they are answered anew."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from ..errors import StoreError
from ..specs import Cell, canonical
from .rows import Damage, Reader, refuse
from .schema import CELLS, IMAGES, SHARDS, VERDICTS, columns, each_row, rows, sealed, select
from .store import Store


def check(store: Store) -> dict[str, Cell]:
    """Look at every row; only those of versions that wrote no checksums are decoded, which takes long.

    Returns:
        Every recorded cell by id.

    Raises:
        StoreError: some are damaged; the first is named.
    """
    damages, cells = store.database.run("read", lambda connection: _look(connection, decoded=False))
    refuse(store.shown, damages, cells)
    return cells


def repair(store: Store) -> list[str]:
    """Drop damaged rows. What is dropped is answered anew by the command that asked for it.

    Of a cell whose question cannot be read the answers stay, and count again when it is asked again.

    Returns:
        A line for each row that was dropped.

    Raises:
        StoreError: a row is not found where it was read; then all stay.
    """

    def mend(connection: sa.Connection) -> list[str]:
        if connection.dialect.name == "sqlite":
            try:
                connection.exec_driver_sql("REINDEX")  # so that rows are found by the keys that they read now
            except IntegrityError as error:
                raise _beyond(store, "two of its rows have one key") from error
        damages, cells = _look(connection, decoded=True)
        for damage in reversed(damages):  # what points at a cell goes before it
            # Of a server's rows another driver may have dropped it meanwhile.
            if not _drop(connection, damage) and damage.rowid is not None:
                raise _beyond(store, damage.name(cells))
        return [damage.name(cells) for damage in damages]

    return store.database.run("write", mend)


def _beyond(store: Store, damage: str) -> StoreError:
    return StoreError(
        f"The store {store.shown} is damaged: {damage}. --repair cannot mend it: restore a copy, or name another "
        "--store."
    )


def _look(connection: sa.Connection, *, decoded: bool) -> tuple[list[Damage], dict[str, Cell]]:
    """The damaged rows of every table, and the cells that can be read, in order of ids; without `decoded` checksums are
    believed."""
    reader, present = Reader(), columns(connection)

    def query(table: sa.Table) -> sa.Select[Any]:
        every_row = select(table, present)
        if connection.dialect.name != "sqlite":
            return every_row
        return every_row.add_columns(sa.literal_column("rowid").label("rowid"))

    cells = {row["id"]: reader.cell(row) for row in rows(connection, query(CELLS))}
    with each_row(connection, query(SHARDS)) as shards:
        for row in shards:
            reader.shard(row, decoded)
    keys = sa.select(*SHARDS.primary_key).order_by(*SHARDS.primary_key)
    reader.note_overlaps((key.cell_id, key.start, key.stop) for key in connection.execute(keys))
    for row in rows(connection, query(VERDICTS)):
        reader.verdicts(row)
    sound = {cell_id: cell for cell_id in sorted(cells) if (cell := cells[cell_id]) is not None}
    return reader.damages, sound


def _drop(connection: sa.Connection, damage: Damage) -> int:
    """Drop a row; how many were found."""
    table, key = damage.table, damage.key
    this_row = [column == value for column, value in zip(table.primary_key, key, strict=True)]
    if damage.rowid is not None:
        this_row = [sa.literal_column("rowid") == damage.rowid]
    answers = [sa.select(of.c.cell_id).where(of.c.cell_id == key[0]) for of in (SHARDS, VERDICTS, IMAGES)]
    if table is CELLS and connection.scalar(sa.union_all(*answers).limit(1)) is not None:
        # What points at the cell stays, and so does the cell, without its question.
        row = sealed(CELLS, {"id": key[0], "spec": "", "parents": canonical([]), "asked": None})
        return connection.execute(sa.update(CELLS).where(*this_row).values(row)).rowcount
    return connection.execute(sa.delete(table).where(*this_row)).rowcount
