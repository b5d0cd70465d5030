"""Jobs on the pool, in any order: each on one worker, and on another where that was lost."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from ray.exceptions import RayError

from ....errors import EngineError, ModelError, SdnetBenchError
from ...worker import Worker
from .. import Job
from .pool import TRIES, Member, Pool, gave_up
from .run import Share

Ended = tuple[int, Any]
"""A job's number, and what came of it."""


class Jobs:
    """The state of what is asked; see `Engine.ask`."""

    def __init__(
        self,
        share: Share,
        pool: Pool,
        jobs: Sequence[Job],
        worker: Worker,
        on_wait: Callable[[], None] = lambda: None,
    ) -> None:
        self.share, self.pool, self.jobs, self.worker = share, pool, jobs, worker
        self.on_wait = on_wait
        self.waiting = deque(range(len(jobs)))
        self.tries: Counter[int] = Counter()

    def ended(self) -> Iterator[Ended]:
        """What came of each, as they end.

        Raises:
            EngineError: no worker can start, or there is no room in the object store.
        """
        left = len(self.jobs)
        while left:
            self.pool.grow(left)
            for one in self._submit():
                left -= 1
                yield one
            members = self.pool.ended() if left else []
            for one in (one for member in members for one in self._taken(member)):
                left -= 1
                yield one
            if left and not members:
                self.on_wait()

    def _submit(self) -> list[Ended]:
        """Give every idle worker a job; those whose models cannot be loaded end at once."""
        ended: list[Ended] = []
        for member in self.pool.vacancies(depth=1):
            while self.waiting:
                number = self.waiting.popleft()
                job = self.jobs[number]
                try:
                    shared = self.share(job.models, self.worker)
                except EngineError:
                    raise
                except SdnetBenchError as error:
                    ended.append((number, error))
                    continue
                # No variable holds the arguments, which may be large: they are gone before the next ones are made.
                if not self.pool.hand(
                    member,
                    number,
                    job.label,
                    partial(member.handle.ask.remote, job.ask, job.arguments()),
                    shared,
                ):
                    self.waiting.appendleft(number)
                    return ended
                break
        return ended

    def _taken(self, member: Member) -> list[Ended]:
        """What came of a worker's job; nothing where another worker is to try it."""
        number = member.queue[0].number
        try:
            found = member.answers()
        except RayError as error:
            self.pool.dismiss(member)
            self.tries[number] += 1
            if self.tries[number] < TRIES:
                self.waiting.appendleft(number)
                return []
            return [(number, ModelError(gave_up(self.jobs[number].label, error)))]
        except SdnetBenchError as error:
            found = error
        member.queue.popleft()
        return [(number, found)]
