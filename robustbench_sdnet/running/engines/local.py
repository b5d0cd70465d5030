"""The local engine: tasks in order, in this process, on one device."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from ...errors import SdnetBenchError
from ...planning.plan import Task
from ...planning.schedule import Schedule
from ..exchange import Answer, Failure, Inputs
from ..worker import Worker
from . import Job

if TYPE_CHECKING:
    from ...planning.setting import Setting


class Local:
    """One worker, which is the driver itself."""

    doing: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()

    def __init__(self, setting: Setting | None = None) -> None:
        """The setting says nothing that the worker does not say."""

    def run(
        self, tasks: Schedule, worker: Worker, inputs: Callable[[Task], Inputs], kept: Collection[str]
    ) -> Iterator[list[tuple[Task, list[Answer | Failure]]]]:
        """Answer tasks one after the other; see `Engine`."""
        for task in tasks:
            yield [(task, worker.answer(task, inputs(task)))]

    def ask(
        self, jobs: Sequence[Job], worker: Worker, on_wait: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[int, Any]]:
        """Do jobs one after the other; see `Engine`."""
        for number, job in enumerate(jobs):
            yield number, _done(job, worker, job.arguments())

    def close(self) -> None:
        """Nothing to end."""


def _done(job: Job, worker: Worker, arguments: tuple[Any, ...]) -> Any:
    try:
        return job.ask(worker, *arguments)
    except SdnetBenchError as error:
        return error
