"""The result store: every cell once, every shard whole, in one small schema on SQLite or PostgreSQL.

A shard is written in one transaction or not at all, so killing the process at any moment loses at most the shards in
flight; the first writer of a shard wins, so two processes may share a store. Every row carries a checksum: what does
not read as it was written is named, never returned.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import sqlalchemy as sa

from ..planning.chains import chain_of
from ..planning.costs import missing
from ..specs import DEFAULT_STORE, Cell, canonical
from .database import PATIENCE, Database
from .fits import Fits
from .images import ImageFolder, ImageTable, KeptImages
from .outcome import Outcome
from .rows import Reader, Row, Shard, Stored, is_unfinished, refuse, united
from .schema import CELLS, SHARDS, VERDICTS, alone, each_row, insert_once, opened, rows, sealed, select

__all__ = ["Shard", "Store", "Stored"]

T = TypeVar("T")

MANY = 10_000  # a query names no more cells than this, and reads them all where more are wanted


class Store:
    """Cells and shards of one database.

    Args:
        url: `sqlite:///FILE` or `postgresql+psycopg://USER@HOST/NAME`.
        must_exist: read what is there and write nothing (for reports and status).
        repair: mend a version that cannot be read; for rows see `repair.repair`.
        patience: how many seconds to wait for a PostgreSQL server that went away in between.

    Attributes:
        shown: the URL as messages print it, without any password.
        path: the file of an SQLite store; None for PostgreSQL.

    Raises:
        InputError: not a URL of a known database.
        StoreError: the database cannot be opened, is damaged, or was written by a newer version.
    """

    def __init__(
        self,
        url: str = DEFAULT_STORE,
        *,
        must_exist: bool = False,
        repair: bool = False,
        patience: float = PATIENCE,
    ) -> None:
        self.database = Database(url, read_only=must_exist, patience=patience)
        self.shown, self.path = self.database.shown, self.database.path
        try:
            self._present = self.database.run(
                "read" if must_exist else "open",
                lambda connection: opened(connection, self.shown, must_exist, repair),
                patience=0,
            )
        except BaseException:  # an interrupt leaves no connection open either
            self.close()
            raise

    def close(self) -> None:
        """Release the connections."""
        self.database.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def images(self) -> KeptImages:
        """Perturbed images that later cells need: in files beside an SQLite store, else in the database, where every
        driver sees them."""
        return (
            ImageTable(self.database) if self.path is None else ImageFolder(self.path.with_suffix(".images"))
        )

    def fits(self, runs: Path) -> Fits:
        """Fitted lambda policies, with their data and pictures: beside an SQLite store, else in the folder of runs."""
        return Fits(self.path.with_suffix(".fits") if self.path else runs / "results.fits")

    def add_cells(self, cells: Mapping[str, Cell], asked: int | None = None) -> None:
        """Record cells by id, `asked` samples wanted; those there keep their answers and take today's names."""

        def add(connection: sa.Connection) -> None:
            alone(connection, CELLS)
            query, new = select(CELLS, self._present), []
            if len(cells) < MANY:
                query = query.where(CELLS.c.id.in_(cells))
            stored = {row["id"]: row for row in rows(connection, query)}
            for cell_id, cell in sorted(cells.items()):
                parents = canonical(cell.parents)
                row = {"id": cell_id, "spec": cell.to_json(), "parents": parents, "asked": asked}
                before = stored.get(cell_id)
                if before is None:
                    new.append(row)
                    continue
                earlier = Reader().cell(before) if chain_of(cell.perturbation) else None
                if earlier is not None and not chain_of(earlier.perturbation):
                    row["spec"] = before["spec"]  # the attack was also asked for alone, and keeps its name
                row["asked"] = max((n for n in (asked, before["asked"]) if n is not None), default=None)
                if any(row[key] != before[key] for key in row):
                    changes = sealed(CELLS, row)
                    connection.execute(sa.update(CELLS).where(CELLS.c.id == cell_id).values(changes))
            insert_once(connection, CELLS, *new)

        self.database.run("write", add)

    def forget_unfinished(self) -> int:
        """Ask no more of any cell than is answered, and nothing else; how many cells were unfinished.

        Raises:
            StoreError: a cell is damaged; then all stay.
        """

        def forget(connection: sa.Connection) -> int:
            alone(connection, CELLS)
            reader, ranges, forgotten = Reader(), self._ranges(connection, (), 0, 0), 0
            for row in rows(connection, select(CELLS, self._present)):
                cell = reader.cell(row)
                samples = sum(stop - start for start, stop in ranges.get(row["id"], ()))
                if cell is not None and is_unfinished(cell, row["asked"], samples):
                    changes = sealed(CELLS, {**row, "asked": samples})
                    connection.execute(sa.update(CELLS).where(CELLS.c.id == row["id"]).values(changes))
                    forgotten += 1
            refuse(self.shown, reader.damages, {})
            return forgotten

        return self.database.run("write", forget)

    def add_shards(self, finished: Sequence[Shard]) -> list[Shard]:
        """Store shards in one transaction, all of them or none.

        Positions that are already there stay as they are, so shards never overlap, and it is safe to do twice.

        Returns:
            Those of which no position was there already: the store holds them as they are.
        """

        def add(connection: sa.Connection) -> list[Shard]:
            alone(connection, SHARDS)
            cell_ids = {shard.cell_id for shard in finished}
            low, high = min(shard.start for shard in finished), max(shard.stop for shard in finished)
            stored, new, added_whole = self._ranges(connection, cell_ids, low, high), [], []
            for shard in finished:
                ranges = stored.setdefault(shard.cell_id, [])
                parts = list(missing((shard.start, shard.stop), ranges))
                for part in parts:
                    new.append(shard.part(*part).row())
                    insort(ranges, part)
                if parts == [(shard.start, shard.stop)]:
                    added_whole.append(shard)
            insert_once(connection, SHARDS, *new)
            return added_whole

        return self.database.run("write", add) if finished else []

    def add_verdicts(self, cell_id: str, checks: Sequence[Mapping[str, Any]]) -> None:
        """Store the diagnostics of an attack's cell; each replaces its older one, but for one that saw more images."""

        def add(connection: sa.Connection) -> None:
            alone(connection, VERDICTS)
            of_cell = VERDICTS.c.cell_id == cell_id
            reader, older = Reader(), []
            for row in rows(connection, select(VERDICTS, self._present).where(of_cell)):
                older = reader.verdicts(row) or []  # what is damaged is made anew
            connection.execute(sa.delete(VERDICTS).where(of_cell))
            findings = united(older, checks, lambda one: (one["check"], one["verdict"], one.get("images")))
            insert_once(connection, VERDICTS, {"cell_id": cell_id, "checks": canonical(findings)})

        self.database.run("write", add)

    def verdicts(self) -> dict[str, list[dict[str, Any]]]:
        """The diagnostics of every cell that has some."""
        return self._by_id(VERDICTS, Reader.verdicts)

    def answered(self, make: Callable[[Stored], T], only: Collection[str] | None = None) -> list[T]:
        """What is made of every recorded cell and all that is stored of it, in order of ids, each shard decoded once.

        One transaction, so that it fits together while others write. Cell after cell, so that no more than what is
        made lies in memory: a store may be larger.

        Args:
            only: ids of the cells that are wanted; None for all.

        Raises:
            StoreError: a row is damaged; the first is named.
        """

        wanted = None if only is None else frozenset(only)

        def read(connection: sa.Connection) -> tuple[Reader, list[T]]:
            by_id = select(CELLS, self._present).order_by(CELLS.c.id)
            queries = [by_id, self._shard_rows(), select(VERDICTS, self._present)]
            if wanted is not None and len(wanted) < MANY:
                keys = (CELLS.c.id, SHARDS.c.cell_id, VERDICTS.c.cell_id)
                queries = [query.where(key.in_(wanted)) for query, key in zip(queries, keys, strict=True)]
            reader, (cells, shards, verdicts) = Reader(), queries
            checks = {row["cell_id"]: reader.verdicts(row) for row in rows(connection, verdicts)}
            recorded = {
                row["id"]: (reader.cell(row), row["asked"])
                for row in rows(connection, cells)
                if wanted is None or row["id"] in wanted
            }
            made: dict[str, T] = {}

            def add(cell_id: str, shard_rows: Iterable[Row]) -> None:
                decoded = tuple(shard for shard in map(reader.shard, shard_rows) if shard)
                reader.note_overlaps((shard.cell_id, shard.start, shard.stop) for shard in decoded)
                cell, asked = recorded.get(cell_id, (None, None))
                if cell is not None:
                    made[cell_id] = make(Stored(cell_id, cell, asked, decoded, checks.get(cell_id)))

            with each_row(connection, shards) as all_shard_rows:
                for cell_id, shard_rows in groupby(all_shard_rows, lambda row: row["cell_id"]):
                    if wanted is None or cell_id in wanted:
                        add(cell_id, shard_rows)
            for cell_id in recorded.keys() - made.keys():
                add(cell_id, ())
            return reader, [made[cell_id] for cell_id in recorded if cell_id in made]

        reader, made = self.database.run("read", read)
        self._refuse_damages(reader)
        return made

    def ranges(
        self, cell_ids: Collection[str] = (), start: int = 0, stop: int = 0
    ) -> dict[str, list[tuple[int, int]]]:
        """The stored (start, stop) of every cell, in order, or of some cells those that meet `start` to `stop`."""
        return self.database.run("read", lambda connection: self._ranges(connection, cell_ids, start, stop))

    def cells(self) -> dict[str, Cell]:
        """Every recorded cell by id."""
        return self._by_id(CELLS, Reader.cell)

    def asked(self) -> dict[str, int]:
        """How many samples any run asked for at the most, by id, of the cells where that was written down."""
        return self._by_id(CELLS, lambda reader, row: row["asked"])

    def outcome(self, cell_id: str, start: int = 0, stop: int | None = None) -> Outcome | None:
        """What is stored of a cell between two positions, or None where nothing is."""
        query = self._shard_rows().where(SHARDS.c.cell_id == cell_id, SHARDS.c.stop > start)
        if stop is not None:
            query = query.where(SHARDS.c.start < stop)
        reader = Reader()
        shards = [shard for row in self._rows(query) if (shard := reader.shard(row))]
        reader.note_overlaps((shard.cell_id, shard.start, shard.stop) for shard in shards)
        self._refuse_damages(reader)
        parts = [
            shard.outcome.cut(
                max(start - shard.start, 0), (shard.stop if stop is None else stop) - shard.start
            )
            for shard in shards
        ]
        return Outcome.join(parts) if parts else None

    def _by_id(self, table: sa.Table, decode: Callable[[Reader, Row], T | None]) -> dict[str, T]:
        """What the rows of a table of one row a cell say, in order of ids."""
        reader, (key,) = Reader(), table.primary_key
        decoded = {}
        for row in self._rows(select(table, self._present).order_by(key)):
            decoded[row[key.name]] = decode(reader, row)
        self._refuse_damages(reader)
        return {cell_id: value for cell_id, value in decoded.items() if value is not None}

    def _shard_rows(self) -> sa.Select[Any]:
        return select(SHARDS, self._present).order_by(*SHARDS.primary_key)

    def _rows(self, query: sa.Select[Any]) -> list[dict[str, Any]]:
        return self.database.run("read", lambda connection: rows(connection, query))

    def _ranges(
        self, connection: sa.Connection, cell_ids: Collection[str], start: int, stop: int
    ) -> dict[str, list[tuple[int, int]]]:
        query = sa.select(*SHARDS.primary_key).order_by(*SHARDS.primary_key)
        if cell_ids:
            query = query.where(SHARDS.c.cell_id.in_(cell_ids), SHARDS.c.start < stop, SHARDS.c.stop > start)
        ranges: dict[str, list[tuple[int, int]]] = {}
        for row in connection.execute(query).mappings():
            ranges.setdefault(row["cell_id"], []).append((row["start"], row["stop"]))
        return ranges

    def _refuse_damages(self, reader: Reader) -> None:
        """A StoreError that names the first row that a reader could not read."""
        if reader.damages:
            cells = {row["id"]: Reader().cell(row) for row in self._rows(select(CELLS, self._present))}
            refuse(self.shown, reader.damages, cells)
