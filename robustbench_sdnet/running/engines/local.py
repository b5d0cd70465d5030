"""The local engine: tasks in order, in this process, on one device."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from ...planning.plan import Task
from ..worker import Answer, Failure, Inputs, Worker


def run(
    tasks: Iterable[Task], worker: Worker, inputs: Callable[[Task], Inputs]
) -> Iterator[tuple[Task, list[Answer | Failure]]]:
    """Answer tasks one after the other.

    Args:
        tasks: parents before children.
        worker: holds the models, the images and the device.
        inputs: fetches what a task needs of its parents, called when their answers are stored.
    """
    for task in tasks:
        yield task, worker.answer(task, inputs(task))
