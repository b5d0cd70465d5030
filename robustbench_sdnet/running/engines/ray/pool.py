"""The actors of a run: asked for, greeted once they work, given up when they are lost."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import ray
from ray.exceptions import RayError

from ....errors import EngineError
from .actor import Actor, Place, Setup, versions
from .cluster import Size, resources

DEPTH = 2  # shards an actor: one that it works on, and one queued
PATIENCE = 60.0  # seconds without any worker before the run gives up
RESIZE = 5.0  # seconds between looks at how large the cluster is
MAX_FAILED_STARTS = 3


@dataclass(frozen=True, slots=True)
class Handed:
    """A task that an actor was handed: its number and label, and the reference to its answers."""

    number: int
    label: str
    reference: Any


@dataclass(eq=False)
class Member:
    """An actor that works, and what it was handed, oldest first."""

    handle: Any
    place: Place
    queue: deque[Handed] = field(default_factory=deque)


class Pool:
    """Actors that are never restarted by Ray: a lost one is replaced by a new one."""

    def __init__(self, data: Any, setup: Setup, size: Size) -> None:
        self.members: list[Member] = []
        self.notes: list[str] = []
        self._data, self._setup, self._size = data, setup, size
        self._starting: dict[Any, Any] = {}  # reference to its place -> handle
        self._failed_starts = 0
        self._alone_since = time.monotonic()
        self._looked_at, self._wanted = -RESIZE, 0
        self._remote: Any = ray.remote(max_restarts=0, num_cpus=size.cpus, num_gpus=size.gpus)(Actor)

    def grow(self) -> None:
        """Ask for the workers that are lacking; those for which there is no room yet start when nodes join.

        Raises:
            EngineError: no worker can start.
        """
        now = time.monotonic()
        if now - self._looked_at >= RESIZE:
            self._looked_at, self._wanted = now, max(1, self._size.wanted(resources()))
        if self.members:
            self._alone_since = now
        elif self._failed_starts >= MAX_FAILED_STARTS:
            raise EngineError(f"No worker could start: {' | '.join(dict.fromkeys(self.notes))}")
        elif now - self._alone_since > PATIENCE:
            raise EngineError(
                f"No worker started within {PATIENCE:.0f} s: each takes {self._size.cpus} CPUs and "
                f"{self._size.gpus:g} GPUs, and the cluster has {_held()}. Ask for less, or add nodes."
            )
        lacking = self._wanted - len(self.members) - len(self._starting)
        if self._failed_starts < MAX_FAILED_STARTS + self._wanted:
            for _ in range(lacking):
                handle = self._remote.remote(self._data, self._setup)
                self._starting[handle.place.remote()] = handle

    def starting(self) -> list[Any]:
        """References that become ready when a worker does."""
        return list(self._starting)

    def greet(self, ready: Any) -> None:
        """Take in a worker that has started, if it runs what the driver runs."""
        handle = self._starting.pop(ready)
        try:
            place: Place = ray.get(ready)
        except RayError as error:
            self._failed_starts += 1
            self.notes.append(f"a worker ended while it started ({_line(error)})")
            return
        ours, theirs = versions(), place.versions
        other = [
            f"{name} {theirs[name]} there, {ours[name]} here" for name in ours if theirs[name] != ours[name]
        ]
        if other:
            self._failed_starts += 1
            self.notes.append(f"{place.node} is not used, it runs {', '.join(other)}")
            _kill(handle)
            return
        self.members.append(Member(handle, place))

    def vacancies(self) -> Iterator[Member]:
        """Workers that can take another task, idle ones first."""
        for depth in range(DEPTH):
            for member in list(self.members):
                if len(member.queue) == depth:
                    yield member

    def dismiss(self, member: Member) -> None:
        """Give a worker up, whatever it still does."""
        self.members.remove(member)
        _kill(member.handle)

    def close(self) -> None:
        """End every worker."""
        for handle in (*(member.handle for member in self.members), *self._starting.values()):
            _kill(handle)
        self.members.clear()
        self._starting.clear()


def _kill(handle: Any) -> None:
    with contextlib.suppress(RayError, RuntimeError, ValueError):
        ray.kill(handle, no_restart=True)


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[-1] if lines else type(error).__name__)[:200]


def _held() -> str:
    found = resources()
    return f"{found.get('CPU', 0):g} CPUs and {found.get('GPU', 0):g} GPUs"
