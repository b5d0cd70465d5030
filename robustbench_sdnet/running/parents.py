"""What tasks need of their parents: from memory where this run stored it itself, else from the store."""

from __future__ import annotations

from bisect import bisect, insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from operator import attrgetter

from ..planning.plan import Task
from ..specs import Cell
from ..store.outcome import Outcome
from ..store.rows import Shard
from ..store.store import Store
from .exchange import Inputs

_START = attrgetter("start")


class Parents:
    """The stored answers that tasks of a run start from.

    Args:
        cells: the plan.
        with_images: cells whose perturbed images are kept.
    """

    def __init__(self, cells: Sequence[Cell], store: Store, with_images: Collection[str]) -> None:
        self._wanted = {parent for cell in cells for parent in cell.parents}
        self._store, self._images, self._with_images = store, store.images, with_images
        self._stored: dict[str, list[Shard]] = defaultdict(list)  # in order of samples

    def remember(self, stored: Iterable[Shard]) -> None:
        """Keep answers that are in the store as they are here, where a later task needs them."""
        for shard in stored:
            if shard.cell_id in self._wanted:
                insort(self._stored[shard.cell_id], shard, key=_START)

    def inputs(self, task: Task) -> Inputs:
        """The outcomes of a task's parents on its range, and their images where it needs or carries them on."""
        outcomes, images = {}, {}
        for cell in task.cells:
            for parent in cell.parents:
                if cell.needs_images or cell.id in self._with_images:
                    found = self._images.fetch(parent, task.start, task.stop)
                    if found is not None:
                        images[parent] = found
                if cell.kind != "transfer":
                    outcome = self._outcome(parent, task.start, task.stop)
                    if outcome is not None:
                        outcomes[parent] = outcome
        return Inputs(outcomes, images)

    def _outcome(self, cell_id: str, start: int, stop: int) -> Outcome | None:
        stored = self._stored[cell_id]
        last = bisect(stored, start, key=_START) - 1
        if last >= 0 and stop <= stored[last].stop:
            return stored[last].outcome.cut(start - stored[last].start, stop - stored[last].start)
        return self._store.outcome(cell_id, start, stop)
