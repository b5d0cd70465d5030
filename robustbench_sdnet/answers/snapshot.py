"""What a store says at one moment: every answered cell, decoded once. All answers are functions of it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..errors import InputError, StoreError, unknown
from ..planning.chains import chain_of
from ..reading.paths import named
from ..specs import AttackSpec, Cell, CorruptionSpec
from ..store.database import sqlite_file
from ..store.outcome import Outcome
from ..store.rows import united
from ..store.store import Shard, Store, Stored
from .answered import Answered, Cost
from .names import told_apart, unmarked
from .trust import DOUBTED, Finding, trust

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Every answered cell of a store, in the order of their ids.

    Attributes:
        folder: where reports of it go.
        unfinished: by ids of cells, how many samples were asked for where fewer are answered; of a whole store alone.
        disputed: by ids of cells that several stores answer, on how many images another differs from what stands.
        waiting: by ids the cells that are unfinished and have no answer yet.
    """

    answered: tuple[Answered, ...]
    folder: Path = Path("runs")
    unfinished: Mapping[str, int] = field(default_factory=dict)
    disputed: Mapping[str, int] = field(default_factory=dict)
    waiting: Mapping[str, Cell] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        store: str | Store | Snapshot | Sequence[str | Store | Snapshot],
        *,
        only: Collection[str] | None = None,
        limit: int | None = None,
    ) -> Snapshot:
        """Read and decode.

        Args:
            store: an open store, its URL, or a snapshot, which is returned as it is; or several, see `joined`.
            only: ids of the cells to look at; None for all.
            limit: look at the first `limit` images alone, whatever more is stored.

        Raises:
            InputError: what is given is no store, or an empty list of them.
            StoreError: the store does not exist, is damaged, or holds no answer.
        """
        if isinstance(store, Snapshot):
            return store
        if isinstance(store, Sequence) and not isinstance(store, str):
            return cls.joined([cls.read(one, only=only, limit=limit) for one in store])
        if not isinstance(store, Store):  # a path is told that a store is a URL
            with Store(url_of(named(store, "A store", "Write sqlite:///FILE.")), must_exist=True) as opened:
                return cls.read(opened, only=only, limit=limit)
        outcomes: dict[bytes, Outcome] = {}  # by the bytes of their ids
        is_all = only is None and limit is None

        def decoded(stored: Stored) -> tuple[str, Cell, int | None, Answered | None]:
            asked = (stored.asked or 1) if is_all and stored.unfinished else None
            shards = _first(stored.shards, limit)
            return stored.id, stored.cell, asked, _answered(stored, shards, outcomes) if shards else None

        cells = store.answered(decoded, only)
        found = tuple(answered for *_, answered in cells if answered)
        if not found and not is_all and store.ranges():
            raise StoreError(f"The store {store.shown} holds no results of these cells and images.")
        if not found:
            raise StoreError(
                f"The store {store.shown} holds no results. "
                "Run 'sdnet-bench corrupt' or 'sdnet-bench attack' first."
            )
        unfinished = {cell_id: asked for cell_id, _, asked, _ in cells if asked}
        waiting = {cell_id: cell for cell_id, cell, asked, answered in cells if asked and not answered}
        return cls(found, store.path.parent if store.path else Path("runs"), unfinished, waiting=waiting)

    @classmethod
    def joined(cls, snapshots: Sequence[Snapshot]) -> Snapshot:
        """The answers of several stores as of one, in the first one's folder; of a cell that several hold the answer on
        most images, with the diagnostics that saw most."""
        if not snapshots:
            raise InputError("Name a store, got none.")
        if len(snapshots) == 1:  # which keeps what was derived of it
            return snapshots[0]
        answers = [answered for snapshot in reversed(snapshots) for answered in snapshot.answered]
        best: dict[str, Answered] = {}
        for answered in sorted(answers, key=lambda answered: len(answered.outcome)):
            best[answered.id] = answered  # of equally many images the first store's
        verdicts: dict[str, tuple[Finding, ...]] = {}
        for answered in answers:
            known = verdicts.get(answered.id, ())
            together = united(known, answered.verdicts, attrgetter("check", "verdict", "images"))
            verdicts[answered.id] = tuple(together)
        kept = tuple(replace(best[cell_id], verdicts=verdicts[cell_id]) for cell_id in sorted(best))
        unfinished: dict[str, int] = {}
        waiting: dict[str, Cell] = {}
        for snapshot in snapshots:
            for cell_id, count in snapshot.unfinished.items():
                if cell_id not in best or len(best[cell_id].outcome) < count:
                    unfinished[cell_id] = max(count, unfinished.get(cell_id, 0))
            for cell_id, cell in snapshot.waiting.items():
                if cell_id not in best:
                    waiting[cell_id] = cell
        return cls(kept, snapshots[0].folder, unfinished, _disputed(answers, best), waiting)

    def of(self, only: Collection[str]) -> Snapshot:
        """The same of some cells alone, by their ids."""

        def of_these(by_id: Mapping[str, Value]) -> dict[str, Value]:
            return {cell_id: value for cell_id, value in by_id.items() if cell_id in only}

        return Snapshot(
            tuple(answered for answered in self.answered if answered.id in only),
            self.folder,
            of_these(self.unfinished),
            of_these(self.disputed),
            of_these(self.waiting),
        )

    def about(self, models: Collection[str], data: str | None) -> Snapshot:
        """The same of some models alone and of one data set, by the names that readers know them by, with or without
        the hash that tells those of one name apart; empty and None for all. InputError where there is no such answer.
        """
        if not models and data is None:
            return self
        cells = {answered.id: answered.cell for answered in self.answered} | dict(self.waiting)
        model_names: list[tuple[str, str]] = []
        data_names: list[tuple[str, tuple[str, str]]] = []
        for shown in self.told_apart.answered:
            cell = cells[shown.id]
            model_names.append((shown.cell.model.name, cell.model.key))
            data_names.append((shown.cell.data.label, (cell.data.split, cell.data.content)))
        keys = _called("model", models, model_names)
        contents = _called("data set", () if data is None else (data,), data_names)
        chosen = set()
        for cell_id, cell in cells.items():
            if cell.model.key in keys and (cell.data.split, cell.data.content) in contents:
                chosen.add(cell_id)
        snapshot = self.of(chosen)
        if not snapshot.answered:
            raise InputError(f"There are no answers of {', '.join(models)} on {data}.")
        return snapshot

    @cached_property
    def told_apart(self) -> Snapshot:
        """The same under names that readers can tell apart, see `names.told_apart`."""
        cells = told_apart([answered.cell for answered in self.answered])
        return replace(
            self,
            answered=tuple(replace(one, cell=cell) for one, cell in zip(self.answered, cells, strict=True)),
        )

    @cached_property
    def verdicts(self) -> Mapping[str, str]:
        """By the ids of cells: trusted, untrusted or unchecked."""
        by_id = {one.id: one for one in self.answered}
        return {one.id: trust(one.verdicts, *_signs(one.id, by_id)) for one in self.answered}

    @cached_property
    def exact(self) -> tuple[Answered, ...]:
        """The answers without screened ones that float32 gave, of the same version, on as many samples."""

        def asked(one: Answered) -> Hashable:
            return _question(one.cell), one.cell.perturbation.version

        counts: dict[Hashable, int] = {}
        for one in self.answered:
            if one.cell.precision == "float32":
                counts[asked(one)] = max(len(one.outcome), counts.get(asked(one), 0))
        return tuple(
            answered
            for answered in self.answered
            if answered.cell.precision == "float32"
            or not isinstance(answered.cell.perturbation, CorruptionSpec)
            or counts.get(asked(answered), 0) < len(answered.outcome)
        )

    @cached_property
    def standing(self) -> tuple[Answered, ...]:
        """Of two to one question, as when an attack was run from scratch and on survivors, the one on more images, then
        with the lower accuracy, which is the tighter bound, then the one that is doubted; of other images those of the
        newest version."""

        def strength(one: Answered) -> tuple[Any, ...]:
            spec = one.cell.perturbation
            drawn = 0 if isinstance(spec, AttackSpec) else spec.version
            doubted = DOUBTED.index(self.verdicts[one.id])
            return drawn, len(one.outcome), -one.credit.right.sum(), doubted, one.id

        by_strength = sorted(self.exact, key=strength)
        best = {_question(answered.cell): answered for answered in by_strength}
        return tuple(sorted(best.values(), key=lambda answered: answered.id))


def _question(cell: Cell) -> Hashable:
    """What a cell asks and of whom, however its search went about it."""
    spec, model, data = cell.perturbation, cell.model, cell.data
    told = ["label", "severity", "origin", "norm", "eps"]
    told += ["params"] if chain_of(spec) else []  # two stages of a chain may share a label
    known = (getattr(spec, name, None) for name in told)
    return cell.kind, model.key, model.name, data.content, data.label, cell.lam, cell.lam_attack, *known


def _called(kind: str, names: Collection[str], known: Sequence[tuple[str, Key]]) -> set[Key]:
    """The keys of what has one of some names, of everything where there are none; InputError for an unknown name."""
    by_name: dict[str, set[Key]] = defaultdict(set)
    for name, key in known:
        by_name[name].add(key)
        by_name[unmarked(name)].add(key)
    for name in names:
        if name not in by_name:
            raise unknown(f"{kind} of this report", name, by_name)
    return {key for name in names or by_name for key in by_name[name]}


def url_of(store: str) -> str:
    """The URL of a store; "bundle:FOLDER" is the one in a folder that `report to bundle` wrote."""
    kind, colon, folder = store.partition(":")
    return f"sqlite:///{Path(folder) / 'results.db'}" if colon and kind == "bundle" else store


def file_of(source: str) -> Path | None:
    """The file of a store by its URL, or of records by their path; None for what is no file."""
    return Path(source) if source.endswith(".json") else sqlite_file(url_of(source))


def _disputed(answers: Iterable[Answered], best: Mapping[str, Answered]) -> dict[str, int]:
    """By cell on how many images another answer is not the best one; draws of a randomised model always differ."""
    disputed: dict[str, int] = {}
    for answered in answers:
        other, kept = answered.outcome, best[answered.id].outcome
        if other is kept or other.hits is not None:
            continue
        _, in_other, in_kept = np.intersect1d(other.ids, kept.ids, return_indices=True)
        if differing := int((other.right[in_other] != kept.right[in_kept]).sum()):
            disputed[answered.id] = max(differing, disputed.get(answered.id, 0))
    return disputed


def _first(shards: Sequence[Shard], limit: int | None) -> list[Shard]:
    if limit is None:
        return list(shards)
    return [shard.part(shard.start, min(shard.stop, limit)) for shard in shards if shard.start < limit]


def _answered(stored: Stored, shards: Sequence[Shard], outcomes: dict[bytes, Outcome]) -> Answered:
    """The shards together; cells of a plan look at the same images, whose ids are kept once for all."""
    outcome = Outcome.join(shard.outcome for shard in shards)
    outcome = replace(outcome, ids=outcomes.setdefault(outcome.ids.tobytes(), outcome).ids)
    findings = tuple(
        Finding(one["check"], one["verdict"], one["value"], one["sentence"], one.get("images"))
        for one in stored.verdicts or ()
    )
    return Answered(stored.id, stored.cell, outcome, Cost.of(shards), findings)


def _signs(cell_id: str, by_id: Mapping[str, Answered]) -> tuple[int, int]:
    """First gradients of an answer and those it goes on from (a chain's number is all its stages'), and of these the
    zero or not finite ones."""
    lineage: dict[str, Cost] = {}
    waiting = [cell_id]
    while waiting:
        here = waiting.pop()
        if here in by_id and here not in lineage:
            lineage[here] = by_id[here].cost
            waiting += by_id[here].cell.parents
    return sum(cost.gradients for cost in lineage.values()), sum(cost.silent for cost in lineage.values())
