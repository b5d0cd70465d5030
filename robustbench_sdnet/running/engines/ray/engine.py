"""The ray engine: hand tasks to actors as their parents are stored, and take back what lost workers held."""

from __future__ import annotations

import atexit
import os
import sys
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import ObjectStoreFullError, OutOfDiskError, OutOfMemoryError, RayError, RayTaskError

from ....errors import EngineError, SdnetBenchError
from ....planning.plan import Task
from ....planning.schedule import Schedule
from ....specs import ModelSpec
from ....zoo.nets.sdnet import Classifier
from ...exchange import Answer, Failure, Inputs
from ...worker import Worker, loaded
from .actor import Setup, Shared
from .cluster import connect, disconnect, size_of
from .pool import Handed, Member, Pool

if TYPE_CHECKING:
    from ....planning.setting import Setting

TRIES = 3  # workers that a shard may end
FULL = (ObjectStoreFullError, OutOfDiskError)
Done = tuple[Task, list[Answer | Failure]]
Ended = tuple[int | None, Done]
"""What came of a task, by its number; None for what concerns no whole task."""


class RayEngine:
    """A pool of actors that lives from run to run; a shard is answered once more where its worker was lost."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._pool: Pool | None = None
        self._connected = False
        self._models: dict[
            str, Any
        ] = {}  # by the model's key: a reference, or None for one to load from its source
        self._policies: tuple[dict[str, Any], Any, int] = ({}, None, 0)

    @property
    def doing(self) -> list[tuple[str, str]]:
        """Every worker, and what it works on."""
        members = self._pool.members if self._pool else []
        return [(f"{m.place.node}:{m.place.pid}", m.queue[0].label if m.queue else "") for m in members]

    def run(
        self, tasks: Sequence[Task], worker: Worker, inputs: Callable[[Task], Inputs], kept: Collection[str]
    ) -> Iterator[list[Done]]:
        """Answer every task; see `Engine`."""
        if not tasks:
            return
        pool = self._started(worker)
        run = _Run(self, pool, tasks, worker, inputs, frozenset(kept))
        try:
            yield from run.batches()
        finally:
            for member in [
                member for member in pool.members if member.queue
            ]:  # left early: they hold old work
                pool.dismiss(member)

    def close(self) -> None:
        """End the workers, and the cluster if it was started here."""
        if self._pool is not None:
            self._pool.close()
            self._pool = None
        if self._connected:
            self._connected = False
            disconnect()

    def shared(self, specs: Collection[ModelSpec], worker: Worker) -> Shared:
        """References to the models of a task and to the policies, put into the object store once.

        Raises:
            SdnetBenchError: a model cannot be loaded.
        """
        for spec in specs:
            if spec.key not in self._models:
                model = (worker.load or loaded)(spec)
                ours = isinstance(model, Classifier) or worker.load is not None
                self._models[spec.key] = ray.put(model) if ours else None
        known, reference, number = self._policies
        if worker.policies != known:
            held = {key: dict(policies) for key, policies in worker.policies.items()}
            self._policies = (held, ray.put(held), number + 1)
            _, reference, number = self._policies
        found = {spec.key: self._models[spec.key] for spec in specs}
        return Shared({key: ref for key, ref in found.items() if ref is not None}, reference, number)

    def _started(self, worker: Worker) -> Pool:
        if self._pool is None:
            self._connected = connect(self._setting.ray_address)
            atexit.register(self.close)
            size = size_of(self._setting, worker.device)
            setup = Setup(
                device="cuda" if size.gpus else "cpu",
                batch_size=worker.batch_size,
                threads=size.cpus,
                folder=os.getcwd(),
                path=tuple(entry for entry in sys.path if entry),
            )
            self._pool = Pool(ray.put(worker.data), setup, size)
        return self._pool


class _Run:
    """One run's tasks on the pool."""

    def __init__(
        self,
        engine: RayEngine,
        pool: Pool,
        tasks: Sequence[Task],
        worker: Worker,
        inputs: Callable[[Task], Inputs],
        kept: frozenset[str],
    ) -> None:
        self.engine, self.pool, self.worker, self.inputs, self.kept = engine, pool, worker, inputs, kept
        self.schedule = Schedule(tasks)
        self.tries: Counter[int] = Counter()
        self.failed: set[ModelSpec] = set()

    def batches(self) -> Iterator[list[Done]]:
        """What was answered, whenever something was, and nothing every second as a sign of life."""
        while len(self.schedule):
            self.pool.grow()
            ended = self._submit()
            if not ended:
                ended = self._collected()
            yield [done for _, done in ended]
            for number, _ in ended:  # only now is it stored
                if number is not None:
                    self.schedule.done(number)

    def _submit(self) -> list[Ended]:
        """Fill the queues of the workers; tasks that nobody need answer come back at once."""
        ended: list[Ended] = []
        for member in self.pool.vacancies():
            while (number := self.schedule.next()) is not None:
                task = self._reduced(number)
                specs = dict.fromkeys(cell.model for cell in task.cells)
                if not specs:
                    ended.append((number, (self.schedule.tasks[number], [])))
                    continue
                try:
                    shared = self.engine.shared(specs, self.worker)
                except SdnetBenchError:
                    ended.append((None, (replace(task, cells=()), self._unloadable(specs))))
                    self.schedule.again([number])  # for the other models
                    continue
                try:
                    wanted = self.kept & {cell.id for cell in task.cells}
                    reference = member.handle.answer.remote(task, self.inputs(task), shared, wanted)
                except FULL as error:
                    if not any(other.queue for other in self.pool.members):
                        raise EngineError(f"Ray's object store is full: {_first(error)}") from error
                    self.schedule.again([number])
                    return ended
                member.queue.append(Handed(number, task.label, reference))
                break
        return ended

    def _reduced(self, number: int) -> Task:
        """A task without the cells of models that failed."""
        task = self.schedule.tasks[number]
        cells = tuple(cell for cell in task.cells if cell.model not in self.failed)
        return task if len(cells) == len(task.cells) else replace(task, cells=cells)

    def _unloadable(self, specs: Collection[ModelSpec]) -> list[Answer | Failure]:
        """Why models cannot be loaded; they are left out from now on."""
        found: list[Answer | Failure] = []
        for spec in specs:
            try:
                self.engine.shared([spec], self.worker)
            except SdnetBenchError as error:
                self.failed.add(spec)
                found.append(Failure(spec.name, str(error)))
        return found

    def _collected(self) -> list[Ended]:
        """Wait for the next answer, worker or second, and take in all that is there."""
        heads = {member.queue[0].reference: member for member in self.pool.members if member.queue}
        awaited = [*heads, *self.pool.starting()]
        ready, _ = ray.wait(awaited, num_returns=1, timeout=1.0)
        if ready:
            ready, _ = ray.wait(awaited, num_returns=len(awaited), timeout=0)
        ended: list[Ended] = []
        for reference in ready:
            if reference in heads:
                ended += self._taken(heads[reference], reference)
            else:
                self.pool.greet(reference)
        return ended

    def _taken(self, member: Member, reference: Any) -> list[Ended]:
        try:
            answers = ray.get(reference)
        except RayTaskError as error:
            if not isinstance(error.cause, FULL):
                raise error.cause from error  # a defect: the worker turns what a model does into answers
            return self._lost(member, error)
        except RayError as error:
            return self._lost(member, error)
        number = member.queue.popleft().number
        task = self.schedule.tasks[number]
        names = {answer.model for answer in answers if isinstance(answer, Failure)}
        self.failed |= {cell.model for cell in task.cells if cell.model.name in names}
        return [(number, (task, answers))]

    def _lost(self, member: Member, error: RayError) -> list[Ended]:
        """A worker is gone: its tasks are handed out again, the one that it worked on at most `TRIES` times."""
        number, *queued = [handed.number for handed in member.queue]
        self.pool.dismiss(member)
        self.schedule.again(queued)
        self.tries[number] += 1
        if self.tries[number] < TRIES:
            self.schedule.again([number])
            return []
        task = self._reduced(number)
        if len(task.cells) > 1:  # one of them ends its workers: the others need not suffer
            self.schedule.split(number, [replace(task, cells=(cell,)) for cell in task.cells])
            return []
        cell = task.cells[0]
        name = f"{cell.model.name} under {task.label}, images {task.start} to {task.stop}"
        memory = isinstance(error, OutOfMemoryError)
        remedy = (
            "Take fewer --workers, or a smaller --batch-size." if memory else "See Ray's logs of its node."
        )
        message = f"{name}: {TRIES} workers ended while they answered it ({_first(error)}). {remedy}"
        children: list[Ended] = [
            (n, (self.schedule.tasks[n], [])) for n in self.schedule.lost(number) if n != number
        ]
        return [(number, (task, [Failure(name, message)])), *children]


def _first(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")
