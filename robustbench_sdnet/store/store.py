"""The result store: every cell once, every shard whole, in one small schema on any SQLAlchemy database.

Only this module touches results on disk. A shard is written in one transaction or not at all, so killing the process
at any moment loses at most the shards in flight; the first writer of a shard wins, so two processes may share a store.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import groupby
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from ..errors import InputError, StoreError
from ..planning.plan import missing
from ..specs import DEFAULT_STORE, Cell, canonical
from .outcome import Outcome

SCHEMA_VERSION = 2
MANY = 10_000  # a query names no more cells than this, and reads them all where more are wanted

_METADATA = sa.MetaData()
_META = sa.Table(
    "meta",
    _METADATA,
    sa.Column("key", sa.String(32), primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)
_CELLS = sa.Table(
    "cells",
    _METADATA,
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("spec", sa.Text, nullable=False),
    sa.Column("parents", sa.Text, nullable=False),
    # The most samples that any run asked for; unknown of what was asked before schema 2.
    sa.Column("asked", sa.Integer, nullable=True),
)
_SHARDS = sa.Table(
    "shards",
    _METADATA,
    sa.Column("cell_id", sa.String(64), sa.ForeignKey("cells.id"), primary_key=True),
    sa.Column("start", sa.Integer, primary_key=True),
    sa.Column("stop", sa.Integer, primary_key=True),
    sa.Column("finished_at", sa.String(32), nullable=False),
    sa.Column("outcome", sa.LargeBinary, nullable=False),
    sa.Column("cost", sa.Text, nullable=False),
)

_VERDICTS = sa.Table(
    "verdicts",
    _METADATA,
    sa.Column("cell_id", sa.String(64), sa.ForeignKey("cells.id"), primary_key=True),
    sa.Column("checks", sa.Text, nullable=False),
)

# Migrations in code: MIGRATIONS[v] brings a store from schema version v to v + 1.
MIGRATIONS: Mapping[int, tuple[str, ...]] = {1: ("ALTER TABLE cells ADD COLUMN asked INTEGER",)}


@dataclass(frozen=True, eq=False)
class Shard:
    """A stored answer: a cell on the samples at positions start to stop."""

    start: int
    stop: int
    finished_at: str
    outcome: Outcome
    cost: dict[str, Any]

    def first(self, count: int) -> Shard:
        """Its first `count` samples, with their share of the cost."""
        if count >= len(self.outcome):
            return self
        cost = _scaled(self.cost, count / len(self.outcome))
        return replace(self, stop=self.start + count, outcome=self.outcome.cut(0, count), cost=cost)


@dataclass(frozen=True, eq=False)
class Stored:
    """Everything that is stored of a cell.

    Attributes:
        id: under which the cell is stored.
        asked: the most samples that any run asked for; None where that was not written down.
        shards: in order of samples, decoded; empty where nothing is answered yet.
        verdicts: the diagnostics of an attack, as `add_verdicts` took them; None where none were run.
    """

    id: str
    cell: Cell
    asked: int | None
    shards: tuple[Shard, ...]
    verdicts: list[dict[str, Any]] | None


class Store:
    """Cells and shards of one database.

    Args:
        url: an SQLAlchemy URL; `sqlite:///FILE` or `postgresql+psycopg://...`.
        must_exist: refuse to create a new store (for reports and status).

    Raises:
        InputError: not a URL of a known database.
        StoreError: the database cannot be opened, is damaged, or was written by a newer version.
    """

    def __init__(self, url: str = DEFAULT_STORE, *, must_exist: bool = False) -> None:
        try:
            self.url = make_url(url)
            self.path = _sqlite_path(self.url)
            if must_exist and self.path is not None and not self.path.exists():
                raise StoreError(
                    f"No results yet: {self.path} does not exist. "
                    "Run 'sdnet-bench corrupt' or 'sdnet-bench attack' first."
                )
            self._engine = sa.create_engine(self.url)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise InputError(f"Not a store: '{url}' ({_first_line(error)}). Write sqlite:///FILE.") from None
        if self.path is not None:
            _make_folder(self.path.parent)
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
        with self._guard("open"):
            self._create_or_migrate()

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def images_folder(self) -> Path:
        """Where perturbed images that later cells need are kept: beside an SQLite store, else under runs/."""
        return self.path.with_suffix(".images") if self.path else Path("runs") / "results.images"

    @property
    def fits_folder(self) -> Path:
        """Where fitted lambda policies are kept, with their data and pictures."""
        return self.images_folder.with_suffix(".fits")

    def add_cells(self, cells: Mapping[str, Cell], asked: int | None = None) -> None:
        """Record cells by id; those already there keep their answers and take the names they have now.

        Args:
            asked: how many samples this run wants of each.
        """
        columns = (_CELLS.c.id, _CELLS.c.spec, _CELLS.c.asked)
        with self._guard("write"), self._writing() as connection:
            known = {row.id: row for row in connection.execute(sa.select(*columns))}
            for cell_id, cell in cells.items():
                spec = cell.to_json()
                if cell_id not in known:
                    row = {"id": cell_id, "spec": spec, "parents": canonical(cell.parents), "asked": asked}
                    _insert_once(connection, _CELLS, row)
                    continue
                before = known[cell_id]
                changes: dict[str, str | int] = {}
                if before.spec != spec and not _stage_of_standalone(before.spec, cell):
                    changes["spec"] = spec
                if asked is not None and asked > (before.asked or 0):
                    changes["asked"] = asked
                if changes:
                    connection.execute(sa.update(_CELLS).where(_CELLS.c.id == cell_id).values(**changes))

    def add_shard(
        self, cell_id: str, start: int, stop: int, outcome: Outcome, cost: Mapping[str, Any]
    ) -> None:
        """Store a shard, whole; positions that are already there stay as they are, so shards never overlap."""
        with self._guard("write"), self._writing() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("LOCK TABLE shards IN SHARE ROW EXCLUSIVE MODE"))
            where = _SHARDS.c.cell_id == cell_id
            stored = [
                tuple(row)
                for row in connection.execute(sa.select(_SHARDS.c.start, _SHARDS.c.stop).where(where))
            ]
            for low, high in missing((start, stop), stored):
                share = (high - low) / (stop - start)
                row = {
                    "cell_id": cell_id,
                    "start": low,
                    "stop": high,
                    "finished_at": datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
                    "outcome": outcome.cut(low - start, high - start).encode(),
                    "cost": canonical(cost if share == 1 else _scaled(cost, share)),
                }
                _insert_once(connection, _SHARDS, row)

    def add_verdicts(self, cell_id: str, checks: Sequence[Mapping[str, Any]]) -> None:
        """Store the diagnostics of an attack's cell; newer ones replace older ones."""
        with self._guard("write"), self._writing() as connection:
            connection.execute(sa.delete(_VERDICTS).where(_VERDICTS.c.cell_id == cell_id))
            connection.execute(sa.insert(_VERDICTS).values(cell_id=cell_id, checks=canonical(list(checks))))

    def verdicts(self) -> dict[str, list[dict[str, Any]]]:
        """The diagnostics of every cell that has some."""
        with self._guard("read"), self._engine.connect() as connection:
            rows = connection.execute(sa.select(_VERDICTS)).all()
        return {row.cell_id: json.loads(row.checks) for row in rows}

    def answered(self, only: Collection[str] | None = None) -> Iterator[Stored]:
        """Every recorded cell with all that is stored of it, in order of ids, each shard decoded once.

        One transaction, so that what it yields fits together while others write.

        Args:
            only: ids of the cells that are wanted; None for all.
        """
        by_id = sa.select(_CELLS).order_by(_CELLS.c.id)
        by_range = sa.select(_SHARDS).order_by(*_SHARDS.primary_key)
        if only is not None and len(only) < MANY:
            by_id, by_range = by_id.where(_CELLS.c.id.in_(only)), by_range.where(_SHARDS.c.cell_id.in_(only))
        with self._guard("read"), self._engine.connect() as connection, connection.begin():
            verdicts = {
                row.cell_id: json.loads(row.checks) for row in connection.execute(sa.select(_VERDICTS))
            }
            cells = connection.execute(by_id).all()
            shards = {
                key: list(rows)
                for key, rows in groupby(connection.execute(by_range), lambda row: row.cell_id)
            }
        for row in cells:
            if only is None or row.id in only:
                decoded = tuple(map(_shard, shards.get(row.id, ())))
                yield Stored(row.id, Cell.from_json(row.spec), row.asked, decoded, verdicts.get(row.id))

    def ranges(self) -> dict[str, list[tuple[int, int]]]:
        """The stored (start, stop) of every cell, in order."""
        query = sa.select(_SHARDS.c.cell_id, _SHARDS.c.start, _SHARDS.c.stop).order_by(*_SHARDS.primary_key)
        found: dict[str, list[tuple[int, int]]] = {}
        with self._guard("read"), self._engine.connect() as connection:
            for cell_id, start, stop in connection.execute(query):
                found.setdefault(cell_id, []).append((start, stop))
        return found

    def progress(self) -> dict[str, tuple[int, int, str | None]]:
        """Per cell with answers: shards, samples, and when the last shard was finished."""
        shards = _SHARDS.c
        query = sa.select(
            shards.cell_id,
            sa.func.count(),
            sa.func.sum(shards.stop - shards.start),
            sa.func.max(shards.finished_at),
        ).group_by(shards.cell_id)
        with self._guard("read"), self._engine.connect() as connection:
            return {
                cell_id: (count, samples, last) for cell_id, count, samples, last in connection.execute(query)
            }

    def asked(self) -> dict[str, int | None]:
        """Per recorded cell the most samples that any run asked for; None where that was not written down."""
        with self._guard("read"), self._engine.connect() as connection:
            rows = connection.execute(sa.select(_CELLS.c.id, _CELLS.c.asked)).all()
        return {cell_id: asked for cell_id, asked in rows}

    def cells(self) -> dict[str, Cell]:
        """Every recorded cell by id."""
        with self._guard("read"), self._engine.connect() as connection:
            rows = connection.execute(sa.select(_CELLS.c.id, _CELLS.c.spec).order_by(_CELLS.c.id)).all()
        return {cell_id: Cell.from_json(spec) for cell_id, spec in rows}

    def shards(self, cell_id: str, limit: int | None = None) -> Iterator[Shard]:
        """The stored shards of a cell, in order of samples; of its first `limit` samples alone, where given."""
        query = (
            sa.select(_SHARDS).where(_SHARDS.c.cell_id == cell_id).order_by(_SHARDS.c.start, _SHARDS.c.stop)
        )
        with self._guard("read"), self._engine.connect() as connection:
            rows = connection.execute(query).all()
        for row in rows:
            stop = row.stop if limit is None else min(row.stop, limit)
            if stop <= row.start:
                return
            yield _shard(row).first(stop - row.start)

    def outcome(self, cell_id: str, start: int = 0, stop: int | None = None) -> Outcome | None:
        """What is stored of a cell between two positions, or None where nothing is."""
        parts = []
        for shard in self.shards(cell_id):
            low, high = max(start, shard.start), shard.stop if stop is None else min(stop, shard.stop)
            if low < high:
                parts.append(shard.outcome.cut(low - shard.start, high - shard.start))
        return Outcome.join(parts) if parts else None

    @contextmanager
    def _writing(self) -> Iterator[sa.Connection]:
        """A transaction that holds the write lock from its start, so that what it reads stays true."""
        with self._engine.connect().execution_options(immediate=True) as connection, connection.begin():
            yield connection

    def _create_or_migrate(self) -> None:
        with self._writing() as connection:
            _METADATA.create_all(connection)
            _insert_once(connection, _META, {"key": "schema", "value": str(SCHEMA_VERSION)})
            found = int(connection.scalar(sa.select(_META.c.value).where(_META.c.key == "schema")) or 0)
            if found > SCHEMA_VERSION:
                raise StoreError(
                    f"The store {self.url.render_as_string()} has schema {found}, this version reads up to "
                    f"{SCHEMA_VERSION}. Upgrade robustbench-sdnet."
                )
            for version in range(found, SCHEMA_VERSION):
                for statement in MIGRATIONS[version]:
                    connection.execute(sa.text(statement))
            connection.execute(
                sa.update(_META).where(_META.c.key == "schema").values(value=str(SCHEMA_VERSION))
            )

    @contextmanager
    def _guard(self, verb: str) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            reason = _first_line(error.orig or error)
            raise StoreError(
                f"Cannot {verb} the store {self.url.render_as_string()}: {reason}. "
                "Finished shards are safe; check the disk and the permissions, then run the same command again."
            ) from None
        except SQLAlchemyError as error:
            raise StoreError(
                f"Cannot {verb} the store {self.url.render_as_string()}: {_first_line(error)}."
            ) from None


def _shard(row: Any) -> Shard:
    return Shard(row.start, row.stop, row.finished_at, Outcome.decode(row.outcome), json.loads(row.cost))


def _insert_once(connection: sa.Connection, table: sa.Table, row: Mapping[str, Any]) -> None:
    """Insert, unless the primary key is there already."""
    if connection.dialect.name == "postgresql":
        from sqlalchemy.dialects.postgresql import insert as postgresql_insert

        connection.execute(postgresql_insert(table).values(row).on_conflict_do_nothing())
    else:
        connection.execute(sa.insert(table).prefix_with("OR IGNORE", dialect="sqlite").values(row))


def _stage_of_standalone(known: str, cell: Cell) -> bool:
    """Whether a chain's stage is an attack that was also asked for alone, whose name it must not take."""
    chain = getattr(cell.perturbation, "chain", "")
    return bool(chain) and not getattr(Cell.from_json(known).perturbation, "chain", "")


def _sqlite_path(url: sa.URL) -> Path | None:
    if url.get_backend_name() != "sqlite":
        return None
    if not url.database or url.database == ":memory:":
        raise InputError("A store must be a file: write sqlite:///runs/results.db.")
    return Path(url.database)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StoreError(f"Cannot create the folder {folder} of the store: {error.strerror}.") from None


def _prepare_sqlite(connection: Any, _: object) -> None:
    """WAL lets reports read while shards are written; FULL makes a finished shard survive a power cut."""
    connection.isolation_level = (
        None  # transactions begin where `_begin_sqlite` says, not where the driver guesses
    )
    cursor = connection.cursor()
    cursor.execute("PRAGMA busy_timeout=60000")
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql(
        "BEGIN IMMEDIATE" if connection.get_execution_options().get("immediate") else "BEGIN"
    )


def _scaled(cost: Mapping[str, Any], share: float) -> dict[str, Any]:
    counted = ("forwards", "backwards", "gradients", "silent", "seconds")
    return {key: type(value)(value * share) if key in counted else value for key, value in cost.items()}


def _first_line(error: object) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
