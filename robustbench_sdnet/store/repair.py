"""Look through a store for rows that do not read as they were written, and drop them so that they are answered anew."""

from __future__ import annotations

import sqlalchemy as sa

from ..specs import Cell, canonical
from .rows import Damage, Reader, refuse
from .schema import CELLS, SHARDS, VERDICTS, columns, rows, sealed, select
from .store import Store

NO_TEXT = "\ufffd"  # what SQLite's bytes that are no text are read as


def check(store: Store) -> list[str]:
    """Look at every row, decoding only those of versions that wrote no checksums.

    Returns:
        Nothing, as `repair` of a sound store.

    Raises:
        StoreError: some are damaged; the first is named.
    """
    damages, cells = store.database.run("read", _look)
    refuse(store.shown, damages, cells)
    return []


def repair(store: Store) -> list[str]:
    """Drop damaged rows. What is dropped is answered anew by the command that asked for it.

    Of a cell whose question cannot be read the answers stay, and count again when it is asked again.

    Returns:
        A line for each row that was dropped.
    """

    def mend(connection: sa.Connection) -> list[str]:
        if connection.dialect.name == "sqlite":
            connection.exec_driver_sql("REINDEX")  # so that rows are found by the keys that they read now
        damages, cells = _look(connection)
        for damage in damages:
            _drop(connection, damage)
        return [damage.name(cells) for damage in damages]

    return store.database.run("write", mend)


def _look(connection: sa.Connection) -> tuple[list[Damage], dict[str, Cell]]:
    """The damaged rows of every table, and the cells that can be read."""
    reader, present = Reader(), columns(connection)
    known, cells = set(), {}
    for row in rows(connection, select(CELLS, present)):
        known.add(row["id"])
        cell = reader.cell(row)
        if cell is not None:
            cells[row["id"]] = cell
    for row in rows(connection, select(SHARDS, present)):
        reader.shard(row, decoded=False)
    for row in rows(connection, select(VERDICTS, present)):
        reader.verdicts(row)
    return reader.damages, cells


def _drop(connection: sa.Connection, damage: Damage) -> None:
    table, key = damage.table, damage.key
    where = sa.and_(*(column == value for column, value in zip(table.primary_key, key, strict=True)))
    if connection.dialect.name == "sqlite":
        # Bytes that are no text are read as others, by which no row is found.
        number: sa.ColumnElement[int] = sa.literal_column("rowid")
        held = connection.execute(sa.select(number, *table.primary_key).select_from(table))
        where = number.in_([row[0] for row in held if tuple(row[1:]) == tuple(key)])
    if table is not CELLS or NO_TEXT in key[0]:  # an id that nothing points at any more
        connection.execute(sa.delete(table).where(where))
        return
    # The cell's shards point at it: it stays, without its question.
    row = sealed(CELLS, {"id": key[0], "spec": "", "parents": canonical([]), "asked": None})
    connection.execute(sa.update(CELLS).where(where).values(row))
