"""The tables of a store, the checksum of their rows, and how a store of an older version becomes one of this.

Version 1 had no `asked`; 1 and 2 had no checksums and no images. A row without a checksum is taken where it reads
soundly; every row that this version writes carries one.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pkgutil import resolve_name
from typing import Any, cast

import sqlalchemy as sa

from ..errors import StoreError
from .database import nothing_at

SCHEMA_VERSION = 3

METADATA = sa.MetaData()
META = sa.Table(
    "meta",
    METADATA,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
CELLS = sa.Table(
    "cells",
    METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("spec", sa.Text, nullable=False),
    sa.Column("parents", sa.Text, nullable=False),
    # The most samples that any run asked for; unknown of what was asked before schema 2.
    sa.Column("asked", sa.Integer, nullable=True),
    sa.Column("checksum", sa.String(64), nullable=True),
)


def _ranged(name: str, *columns: sa.Column[Any]) -> sa.Table:
    """A table of what is known of a cell on the samples at positions start to stop."""
    return sa.Table(
        name,
        METADATA,
        sa.Column("cell_id", sa.String(64), sa.ForeignKey("cells.id"), primary_key=True),
        sa.Column("start", sa.Integer, primary_key=True),
        sa.Column("stop", sa.Integer, primary_key=True),
        *columns,
        sa.Column("checksum", sa.String(64), nullable=True),
    )


SHARDS = _ranged(
    "shards",
    sa.Column("finished_at", sa.String(32), nullable=False),
    sa.Column("outcome", sa.LargeBinary, nullable=False),
    sa.Column("cost", sa.Text, nullable=False),
)
# Perturbed images, where the drivers of a store share no disk.
IMAGES = _ranged("images", sa.Column("images", sa.LargeBinary, nullable=False))
VERDICTS = sa.Table(
    "verdicts",
    METADATA,
    sa.Column("cell_id", sa.String(64), sa.ForeignKey("cells.id"), primary_key=True),
    sa.Column("checks", sa.Text, nullable=False),
    sa.Column("checksum", sa.String(64), nullable=True),
)
_LOCK = 7_362_153  # of PostgreSQL's advisory locks, so that two drivers do not make the same table at once


@lru_cache
def _column_names(table: sa.Table) -> tuple[str, ...]:
    return tuple(column.name for column in table.columns)


def checksum(table: sa.Table, row: Mapping[str, Any]) -> str:
    """The SHA-256 of everything else in a row, types and lengths included."""
    digest = hashlib.sha256()
    for name in _column_names(table):
        if name != "checksum":
            value = row[name]
            raw = value if isinstance(value, bytes) else repr(value).encode(errors="backslashreplace")
            digest.update(b"%d:%b;" % (len(raw), raw))
    return digest.hexdigest()


def sealed(table: sa.Table, row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its checksum."""
    return {**row, "checksum": checksum(table, row)}


def alone(connection: sa.Connection, table: sa.Table) -> None:
    """Let nobody else write to a table until the transaction ends, so that what is read of it stays true.

    An SQLite file has one writer at a time; on PostgreSQL, transactions lock one table each, never in a circle.
    """
    if connection.dialect.name == "postgresql":
        connection.execute(sa.text(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE"))


def insert_once(connection: sa.Connection, table: sa.Table, *rows: Mapping[str, Any]) -> None:
    """Insert rows with their checksums, but for those whose primary key is there already."""
    if rows:
        insert = resolve_name(f"sqlalchemy.dialects.{connection.dialect.name}:insert")
        connection.execute(insert(table).on_conflict_do_nothing(), [sealed(table, row) for row in rows])


def select(table: sa.Table, present: Mapping[str, set[str]]) -> sa.Select[Any]:
    """All of a table as it lies there, NULL for columns that are not `present`, in an older version."""
    names = present.get(table.name, ())
    values = []
    for column in table.columns:
        value = sa.type_coerce(column, sa.types.NullType) if column.name in names else sa.null()
        values.append(value.label(column.name))
    return cast("sa.Select[Any]", sa.select(*values).select_from(table))


def rows(connection: sa.Connection, query: sa.Select[Any]) -> list[dict[str, Any]]:
    """The rows of a query, each by its columns' names."""
    return list(_named(connection.execute(query)))


@contextmanager
def each_row(connection: sa.Connection, query: sa.Select[Any]) -> Iterator[Iterator[dict[str, Any]]]:
    """The same one after the other, where all would take too much memory; a server sends a few at a time."""
    few = {"stream_results": True, "max_row_buffer": 50}
    with connection.execute(query, execution_options=few) as result:
        yield _named(result)


def _named(result: sa.CursorResult[Any]) -> Iterator[dict[str, Any]]:
    names = list(map(str, result.keys()))
    for row in result:
        yield dict(zip(names, row, strict=True))


def columns(connection: sa.Connection) -> dict[str, set[str]]:
    """The columns of every table of this schema that a store has."""
    inspector = sa.inspect(connection)
    tables = set(inspector.get_table_names()) & METADATA.tables.keys()
    return {name: {column["name"] for column in inspector.get_columns(name)} for name in tables}


def opened(connection: sa.Connection, shown: str, read_only: bool, repair: bool) -> dict[str, set[str]]:
    """Make a store ready, or where nothing may be written look whether it is one.

    Tables of other programs are never changed. A file that holds some is theirs; a schema of PostgreSQL may be shared.

    Args:
        shown: the store's URL, for messages.
        repair: write the version anew where it is no number.

    Returns:
        What `columns` does.

    Raises:
        StoreError: there is no store, a newer version wrote it, its version is damaged, or a table of one of its names
            has not its columns.
    """
    is_postgresql = connection.dialect.name == "postgresql"
    if is_postgresql and not read_only:
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    present = columns(connection)
    ours = _ours(connection, present)
    if len(ours) < 2:
        all_tables = sa.inspect(connection).get_table_names()
        if present or (all_tables and (read_only or not is_postgresql)):
            raise StoreError(f"{shown} is a database of other tables, not a store.")
        if read_only:
            raise StoreError(nothing_at(shown, "is empty"))
    version = None
    if META.name in ours:  # before its tables, which a newer version may have changed
        version = _version(connection)
        _check_version(version, shown, repair)
    if foreign := present.keys() - ours:
        raise StoreError(
            f"The store {shown} is damaged, or shares its database with a table '{min(foreign)}' of another program. "
            "Restore a copy, or name another --store."
        )
    if read_only:
        _check_whole(shown, ours)
        return present
    _create_or_migrate(connection, version)
    return columns(connection)


def _ours(connection: sa.Connection, present: Iterable[str]) -> set[str]:
    """Those of the tables that are a store's, of whatever version: others may have tables of the same names."""
    inspector, ours = sa.inspect(connection), set()
    for name in present:
        not_null = {column["name"] for column in inspector.get_columns(name) if not column["nullable"]}
        if {column.name for column in METADATA.tables[name].columns if not column.nullable} <= not_null:
            ours.add(name)
    return ours


def _check_whole(shown: str, ours: set[str]) -> None:
    """Refuse a store without a table that all versions have."""
    if lost := {META.name, CELLS.name, SHARDS.name, VERDICTS.name} - ours:
        raise StoreError(
            f"The store {shown} is damaged: its table '{min(lost)}' is missing. 'corrupt', 'attack' or 'study' makes "
            "it anew, and what it held is computed again."
        )


def _create_or_migrate(connection: sa.Connection, version: Any) -> None:
    """Make the tables, or add to a store of an older version, as it says, what it lacks."""
    METADATA.create_all(connection)
    present = columns(connection)
    for table in METADATA.tables.values():
        for column in table.columns:
            if column.name not in present[table.name]:
                kind = column.type.compile(connection.dialect)
                connection.execute(sa.text(f"ALTER TABLE {table.name} ADD COLUMN {column.name} {kind}"))
    if version != str(SCHEMA_VERSION):
        connection.execute(sa.delete(META))
        connection.execute(sa.insert(META).values(key="schema", value=str(SCHEMA_VERSION)))


def _version(connection: sa.Connection) -> Any:
    """What the store says its version is, found without the index, which may be damaged."""
    return {row["key"]: row["value"] for row in rows(connection, sa.select(META))}.get("schema")


def _check_version(version: Any, shown: str, repair: bool) -> None:
    """Refuse a store that a newer version wrote, or whose version cannot be read and is not to be written anew."""
    if not (isinstance(version, str) and re.fullmatch(r"[1-9]\d{0,5}", version, re.ASCII)):
        if repair:
            return
        raise StoreError(
            f"The store {shown} is damaged: its schema reads {version!r:.40}. "
            "'corrupt', 'attack' or 'study' with --repair repairs it."
        )
    if int(version) > SCHEMA_VERSION:
        raise StoreError(
            f"The store {shown} has schema {version}, but this version reads up to {SCHEMA_VERSION}. "
            "Upgrade robustbench-sdnet."
        )
