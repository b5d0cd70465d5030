"""Drive a plan: skip what is stored, run the rest on an engine, store every shard as it ends."""

from __future__ import annotations

from bisect import bisect, insort
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from math import prod
from operator import attrgetter
from types import MappingProxyType

from ..errors import ModelError
from ..planning.costs import Range, missing
from ..planning.plan import Task, tasks
from ..planning.schedule import Schedule
from ..specs import Cell
from ..store.images import KeptImages
from ..store.outcome import Outcome
from ..store.store import Shard, Store
from .engines import Engine
from .engines.local import Local
from .exchange import Answer, Failure, Inputs
from .forecast import Forecast
from .others import Others
from .worker import Worker

LOCAL = Local()
_START = attrgetter("start")


@dataclass
class Progress:
    """How far a run has come.

    Attributes:
        shards: shards of this run, and how many of them are answered.
        stored: shards of the plan that an earlier run had stored already, or another process meanwhile.
        share: of the run's time, what has passed.
        left: seconds until the run ends; None before a task has ended.
        doing: every worker and what it works on, where there are several.
        notes: a line for whatever the user should know of the workers.
    """

    shards: int
    stored: int
    done_shards: int = 0
    share: float = 0.0
    left: float | None = None
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
        failed: models that failed before the run began, with the reason; they are in no cell.
        keep_images: keep every attack's perturbed images, not only those that a later cell needs.
        on_progress: called before the first task and after each.

    Raises:
        ModelsFailed: a model failed; everything else is stored.
        StoreError: the store cannot be written.
    """
    by_id = {cell.id: cell for cell in cells}
    store.add_cells(by_id, count)
    with_images = _with_images(cells, keep_images)
    stored = store.ranges()
    usable = _with_their_images(stored, cells, store.images, with_images, count, keep_images)
    todo = tasks(cells, usable, count, pixels=prod(worker.data.image_shape), device=worker.device)
    progress = Progress(
        shards=sum(len(task.cells) for task in todo),
        stored=sum(start < count for cell_id in by_id for start, _ in usable.get(cell_id, ())),
        failed=dict(failed),
    )
    on_progress(progress)
    forecast = Forecast(todo, by_id)
    parents = Parents(cells, store, with_images)
    others = Others(store, stored, with_images, partial(_pass_over, progress, forecast))
    schedule = Schedule(todo, others.left)
    for batch in engine.run(schedule, worker, parents.inputs, with_images):
        finished: list[Shard] = []
        for task, answers in batch:
            finished += _shards(task, answers, store.images, with_images, progress.failed)
            forecast.learn(task, answers)
            progress.label = task.label if task.cells else progress.label
        added = store.add_shards(finished)
        parents.remember(added)
        if others.met(finished, added):
            schedule.elsewhere()
        progress.done_shards += len(finished)
        forecast.look(busy=sum(bool(what) for _, what in engine.doing))
        progress.share, progress.left = forecast.share, forecast.left
        progress.doing, progress.notes = engine.doing, engine.notes
        on_progress(progress)
    if progress.failed:
        raise ModelsFailed(progress)
    return progress


def _with_images(cells: Sequence[Cell], keep_all: bool) -> set[str]:
    """The cells whose perturbed images are wanted: of all attacks, or those that a later cell needs."""
    if keep_all:
        return {cell.id for cell in cells if cell.kind in ("attack", "noise")}
    return {parent for cell in cells if cell.needs_images for parent in cell.parents}


def _pass_over(progress: Progress, forecast: Forecast, task: Task) -> None:
    """Count what another process has stored meanwhile."""
    forecast.learn(task, ())
    progress.shards -= len(task.cells)
    progress.stored += len(task.cells)


def _shards(
    task: Task,
    answers: Iterable[Answer | Failure],
    kept: KeptImages,
    with_images: Collection[str],
    failed: dict[str, str],
) -> Iterator[Shard]:
    """A task's answers for the store, their images kept where they are wanted; why models failed goes to `failed`."""
    for answer in answers:
        if isinstance(answer, Failure):
            failed[answer.model] = answer.message
            continue
        if answer.images is not None and answer.cell.id in with_images:
            kept.keep(answer.cell.id, task.start, answer.images)
        yield Shard(answer.cell.id, task.start, task.stop, answer.outcome, answer.cost)


def _with_their_images(
    stored: Mapping[str, Sequence[Range]],
    cells: Sequence[Cell],
    kept: KeptImages,
    with_images: set[str],
    count: int,
    keep_all: bool,
) -> dict[str, Sequence[Range]]:
    """The stored ranges of samples, without those of attacks whose images are gone, where a later cell needs them or
    all are to be kept."""
    usable = dict(stored)
    children: dict[str, list[str]] = defaultdict(list)
    for cell in cells:
        for parent in cell.parents:
            children[parent].append(cell.id)
    # The last first: where a child is made again, its parents' images are needed too.
    for cell_id in dict.fromkeys(cell.id for cell in reversed(cells) if cell.id in with_images):
        if cell_id not in stored:
            continue
        ranges_of_children = [usable.get(child, ()) for child in children[cell_id]]
        with_their_images: list[Range] = []
        for start, stop in stored[cell_id]:
            wanted = start, min(stop, count)
            needed = keep_all or any(any(missing(wanted, ranges)) for ranges in ranges_of_children)
            if not needed or kept.fetch(cell_id, start, stop) is not None:
                with_their_images.append((start, stop))
        usable[cell_id] = with_their_images
    return usable


class Parents:
    """The stored answers that tasks start from: in memory where this run stored them itself, else read.

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
                    parent_images = self._images.fetch(parent, task.start, task.stop)
                    if parent_images is not None:
                        images[parent] = parent_images
                if cell.kind != "transfer":
                    outcome = self._outcome(parent, task.start, task.stop)
                    if outcome is not None and len(outcome) == task.stop - task.start:
                        outcomes[parent] = outcome
        return Inputs(outcomes, images)

    def _outcome(self, cell_id: str, start: int, stop: int) -> Outcome | None:
        stored = self._stored[cell_id]
        last = bisect(stored, start, key=_START) - 1
        if last >= 0 and stop <= stored[last].stop:
            return stored[last].outcome.cut(start - stored[last].start, stop - stored[last].start)
        return self._store.outcome(cell_id, start, stop)
