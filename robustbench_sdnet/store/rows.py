"""What the rows of a store say: each checked against its checksum, decoded, or named as damaged."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from types import NoneType
from typing import Any, TypeVar

import sqlalchemy as sa

from ..errors import InputError, StoreError
from ..planning.identity import is_superseded
from ..specs import Cell, canonical
from .outcome import Outcome
from .schema import CELLS, SHARDS, VERDICTS, checksum

T = TypeVar("T")
Row = Mapping[str, Any]
_COUNTED = ("forwards", "backwards", "gradients", "silent", "seconds")
# What a row may raise that was written before rows had checksums, and is damaged.
_UNREADABLE = (InputError, ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError, RecursionError)


@dataclass(frozen=True, eq=False)
class Shard:
    """The answers of a cell on the samples at positions start to stop, and what they cost.

    Attributes:
        finished_at: when they were stored; empty where they are not yet.
    """

    cell_id: str
    start: int
    stop: int
    outcome: Outcome
    cost: Row
    finished_at: str = ""

    def part(self, low: int, high: int) -> Shard:
        """Its samples at positions low to high, with their share of the cost: whole counts that add up over parts."""
        if (low, high) == (self.start, self.stop):
            return self
        first, end, samples = low - self.start, high - self.start, self.stop - self.start

        def share(total: float) -> float:
            if isinstance(total, float):
                return total * (end - first) / samples
            return total * end // samples - total * first // samples

        cost = {key: share(value) if key in _COUNTED else value for key, value in self.cost.items()}
        if "silent" in cost:  # some of the gradients, in every part
            cost["gradients"] = cost["silent"] + share(self.cost["gradients"] - self.cost["silent"])
        outcome = self.outcome.cut(first, end)
        return replace(self, start=low, stop=high, outcome=outcome, cost=cost)

    def row(self) -> dict[str, Any]:
        """Its row; what no store holds yet is finished now."""
        return {
            "cell_id": self.cell_id,
            "start": self.start,
            "stop": self.stop,
            "finished_at": self.finished_at or datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            "outcome": self.outcome.encode(),
            "cost": canonical(self.cost),
        }


def is_unfinished(cell: Cell, asked: int | None, samples: int) -> bool:
    """Whether fewer samples are answered than a run asked for (of what older versions asked, whether none is), and a
    command can still ask for the others."""
    return samples < (1 if asked is None else asked) and not is_superseded(cell.model)


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

    @property
    def samples(self) -> int:
        """How many are answered."""
        return sum(len(shard.outcome) for shard in self.shards)

    @property
    def unfinished(self) -> bool:
        """Whether it `is_unfinished`."""
        return is_unfinished(self.cell, self.asked, self.samples)


@dataclass(frozen=True)
class Damage:
    """A row that cannot be trusted.

    Attributes:
        table: where it lies.
        key: its primary key, as it reads.
        reason: what is wrong with it.
        rowid: where it lies in SQLite, if that was read: a key that is no text is not found as it reads.
    """

    table: sa.Table
    key: tuple[Any, ...]
    reason: str
    rowid: int | None = None

    def name(self, cells: Mapping[str, Cell | None]) -> str:
        """What it holds, as a user knows it: the cell by its question where that can be read, and the range."""
        cell_id, *positions = self.key
        cell = cells.get(cell_id)
        row = f"cell {cell_id!s:.24}" + (f" ({cell.words})" if cell else "")
        if self.table is VERDICTS:
            row = f"the diagnostics of {row}"
        elif self.table is SHARDS:
            start, stop = positions
            row = f"shard {start}-{stop} of {row}"
        return f"{row}: {self.reason}"


class Reader:
    """Decodes rows; those that cannot be are kept in `damages`."""

    def __init__(self) -> None:
        self.damages: list[Damage] = []

    def cell(self, row: Row) -> Cell | None:
        """The question of a row of `cells`; None where it cannot be read, or a repair left it empty."""
        if row["spec"] == "" and row["checksum"] == checksum(CELLS, row):
            return None
        return self._read(CELLS, row, _cell)

    def shard(self, row: Row, decoded: bool = True) -> Shard | None:
        """The answers of a row of `shards`; with `decoded` off None too where a checksum alone says it is sound."""
        if not decoded and row["checksum"] is not None:
            self._read(SHARDS, row, lambda row: None)
            return None
        return self._read(SHARDS, row, _shard)

    def note_overlaps(self, keys: Iterable[tuple[str, int, int]]) -> None:
        """Keep as damages the shards, given by their keys in order, that overlap the one before: its images would
        count twice, as where rows of two stores were copied into one."""
        damaged = {damage.key for damage in self.damages}
        last_cell, last_stop = "", 0
        for key in keys:
            cell_id, start, stop = key
            if key in damaged:
                continue
            if cell_id == last_cell and start < last_stop:
                self.damages.append(Damage(SHARDS, key, "another shard holds some of its images too"))
            else:
                last_cell, last_stop = cell_id, stop

    def verdicts(self, row: Row) -> list[dict[str, Any]] | None:
        """The diagnostics of a row of `verdicts`."""
        return self._read(VERDICTS, row, _verdicts)

    def _read(self, table: sa.Table, row: Row, decode: Callable[[Row], T]) -> T | None:
        try:
            if row["checksum"] is not None and row["checksum"] != checksum(table, row):
                raise StoreError("its checksum differs")
            return decode(row)
        except StoreError as error:
            reason = str(error)
        except _UNREADABLE as error:
            reason = f"it cannot be read ({type(error).__name__})"
        key = tuple(row[column.name] for column in table.primary_key)
        self.damages.append(Damage(table, key, reason, row.get("rowid")))
        return None


def _cell(row: Row) -> Cell:
    cell, asked = Cell.from_json(row["spec"]), row["asked"]
    if cell.id != row["id"]:
        raise StoreError("its id is not that of its question")
    if row["parents"] != canonical(cell.parents):
        raise StoreError("its parents are not those of its question")
    if not (asked is None or (type(asked) is int and asked >= 0)):
        raise StoreError("the number of samples asked for is not valid")
    if not all(isinstance(name, str) for of in (cell.model, cell.data) for name in (of.name, of.source)):
        raise StoreError("its names are no text")
    return cell


def _shard(row: Row) -> Shard:
    start, stop, finished_at = row["start"], row["stop"], row["finished_at"]
    if type(start) is not int or type(stop) is not int or not 0 <= start < stop:
        raise StoreError("its range is not valid")
    if not isinstance(finished_at, str):
        raise StoreError("its time is not valid")
    cost, outcome = json.loads(row["cost"]), Outcome.decode(row["outcome"])
    counts = [cost[key] for key in ("forwards", "backwards", "seconds")]
    counts += [cost.get(key, 0) for key in ("gradients", "silent")]
    if not all(type(count) in (int, float) and 0 <= count < 2**63 for count in counts):
        raise StoreError("its cost is not valid")
    if len(outcome) != stop - start:
        raise StoreError(f"it holds {len(outcome)} answers")
    return Shard(row["cell_id"], start, stop, outcome, cost, finished_at)


_FINDING: Mapping[str, Any] = {"check": str, "verdict": str, "value": (int, float, NoneType), "sentence": str}
_WORDS = {"pass", "warn", "fail", "not_run"}


def _verdicts(row: Row) -> list[dict[str, Any]]:
    findings: list[dict[str, Any]] = json.loads(row["checks"])
    if not isinstance(findings, list) or not all(map(_is_finding, findings)):
        raise StoreError("they are not valid")
    return findings


def _is_finding(raw: Mapping[str, Any]) -> bool:
    typed = all(isinstance(raw[key], kind) for key, kind in _FINDING.items())
    return typed and raw["verdict"] in _WORDS and isinstance(raw.get("images"), int | NoneType)


def united(
    older: Iterable[T], newer: Iterable[T], facts: Callable[[T], tuple[str, str, int | None]]
) -> list[T]:
    """Of each check the newer finding, unless the older was run and it was not, or the older saw more images.

    Args:
        older, newer: findings, each check at most once in each.
        facts: the check of a finding, its verdict and its images.
    """
    best: dict[str, tuple[tuple[bool, int], T]] = {}
    for finding in (*older, *newer):
        check, verdict, images = facts(finding)
        reach = verdict != "not_run", images or 0
        if check not in best or reach >= best[check][0]:
            best[check] = reach, finding
    return [finding for _, finding in best.values()]


def refuse(shown: str, damages: Sequence[Damage], cells: Mapping[str, Cell | None]) -> None:
    """Raise a StoreError, where rows are damaged, that says how many are, and the first by name."""
    if damages:
        others = f" (and {len(damages) - 1} more)" if len(damages) > 1 else ""
        raise StoreError(
            f"The store {shown} is damaged: {damages[0].name(cells)}{others}. Run the command that asked for it "
            "('corrupt', 'attack' or 'study') again with --repair, which computes it anew, or restore a copy."
        )
