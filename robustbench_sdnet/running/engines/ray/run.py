"""A run's tasks on the pool, handed out as their parents are stored, and again where a worker was lost."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from functools import partial

from ray.exceptions import RayError

from ....errors import EngineError, SdnetBenchError, about
from ....planning.plan import Task
from ....planning.schedule import Schedule
from ....specs import ModelSpec
from ...exchange import Answer, Failure, Inputs
from ...worker import Worker
from .actor import Shared
from .pool import FULL, TRIES, Member, Pool, full, gave_up

Share = Callable[[Collection[ModelSpec], Worker], Shared]
"""Makes references to models."""
GATHER = 0.1  # seconds in which answers come together, to be stored in one transaction

Done = tuple[Task, list[Answer | Failure]]
Ended = tuple[int | None, Done]
"""What came of a task, by its number; None for what concerns no whole task."""


class Run:
    """The state of a run.

    Args:
        kept: cells whose perturbed images are asked for.
    """

    def __init__(
        self,
        share: Share,
        pool: Pool,
        schedule: Schedule,
        worker: Worker,
        inputs: Callable[[Task], Inputs],
        kept: frozenset[str],
    ) -> None:
        self.share, self.pool, self.worker, self.inputs, self.kept = share, pool, worker, inputs, kept
        self.schedule = schedule
        self.tries: Counter[int] = Counter()
        self.failed: set[ModelSpec] = set()
        self.without_room = 0  # answers in a row that found no room in the object store

    def batches(self) -> Iterator[list[Done]]:
        """What was answered, soon after it was, and nothing every second as a sign of life."""
        while len(self.schedule):
            ended: list[Ended] = []
            try:
                self._gather(ended)
            except SdnetBenchError:
                yield [done for _, done in ended]
                raise
            yield [done for _, done in ended]
            for number, _ in ended:  # only now is it stored
                if number is not None:
                    self.schedule.done(number)

    def _gather(self, ended: list[Ended]) -> None:
        """Add what ends in the next second, or in the blink after something did, which no worker has to wait for."""
        until = time.monotonic() + 1.0
        while (left := until - time.monotonic()) > 0:
            self.pool.grow(len(self.schedule) - len(ended))
            found: Iterable[Ended] = self._submit()
            if not found and ended and self._idle(len(ended)):
                return
            if not found:
                found = (one for member in self.pool.ended(left) for one in self._taken(member))
            for one in found:
                until = until if ended else time.monotonic() + GATHER
                ended.append(one)

    def _idle(self, ended: int) -> bool:
        """Whether a worker has nothing to do, and what it could do may wait for answers to be stored."""
        handed = [len(member.queue) for member in self.pool.members]
        return not any(handed) or (not all(handed) and len(self.schedule) > sum(handed) + ended)

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
                    shared = self.share(specs, self.worker)
                except EngineError:
                    raise
                except SdnetBenchError:
                    ended.append((None, (replace(task, cells=()), self._unloadable(specs))))
                    self.schedule.again([number])  # for the other models
                    continue
                asked = task, self.inputs(task), self.kept & {cell.id for cell in task.cells}
                send = partial(member.handle.answer.remote, asked)
                if not self.pool.hand(member, number, task.label, send, shared):
                    self.schedule.again([number])
                    return ended
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
                self.share([spec], self.worker)
            except SdnetBenchError as error:
                self.failed.add(spec)
                found.append(Failure(spec.name, about(spec.name, error)))
        return found

    def _taken(self, member: Member) -> list[Ended]:
        try:
            answers = member.answers()
        except FULL as error:  # no fault of the worker's, nor of the shard's
            self.without_room += 1
            if self.without_room == TRIES:
                raise full(error) from error
            self.schedule.again([member.queue.popleft().number])
            return []
        except RayError as error:
            return self._lost(member, error)
        self.without_room = 0
        number = member.queue.popleft().number
        task = self.schedule.tasks[number]
        if len({other.place.node for other in self.pool.members}) > 1:
            answers = [_placed(answer, member) for answer in answers]
        names = {answer.model for answer in answers if isinstance(answer, Failure)}
        self.failed |= {cell.model for cell in task.cells if cell.model.name in names}
        return [(number, (task, answers))]

    def _lost(self, member: Member, error: RayError) -> list[Ended]:
        """A worker is gone: its tasks are handed out again, the one that it worked on at most `TRIES` times."""
        number, *queued = self.pool.dismiss(member)
        self.schedule.again(queued)
        self.tries[number] += 1
        if self.tries[number] < TRIES:
            self.schedule.again([number])
            return []
        task = self._reduced(number)
        if len(task.cells) > 1:  # one of them ends its workers: the others need not suffer
            self.schedule.split(number, [replace(task, cells=(cell,)) for cell in task.cells])
            return []
        if not task.cells:  # their models have failed meanwhile, elsewhere
            return [(number, (self.schedule.tasks[number], []))]
        children: list[Ended] = [
            (n, (self.schedule.tasks[n], [])) for n in self.schedule.lost(number) if n != number
        ]
        name = f"{task.cells[0].model.name} under {task.label}, images {task.start} to {task.stop}"
        return [(number, (task, [Failure(name, gave_up(name, error))])), *children]


def _placed(answer: Answer | Failure, member: Member) -> Answer | Failure:
    """An answer; of a model that failed also where, as its file may lie on other machines alone."""
    if isinstance(answer, Failure):
        return replace(answer, message=f"On {member.place.node}: {answer.message}")
    return answer
