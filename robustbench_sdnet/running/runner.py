"""Drive a plan: skip what is stored, run the rest on an engine, store every shard as it ends."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..errors import ModelError
from ..planning.costs import Range, missing
from ..planning.plan import Task, tasks
from ..specs import Cell
from ..store.images import KeptImages
from ..store.store import Shard, Store
from .engines.local import Local
from .exchange import Failure
from .parents import Parents
from .worker import Worker

if TYPE_CHECKING:
    from .engines import Engine


LOCAL = Local()


@dataclass
class Progress:
    """How far a run has come; costs are sample passes at the most.

    Attributes:
        shards: shards of this run, and how many of them are answered.
        stored: shards of the plan that an earlier run had stored already.
        doing: every worker and what it works on, where there are several.
        notes: a line for whatever the user should know of the workers.
    """

    shards: int
    stored: int
    cost: int
    done_shards: int = 0
    done_cost: int = 0
    label: str = ""
    doing: Sequence[tuple[str, str]] = ()
    notes: Sequence[str] = ()
    failed: dict[str, str] = field(default_factory=dict)


class ModelsFailed(ModelError):
    """Models failed in a run; the others' answers are stored."""

    def __init__(self, progress: Progress) -> None:
        super().__init__(" | ".join(progress.failed.values()))
        self.progress = progress


def run(
    cells: Sequence[Cell],
    *,
    store: Store,
    worker: Worker,
    count: int,
    engine: Engine = LOCAL,
    keep_images: bool = False,
    failed: Mapping[str, str] = MappingProxyType({}),
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Answer every cell on the first `count` samples and store the answers.

    A model that fails is left out of the rest of the run; the others go on, and its error is raised at the end.

    Args:
        cells: the plan, parents before children.
        engine: where the tasks run.
        failed: models that failed before the run began, with the reason; they are in no cell.
        keep_images: keep every attack's perturbed images, not only those that a later cell needs.
        on_progress: called before the first task and after each.

    Raises:
        ModelsFailed: a model failed; everything else is stored.
        StoreError: the store cannot be written.
    """
    by_id = {cell.id: cell for cell in cells}
    store.add_cells(by_id, count)
    kept = store.images
    waiting = {parent for cell in cells if cell.needs_images for parent in cell.parents}
    attacks = {cell_id for cell_id, cell in by_id.items() if cell.kind in ("attack", "noise")}
    with_images = attacks if keep_images else waiting
    todo = _tasks(cells, store, worker, count, kept, with_images, keep_images)
    progress = Progress(
        shards=sum(len(task.cells) for task in todo),
        stored=sum(len(found) for cell_id, found in store.ranges().items() if cell_id in by_id),
        cost=sum(task.cost for task in todo),
        failed=dict(failed),
    )
    on_progress(progress)
    parents = Parents(cells, store, with_images)
    for batch in engine.run(todo, worker, parents.inputs, with_images):
        finished = []
        for task, answers in batch:
            for answer in answers:
                if isinstance(answer, Failure):
                    progress.failed[answer.model] = answer.message
                    continue
                if answer.images is not None and answer.cell.id in with_images:
                    kept.keep(answer.cell.id, task.start, answer.images)
                finished.append(Shard(answer.cell.id, task.start, task.stop, answer.outcome, answer.cost))
            progress.done_shards += len(task.cells)
            progress.done_cost += task.cost
            progress.label = task.label if task.cells else progress.label
        parents.remember(store.add_shards(finished))
        progress.doing, progress.notes = engine.doing, engine.notes
        on_progress(progress)
    if progress.failed:
        raise ModelsFailed(progress)
    return progress


def _tasks(
    cells: Sequence[Cell],
    store: Store,
    worker: Worker,
    count: int,
    kept: KeptImages,
    with_images: set[str],
    keep_all: bool,
) -> list[Task]:
    """Missing shards, and attack shards again whose images a later cell needs but are gone."""
    stored: dict[str, list[Range]] = store.ranges()
    again = {}
    for cell_id in with_images & set(stored):
        children = [stored.get(cell.id, []) for cell in cells if cell_id in cell.parents]
        again[cell_id] = [
            (a, b)
            for a, b in stored[cell_id]
            if (keep_all or any(any(missing((a, min(b, count)), child)) for child in children))
            and kept.fetch(cell_id, a, b) is None
        ]
    for cell_id, ranges in again.items():
        stored[cell_id] = [part for part in stored[cell_id] if part not in ranges]
    height, width = worker.data.image_shape
    return tasks(cells, stored, count, pixels=height * width, device=worker.device)
