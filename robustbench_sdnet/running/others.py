"""Other processes at work on the same store: what they answer meanwhile is not answered again."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from ..planning.costs import Range, missing
from ..planning.plan import Task
from ..specs import Cell
from ..store.store import Shard, Store


class Others:
    """Whether others are at work, and what is left of a task beside them.

    Nothing is claimed and nobody waits, so a process that is killed, stands still or has a wrong clock holds nothing
    up: at the worst a shard is answered twice and stored once. A process alone never looks.

    Args:
        stored: what the store held when the run began.
        with_images: cells whose perturbed images are wanted.
        pass_over: called with what others have stored of a task.
    """

    def __init__(
        self,
        store: Store,
        stored: Mapping[str, Sequence[Range]],
        with_images: Collection[str],
        pass_over: Callable[[Task], None],
    ) -> None:
        self._store, self._stored, self._with_images, self._pass_over = store, stored, with_images, pass_over
        self._others_seen = False

    def met(self, finished: Sequence[Shard], added: Sequence[Shard]) -> bool:
        """Whether something of what has `finished` was not `added` whole, though the run began without any of it."""
        own = set(map(id, added))
        others_seen = any(id(shard) not in own and self._is_of_this_run(shard) for shard in finished)
        self._others_seen |= others_seen
        return others_seen

    def _is_of_this_run(self, shard: Shard) -> bool:
        """Not so where answers are made again for their images alone."""
        wanted = shard.start, shard.stop
        return list(missing(wanted, self._stored.get(shard.cell_id, ()))) == [wanted]

    def left(self, task: Task) -> Task:
        """The task without the cells that are stored by now, once others were met."""
        if not self._others_seen:
            return task
        start, stop = task.start, task.stop
        stored = self._store.ranges({cell.id for cell in task.cells}, start, stop)
        rest, answered = list[Cell](), list[Cell]()
        for cell in task.cells:
            lacking = any(missing((start, stop), stored.get(cell.id, ())))
            if not lacking and cell.id in self._with_images:
                lacking = self._store.images.fetch(cell.id, start, stop) is None
            (rest if lacking else answered).append(cell)
        if not answered:
            return task
        self._pass_over(replace(task, cells=tuple(answered)))
        return replace(task, cells=tuple(rest))
