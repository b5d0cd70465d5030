"""Jobs on the pool: in any order, again where their worker was lost."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

from ray.exceptions import RayError

from ....errors import EngineError
from ....specs import ModelSpec
from ...exchange import Job
from ...worker import Worker
from .actor import Shared
from .pool import TRIES, Handed, Pool, gave_up

Share = Callable[[Collection[ModelSpec], Worker], Shared]


def answered(share: Share, pool: Pool, jobs: Sequence[Job], worker: Worker) -> Iterator[tuple[int, Any]]:
    """Every job's number and what came of it, as they end.

    Raises:
        EngineError: a job ended `TRIES` workers, or none could start; raised when the others are done.
        Exception: what a job raised, at once.
    """
    waiting, tries, left = deque(range(len(jobs))), Counter[int](), len(jobs)
    lost: list[str] = []
    while left:
        pool.grow(left)
        for member in pool.vacancies(depth=1):
            if waiting:
                number = waiting.popleft()
                job = jobs[number]
                shared = share(job.models, worker)
                reference = member.handle.ask.remote(job.ask, job.arguments(), member.lacking(shared))
                member.handed(Handed(number, job.label, reference), shared)
        for member in pool.ended():
            number = member.queue[0].number
            try:
                found = member.answers()
            except RayError as error:
                pool.dismiss(member)
                tries[number] += 1
                if tries[number] < TRIES:
                    waiting.appendleft(number)
                else:
                    left -= 1
                    lost.append(gave_up(jobs[number].label, error))
                continue
            member.queue.popleft()
            left -= 1
            yield number, found
    if lost:
        raise EngineError(" | ".join(lost))
