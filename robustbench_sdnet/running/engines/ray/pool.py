"""The actors of a run: asked for, greeted once they work, given up when they are lost."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import ray
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, OutOfMemoryError, RayError, RayTaskError

from ....errors import EngineError
from .actor import Actor, Place, Setup, Shared, versions
from .cluster import Size, nodes, resources

DEPTH = 2  # shards an actor: one that it works on, and one queued
TRIES = 3  # workers that a piece of work may end
PATIENCE = 60.0  # seconds without any worker before the run gives up, where no node is large enough for one
SLOW = 600.0  # where one is: others may hold it, and a machine under load, or a slow disk, takes long to load PyTorch
RESIZE = 5.0  # seconds between looks at how large the cluster is
MAX_FAILED_STARTS = 3
FULL = (ObjectStoreFullError, OutOfDiskError)
_MAKE_ROOM = "Give its nodes more memory (ray start --object-store-memory) or free their disk."


@dataclass(frozen=True, slots=True)
class Handed:
    """Work that an actor was handed: its number and label, and the reference to its answers."""

    number: int
    label: str
    reference: Any


@dataclass(eq=False)
class Member:
    """An actor that works, what it was handed, oldest first, and the models (by key) and policies that it was given."""

    handle: Any
    place: Place
    queue: deque[Handed] = field(default_factory=deque)
    models: set[str] = field(default_factory=set)
    policies: Any = None

    def lacking(self, shared: Shared) -> Shared | None:
        """What of it this actor was not given yet; None where it has all."""
        models = {key: ref for key, ref in shared.models.items() if key not in self.models}
        return replace(shared, models=models) if models or shared.policies != self.policies else None

    def handed(self, work: Handed, shared: Shared) -> None:
        """Remember what it was handed, and given with it."""
        self.queue.append(work)
        self.models.update(shared.models)
        self.policies = shared.policies

    def answers(self) -> Any:
        """What its oldest work returned.

        Raises:
            RayError: the worker is lost, or what it needs or returned.
            Exception: what the work raised.
        """
        try:
            return ray.get(self.queue[0].reference)
        except RayTaskError as error:
            raise error.cause from error


class Pool:
    """Actors that are never restarted by Ray: a lost one is replaced by a new one.

    Attributes:
        notes: a line for every node that is not used, and for workers that ended while they started.
    """

    def __init__(self, data: Any, setup: Setup, size: Size) -> None:
        self.members: list[Member] = []
        self.notes: list[str] = []
        self._data, self._setup, self._size = data, setup, size
        self._starting: dict[Any, Any] = {}  # reference to its place -> handle
        # They keep their places on nodes that are not used, so that the next one starts elsewhere.
        self._refused: list[tuple[Place, Any]] = []
        self._failed_starts = 0  # since one succeeded
        self._alone_since = time.monotonic()
        self._looked_at, self._wanted = -RESIZE, 0
        self._remote: Any = ray.remote(max_restarts=0, num_cpus=size.cpus, num_gpus=size.gpus)(Actor)

    def grow(self, most: int) -> None:
        """Ask for the workers that are lacking; those for which there is no room yet start when nodes join.

        Args:
            most: pieces of work that are left; more workers would have nothing to do.

        Raises:
            EngineError: no worker can start.
        """
        now = time.monotonic()
        if now - self._looked_at >= RESIZE:
            self._looked_at, self._wanted = now, max(1, self._size.wanted(resources()))
            self._check_hope(now)
        if self.members:
            self._alone_since = now
        lacking = min(self._wanted, most) - len(self.members) - len(self._starting)
        if self._failed_starts < MAX_FAILED_STARTS + self._wanted:
            for _ in range(lacking):
                handle = self._remote.remote(self._data, self._setup)
                self._starting[handle.place.remote()] = handle

    def _check_hope(self, now: float) -> None:
        if self.members:
            return
        why = " | ".join(self.notes)
        refused = {place.node_id for place, _ in self._refused}
        if self._failed_starts >= MAX_FAILED_STARTS or (refused and nodes(self._size) <= refused):
            raise EngineError(f"No worker could start: {why}")
        waited = now - self._alone_since
        if waited <= PATIENCE:
            return
        held = resources()
        what = (
            f"each takes {self._size.cpus} CPUs and {self._size.gpus:g} GPUs, and the cluster has "
            f"{held.get('CPU', 0):g} CPUs and {held.get('GPU', 0):g} GPUs"
        )
        if waited > SLOW or not nodes(self._size):
            remedy = f"Ask for less, or add nodes. {why}".rstrip()
            raise EngineError(f"No worker started within {waited:.0f} s: {what}. {remedy}")
        self._note(f"No worker has started for a minute: {what}. Waiting up to {SLOW / 60:.0f} minutes.")

    def ended(self, seconds: float = 1.0) -> list[Member]:
        """Wait for the next answer or worker, at most so many seconds.

        Returns:
            The workers whose oldest work has ended; new workers are taken in.
        """
        heads = {member.queue[0].reference: member for member in self.members if member.queue}
        awaited = [*heads, *self._starting]
        ready, _ = ray.wait(awaited, num_returns=len(awaited), timeout=0)
        if not ready:
            ready, _ = ray.wait(awaited, num_returns=1, timeout=seconds)
        for reference in ready:
            if reference not in heads:
                self._greet(reference)
        return [heads[reference] for reference in ready if reference in heads]

    def _greet(self, ready: Any) -> None:
        """Take in a worker that has started, if it runs what the driver runs."""
        handle = self._starting.pop(ready)
        try:
            place: Place = ray.get(ready)
        except RayError as error:
            self._failed_starts += 1
            self._looked_at = -RESIZE
            self._note(f"A worker ended while starting ({_lines(error)[-1]}).")
            return
        other = [
            f"{name} {place.versions[name]}, the driver {ours}"
            for name, ours in versions().items()
            if place.versions[name] != ours
        ]
        if other:
            self._refused.append((place, handle))
            self._looked_at = -RESIZE
            self._note(
                f"Node {place.node} is not used: it runs {'; '.join(other)}. Install the same version there."
            )
            return
        self._failed_starts = 0
        self.members.append(Member(handle, place))

    def _note(self, line: str) -> None:
        if line not in self.notes:
            self.notes.append(line)

    def vacancies(self, depth: int = DEPTH) -> Iterator[Member]:
        """Workers that hold less work than `depth`, idle ones first."""
        for held in range(depth):
            for member in list(self.members):
                if len(member.queue) == held:
                    yield member

    def hand(
        self, member: Member, number: int, label: str, send: Callable[[Shared | None], Any], shared: Shared
    ) -> bool:
        """Hand a worker its work, sent with what it lacks; False where there is no room before other work has ended.

        Raises:
            EngineError: there is no room, and no other work that would make some.
        """
        try:
            reference = send(member.lacking(shared))
        except FULL as error:
            if not any(other.queue for other in self.members):
                raise full(error) from error
            return False
        member.handed(Handed(number, label, reference), shared)
        return True

    def dismiss(self, member: Member) -> list[int]:
        """Give a worker up, whatever it still does; the numbers of what it was handed."""
        self.members.remove(member)
        self._alone_since = time.monotonic()
        _kill(member.handle)
        return [handed.number for handed in member.queue]

    def dismiss_busy(self) -> None:
        """Give up the workers that still work, where nobody waits for it any more."""
        for member in [member for member in self.members if member.queue]:
            self.dismiss(member)

    def close(self) -> None:
        """End every worker."""
        handles = [member.handle for member in self.members]
        for handle in (*handles, *self._starting.values(), *(handle for _, handle in self._refused)):
            _kill(handle)
        self.members.clear()
        self._starting.clear()
        self._refused.clear()


def put(value: Any) -> Any:
    """A reference to a value in the object store.

    Raises:
        EngineError: the store and the disk behind it are full.
    """
    try:
        return ray.put(value)
    except FULL as error:
        raise full(error) from error


def full(error: BaseException) -> EngineError:
    """That nothing more goes into the object store, and what to do about it."""
    return EngineError(f"Ray's object store is full: {_first_line(error)}. {_MAKE_ROOM}")


def gave_up(what: str, error: RayError) -> str:
    """That a piece of work ended every worker that tried it, and what to do about it."""
    if isinstance(error, FULL):
        return f"{what}: there was no room for its answer in Ray's object store ({_first_line(error)}). {_MAKE_ROOM}"
    memory = isinstance(error, OutOfMemoryError)
    remedy = "Use fewer --workers, or a smaller --batch-size." if memory else "See Ray's logs on that node."
    return f"{what}: {TRIES} workers ended while answering it ({_first_line(error)}). {remedy}"


def _first_line(error: BaseException) -> str:
    """What an error of Ray's says first, without the pages that follow."""
    return _lines(error)[0].rstrip(".")


def _lines(error: BaseException) -> list[str]:
    """What it says: of an exception in a worker the exception comes last."""
    lines = [line.strip()[:200] for line in str(error).splitlines() if line.strip()]
    return lines or [type(error).__name__]


def _kill(handle: Any) -> None:
    if not ray.is_initialized():  # somebody has ended it, and this would start it again
        return
    with contextlib.suppress(RayError, RuntimeError, ValueError):
        ray.kill(handle, no_restart=True)
