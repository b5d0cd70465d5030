"""A setting resolved: models and images at hand, a worker for them, and what they answer to cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ..data import ImageData, load
from ..data.published import PublishedPixels
from ..devices import pick_device
from ..errors import DataError, InputError
from ..planning.identity import known
from ..planning.setting import Setting
from ..specs import Cell, ModelSpec
from ..store.repair import check, repair
from ..store.store import Store
from .at_hand import default_data, model_specs
from .device import idle_gpus, pick_batch_size
from .engines import Engine, engine_of
from .runner import ModelsFailed, Progress, run
from .worker import Worker


@dataclass(frozen=True)
class Ready:
    """A setting resolved: the images, the models that will be asked, and a worker for them.

    Attributes:
        engine: where the cells are answered.
        failed: models that could not be loaded, or failed since, with the reason; the others are asked.
        notes: one line for the models at hand that were left out, for whatever was damaged in the store and is dropped,
            for every model that changed since its answers were stored, or is randomised, and for classes left out.
    """

    setting: Setting
    data: ImageData
    models: list[ModelSpec]
    worker: Worker
    count: int
    engine: Engine
    notes: Sequence[str] = ()
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def sound(self) -> list[ModelSpec]:
        """The models that have not failed."""
        return [model for model in self.models if model.name not in self.failed]

    def training_data(self) -> ImageData:
        """The training split that belongs to the images; an InputError where it is of another size."""
        found, asked = load(self.data.training_set, "train", self.setting.data_root), self.data
        if found.image_shape != asked.image_shape:
            own, wanted = ("x".join(map(str, data.image_shape)) for data in (found, asked))
            raise InputError(
                f"Lambda policies are fitted on training images of the same size as those of {asked.name} ({wanted}), "
                f"but those of {found.name} are {own}. Give numbers as lambda."
            )
        return found

    def has_images(self) -> bool:
        """Whether the clean images are at hand: a folder of corrupted images may lack them."""
        if not isinstance(self.data.pixels, PublishedPixels):
            return True
        try:
            self.data.images(0, 1)
        except DataError:
            return False
        return True


def prepare(setting: Setting, *, stored: bool = True) -> Ready:
    """Find data and models, pick the device, and look whether the store is sound, or repair it.

    Args:
        stored: off where nothing will be stored.

    Raises:
        StoreError: the store is damaged, and the setting does not say to repair it.
        InputError: an unknown name, no model at hand, or a device that is not there.
        DataError: the data set is damaged.
    """
    runs = Path(setting.runs)
    name = setting.data or default_data(setting.models, runs)
    device = pick_device(setting.device)
    data = load(name, setting.split, setting.data_root)
    specs, failed, left_out = model_specs(setting.models, data, runs, setting.data_root, device)
    specs = [spec.counted(setting.repeats) for spec in specs]
    models, notes = _known(specs, setting) if stored else (specs, [])
    height, width = data.image_shape
    batch = pick_batch_size(setting.batch_size, device, height * width)
    worker = Worker(data=data, device=device, batch_size=batch)
    count = min(setting.limit or len(data), len(data))
    missing = data.pixels.missing() if isinstance(data.pixels, PublishedPixels) else None
    idle = idle_gpus(device) if setting.engine == "local" else None
    notes = [*left_out, *notes, *filter(None, (missing, _few_classes(data, count), idle))]
    return Ready(setting, data, models, worker, count, engine_of(setting), notes, failed)


def _few_classes(data: ImageData, count: int) -> str | None:
    """A line where the first images lack classes that the others have, as in arrays that lie class by class."""
    seen, there = (len(np.unique(labels)) for labels in (data.labels[:count], data.labels))
    if not data.grouped or seen == there:
        return None
    return (
        f"the first {count:,} images of {data.name} cover only {seen:,} of the {there:,} classes that have images, "
        "because it is sorted by class. Shuffle its images with their labels."
    )


def _known(models: list[ModelSpec], setting: Setting) -> tuple[list[ModelSpec], list[str]]:
    """The models as the store knows them, once it is sound; answers of others with their names are renamed."""
    with Store(setting.store, repair=setting.repair) as store:
        lost = repair(store) if setting.repair else []
        found, renamed, notes = known(models, check(store))
        if renamed:
            store.add_cells(renamed)
    return found, [*(f"the store was repaired and lost {row}" for row in lost), *notes]


def answer(
    ready: Ready,
    cells: Sequence[Cell],
    *,
    keep_images: bool = False,
    on_progress: Callable[[Progress], None] = lambda progress: None,
) -> Progress:
    """Answer cells and store the answers as `runner.run` does: what is stored already is not run again."""
    with Store(ready.setting.store) as store:
        return run(
            cells,
            store=store,
            worker=ready.worker,
            count=ready.count,
            engine=ready.engine,
            keep_images=keep_images,
            failed=ready.failed,
            on_progress=on_progress,
        )


def answer_some(ready: Ready, cells: Sequence[Cell], on_progress: Callable[[Progress], None]) -> None:
    """Answer cells as `answer` does; models that fail are among `ready.failed` from then on, an error when all have."""
    try:
        answer(ready, cells, on_progress=on_progress)
    except ModelsFailed as error:
        ready.failed.update(error.progress.failed)
        if not ready.sound:
            raise
