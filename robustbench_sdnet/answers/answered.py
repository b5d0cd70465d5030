"""One answered cell: its outcome on all images, what it cost, and what diagnostics found of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..specs import Cell
from ..store.outcome import Outcome
from ..store.store import Shard
from .per_image import Right
from .trust import Finding


@dataclass(frozen=True, slots=True)
class Cost:
    """What an answer cost, over all its shards.

    Attributes:
        seconds: to the millisecond.
        memory_mib: the most of any shard.
        devices, precisions, versions, threads: the different ones, in the order of shards; the last bits of answers on
            a processor depend on the number of threads, which older answers lack.
        gradients, silent: samples whose first gradient was looked at, and those where it was zero or not finite.
    """

    forwards: int
    backwards: int
    seconds: float
    memory_mib: float | None
    devices: tuple[str, ...]
    precisions: tuple[str, ...]
    versions: tuple[Mapping[str, str], ...]
    gradients: int = 0
    silent: int = 0
    threads: tuple[int, ...] = ()

    @classmethod
    def of(cls, shards: Sequence[Shard]) -> Cost:
        """The cost of these shards together."""
        costs = [shard.cost for shard in shards]
        memory = [cost["memory_mib"] for cost in costs if cost.get("memory_mib") is not None]
        devices, precisions, versions, threads = (
            _different(cost[key] for cost in costs if key in cost)
            for key in ("device", "precision", "versions", "threads")
        )
        return cls(
            forwards=sum(cost["forwards"] for cost in costs),
            backwards=sum(cost["backwards"] for cost in costs),
            seconds=round(sum(cost["seconds"] for cost in costs), 3),
            memory_mib=max(memory, default=None),
            devices=devices,
            precisions=precisions,
            versions=versions,
            gradients=sum(cost.get("gradients", 0) for cost in costs),
            silent=sum(cost.get("silent", 0) for cost in costs),
            threads=threads,
        )

    def plus(self, others: Iterable[Cost]) -> Cost:
        """The same with the passes and seconds of others added."""
        every = [self, *others]
        return replace(
            self,
            forwards=sum(cost.forwards for cost in every),
            backwards=sum(cost.backwards for cost in every),
            seconds=round(sum(cost.seconds for cost in every), 3),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Answered:
    """A cell by its id in the store, with its answer: per-sample outcome, cost, and what diagnostics found."""

    id: str
    cell: Cell
    outcome: Outcome
    cost: Cost
    verdicts: tuple[Finding, ...] = ()

    @property
    def right(self) -> Right:
        """Which images it has right, where that must be yes or no."""
        return Right(self.outcome.ids, self.outcome.right)

    @property
    def credit(self) -> Right:
        """What each image counts in its accuracy."""
        repeats, hits = self.cell.model.repeats, self.outcome.hits
        return (
            self.right if repeats is None or hits is None else Right(self.outcome.ids, repeats.credit(hits))
        )


def _different(values: Iterable[Any]) -> tuple[Any, ...]:
    found: list[Any] = []
    for value in values:
        if value not in found:
            found.append(value)
    return tuple(found)
