"""Which task may run next, where many run at once: parents before children by what is answered, not by order."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from random import SystemRandom

from .plan import Task


class Schedule:
    """Tasks by their number, handed out in order, each once its parents' answers on its range are there.

    Args:
        left: what is left of a task when it is to be handed out.
    """

    def __init__(self, tasks: Sequence[Task], left: Callable[[Task], Task] = lambda task: task) -> None:
        self.tasks, self._left = list(tasks), left
        self._first = 0  # the place in the plan that is handed out from, round to the start again
        self._children: dict[int, list[int]] = defaultdict(list)
        self._blockers: dict[int, int] = {}
        self._open = set(range(len(tasks)))
        wanted = {parent for task in tasks for cell in task.cells for parent in cell.parents}
        makers: dict[str, list[int]] = defaultdict(list)
        for number in sorted(range(len(tasks)), key=lambda number: tasks[number].start):
            for cell_id in {cell.id for cell in tasks[number].cells} & wanted if wanted else ():
                makers[cell_id].append(number)
        longest = max((tasks[n].stop - tasks[n].start for same in makers.values() for n in same), default=0)
        for number, task in enumerate(tasks):
            parents = {parent for cell in task.cells for parent in cell.parents}
            near = (self._starting(makers[one], task.start - longest, task.stop) for one in parents)
            before = {maker for found in near for maker in found if tasks[maker].stop > task.start}
            self._blockers[number] = len(before)
            for maker in before:
                self._children[maker].append(number)
        self._ready = [number for number, count in self._blockers.items() if count == 0]  # in order

    def __len__(self) -> int:
        """How many tasks are not ended."""
        return len(self._open)

    def _starting(self, numbers: Sequence[int], first: int, end: int) -> Sequence[int]:
        """Those of some tasks, in the order of their images, that start within a range."""
        low, high = (bisect_left(numbers, place, key=lambda n: self.tasks[n].start) for place in (first, end))
        return numbers[low:high]

    def next(self) -> int | None:
        """The number of a task that may run now; None where all wait for others, or none is left.

        A task of which nothing is left has no cells, and is done as soon as it is said to be.
        """
        if not self._ready:
            return None
        at = bisect_left(self._ready, self._first)
        number = self._ready.pop(at if at < len(self._ready) else 0)
        self.tasks[number] = self._left(self.tasks[number])
        if not self.tasks[number].cells:
            self.elsewhere()
        return number

    def __iter__(self) -> Iterator[Task]:
        """Tasks one after the other; each is done when the next is asked for."""
        while (number := self.next()) is not None:
            if self.tasks[number].cells:
                yield self.tasks[number]
            self.done(number)

    def elsewhere(self) -> None:
        """Hand out from another place on, any: somebody else is at work here."""
        if self._ready:
            self._first = SystemRandom().choice(self._ready)

    def again(self, numbers: Iterable[int]) -> None:
        """Tasks that were handed out and must be handed out again."""
        for number in numbers:
            insort(self._ready, number)

    def done(self, number: int) -> None:
        """A task has ended, its answers stored: its children, unless they ended with it, wait for one less."""
        self._open.discard(number)
        for child in self._children[number]:
            self._blockers[child] -= 1
            if self._blockers[child] == 0 and child in self._open:
                insort(self._ready, child)

    def split(self, number: int, parts: Sequence[Task]) -> None:
        """Put several tasks in the place of one; its children wait for all of them."""
        self._open.discard(number)
        for child in self._children[number]:
            self._blockers[child] += len(parts) - 1
        for part in parts:
            self._children[len(self.tasks)] = list(self._children[number])
            self._open.add(len(self.tasks))
            insort(self._ready, len(self.tasks))
            self.tasks.append(part)

    def lost(self, number: int) -> list[int]:
        """A task will never be answered: it and all that wait for it are ended, and returned."""
        found, todo = [], [number]
        while todo:
            number = todo.pop()
            if number in self._open:
                self._open.discard(number)
                found.append(number)
                todo.extend(self._children[number])
        return found
