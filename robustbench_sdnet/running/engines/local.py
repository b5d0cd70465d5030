"""The local engine: tasks in order, in this process, on one device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ...planning.plan import Task
from ..exchange import Answer, Failure, Inputs
from ..worker import Worker


class Local:
    """One worker, which is the driver itself."""

    def run(
        self, tasks: Iterable[Task], worker: Worker, inputs: Callable[[Task], Inputs]
    ) -> Iterator[tuple[Task, list[Answer | Failure]]]:
        """Answer tasks one after the other; see `Engine`."""
        for task in tasks:
            yield task, worker.answer(task, inputs(task))

    def close(self) -> None:
        """Nothing to end."""
