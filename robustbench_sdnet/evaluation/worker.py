"""Answer tasks on one device: the only place that holds models and images.

An answer depends on its task alone, so any engine may run any task on any worker, in any order that puts parents
before children, and as often as it likes.
"""

from __future__ import annotations

import platform
import resource
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ModelError, StoreError
from ..specs import AttackSpec, Cell, CorruptionSpec, LambdaSpec, ModelSpec
from ..version import VERSION
from .deploy import deployed, logits_at_each
from .ladder import batches
from .outcome import Outcome
from .plan import Task
from .predict import check_labels, logits, margins, to_images

if TYPE_CHECKING:
    from ..attacks.result import AttackResult
    from ..data import ImageData

_NOTHING = np.float32(np.nan)


@dataclass(frozen=True, eq=False)
class Inputs:
    """What a task needs of its parents: outcomes and perturbed images, by cell id."""

    outcomes: Mapping[str, Outcome] = field(default_factory=dict)
    images: Mapping[str, NDArray[np.float32]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Answer:
    """The outcome of one cell of a task, what it cost, and the perturbed images of an attack."""

    cell: Cell
    outcome: Outcome
    cost: dict[str, Any]
    images: NDArray[np.float32] | None = None


@dataclass(eq=False)
class Worker:
    """Models and data on one device.

    Attributes:
        data: the images that are asked about.
        load: from a `ModelSpec` to a module in evaluation mode on the device.
        device: "cpu", "cuda", "cuda:1", ...
        batch_size: the largest batch, top rung of the ladder.
    """

    data: ImageData
    load: Callable[[ModelSpec], nn.Module]
    device: str = "cpu"
    batch_size: int = 250
    _models: dict[ModelSpec, nn.Module] = field(default_factory=dict)

    def answer(self, task: Task, inputs: Inputs) -> list[Answer]:
        """Every cell of a task, in order.

        Raises:
            ModelError: a model cannot be loaded, raised, or returned something that is not finite logits.
        """
        if isinstance(task.cells[0].perturbation, CorruptionSpec):
            return list(self._corruption(task, task.cells[0].perturbation))
        return [self._attack(task, cell, inputs) for cell in task.cells]

    def model(self, spec: ModelSpec) -> nn.Module:
        """A model, loaded once."""
        if spec not in self._models:
            self._models[spec] = self.load(spec)
        return self._models[spec]

    def _labels(self, task: Task) -> tuple[Tensor, NDArray[np.int64]]:
        labels = torch.from_numpy(np.asarray(self.data.labels[task.start : task.stop], dtype=np.int64))
        return labels.to(self.device), np.asarray(self.data.ids[task.start : task.stop], dtype=np.int64)

    def _corruption(self, task: Task, spec: CorruptionSpec) -> Iterator[Answer]:
        pixels = corrupted(self.data, spec, task.start, task.stop)
        labels, ids = self._labels(task)
        for model_spec in dict.fromkeys(cell.model for cell in task.cells):
            cells = [cell for cell in task.cells if cell.model == model_spec]
            yield from self._predict(model_spec, cells, pixels, labels, ids)

    def _predict(
        self, spec: ModelSpec, cells: Sequence[Cell], pixels: NDArray[np.uint8], labels: Tensor, ids: NDArray[np.int64]
    ) -> Iterator[Answer]:
        model = self.model(spec)
        lams = [cell.lam for cell in cells]
        found: list[list[Prediction]] = [[] for _ in cells]
        started = time.perf_counter()
        for start, stop, size in batches(len(pixels), self.batch_size):
            images = to_images(pixels[start:stop], self.device)
            residual = self._residual(model, spec, images)
            for index, (output, lam) in enumerate(logits_at_each(model, images, lams, size=size, name=spec.name)):
                check_labels(int(labels[start:stop].max()), output.shape[1], spec.name)
                found[index].append(_prediction(output, labels[start:stop], lam, residual))
        seconds = (time.perf_counter() - started) / len(cells)
        for cell, parts in zip(cells, found, strict=True):
            joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
            broken = np.where(joined["right"], -1, 0).astype(np.int32)
            outcome = Outcome(ids=ids, broken_at=broken, distance=np.full(len(ids), _NOTHING), **joined)
            yield Answer(cell, outcome, self._cost(cell, len(ids), 0, seconds))

    def _attack(self, task: Task, cell: Cell, inputs: Inputs) -> Answer:
        spec, labels_ids, model = cell.perturbation, self._labels(task), self.model(cell.model)
        labels, ids = labels_ids
        assert isinstance(spec, AttackSpec)  # narrows the type: the other kind of cell is answered above
        images = to_images(self.data.images(task.start, task.stop), self.device)
        residual = self._residual(model, cell.model, images)
        started = time.perf_counter()
        if cell.kind == "transfer":
            perturbed = torch.from_numpy(inputs.images[cell.parents[0]]).to(self.device)
            outcome, forwards, backwards = self._transfer(cell, model, perturbed, labels, ids, residual)
            return Answer(cell, outcome, self._cost(cell, forwards, backwards, time.perf_counter() - started))
        alive = torch.arange(len(ids))
        before = inputs.outcomes[cell.parents[0]] if cell.parents else None
        if before is not None:
            alive = torch.from_numpy(np.flatnonzero(before.right))
        if len(alive) == 0:
            assert before is not None  # a shard is never empty, so only a parent can leave nobody
            return Answer(cell, before, self._cost(cell, 0, 0, 0.0), images.cpu().numpy())
        there = alive.to(self.device)
        with deployed(model, cell.lam_attack) as classifier:
            result = run_attack(cell, spec, classifier, images[there], labels[there], ids[alive.numpy()], self.batch_size)
        images[there] = result.images.to(images.dtype)
        outcome = _attack_outcome(result, ids, alive.numpy(), before, _lambda_value(cell.lam), residual)
        cost = self._cost(cell, result.forwards, result.backwards, time.perf_counter() - started)
        return Answer(cell, outcome, cost, images.cpu().numpy())

    def _transfer(
        self,
        cell: Cell,
        model: nn.Module,
        perturbed: Tensor,
        labels: Tensor,
        ids: NDArray[np.int64],
        residual: Tensor | None,
    ) -> tuple[Outcome, int, int]:
        parts = []
        for start, stop, size in batches(len(ids), self.batch_size):
            part = None if residual is None else residual[start:stop]
            with deployed(model, cell.lam) as classifier:
                output = logits(classifier, perturbed[start:stop], size=size, name=cell.model.name)
            parts.append(_prediction(output, labels[start:stop], _lambda_value(cell.lam), part))
        joined = {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}
        broken = np.where(joined["right"], -1, 0).astype(np.int32)
        return Outcome(ids=ids, broken_at=broken, distance=np.full(len(ids), _NOTHING), **joined), len(ids), 0

    def _residual(self, model: nn.Module, spec: ModelSpec, images: Tensor) -> Tensor | None:
        from ..zoo import residuals

        if not spec.has_lambda:
            return None
        with torch.no_grad():
            return torch.cat([residuals(model, images[a:b]) for a, b, _ in batches(len(images), self.batch_size)])

    def _cost(self, cell: Cell, forwards: int, backwards: int, seconds: float) -> dict[str, Any]:
        cuda = self.device.startswith("cuda")
        peak = torch.cuda.max_memory_allocated() if cuda else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        return {
            "forwards": forwards,
            "backwards": backwards,
            "seconds": round(seconds, 4),
            "memory_mib": round(peak / 2**20),
            "device": torch.cuda.get_device_name() if cuda else f"cpu ({platform.machine()})",
            "precision": cell.precision,
            "versions": {"robustbench_sdnet": VERSION, "torch": torch.__version__, "numpy": np.__version__},
        }


Prediction = dict[str, NDArray[Any]]


def corrupted(data: ImageData, spec: CorruptionSpec, start: int, stop: int) -> NDArray[np.uint8]:
    """The images at positions start to stop under a corruption, uint8 (n, h, w, 3), from the generator or the published files."""
    if spec.source == "published":
        assert spec.severity is not None and data.published is not None  # the plan asks only for what is there
        return data.published(spec.name, spec.severity, start, stop)
    pixels = data.images(start, stop)
    if spec.name == "clean":
        return pixels
    from ..corruptions import corrupt

    level = None if spec.level is None else float(spec.level)
    found: NDArray[np.uint8] = corrupt(
        pixels, spec.name, severity=spec.severity or 3, level=level, seed=spec.seed, sample_ids=data.ids[start:stop]
    )
    return found


def run_attack(
    cell: Cell,
    spec: AttackSpec,
    classifier: Callable[[Tensor], Tensor],
    images: Tensor,
    labels: Tensor,
    ids: NDArray[np.int64],
    batch_size: int,
) -> AttackResult:
    """Run a cell's attack; what goes wrong inside is one line that names the model and the attack."""
    from .. import attacks

    try:
        return attacks.run(
            spec.name,
            classifier,
            images,
            labels,
            eps=None if spec.eps is None else float(spec.eps),
            norm=spec.norm,
            params=dict(spec.params),
            seed=spec.seed,
            sample_ids=torch.from_numpy(ids),
            precision=cell.precision,
            batch_size=batch_size,
        )
    except ModelError as error:
        raise ModelError(f"{cell.model.name} under {spec.label}: {error}") from error


def _prediction(output: Tensor, labels: Tensor, lam: float | Tensor | None, residual: Tensor | None) -> Prediction:
    n = len(labels)
    lam_values = lam.float().cpu().numpy() if isinstance(lam, Tensor) else np.full(n, _NOTHING if lam is None else lam)
    return {
        "right": (output.argmax(1) == labels).cpu().numpy(),
        "margin": margins(output.float(), labels).cpu().numpy(),
        "lam": lam_values.astype(np.float32),
        "residual": np.full(n, _NOTHING) if residual is None else residual.float().cpu().numpy(),
    }


def _attack_outcome(
    result: AttackResult,
    ids: NDArray[np.int64],
    alive: NDArray[np.int64],
    before: Outcome | None,
    lam: float | None,
    residual: Tensor | None,
) -> Outcome:
    """The outcome of a shard of which only the samples at `alive` were attacked; the others keep their parent's."""
    n = len(ids)
    distance = result.extra.get("distance")
    fresh: dict[str, NDArray[Any]] = {
        "right": result.robust.cpu().numpy(),
        "broken_at": result.broken_at.cpu().numpy().astype(np.int32),
        "margin": result.margin.float().cpu().numpy(),
        "distance": np.full(len(alive), _NOTHING) if distance is None else distance.float().cpu().numpy(),
    }
    merged: dict[str, NDArray[Any]] = {}
    for key, values in fresh.items():
        merged[key] = np.empty(n, values.dtype) if before is None else getattr(before, key).copy()
        merged[key][alive] = values
    return Outcome(
        ids=ids,
        lam=np.full(n, _NOTHING if lam is None else lam, np.float32),
        residual=np.full(n, _NOTHING) if residual is None else residual.float().cpu().numpy(),
        **merged,
    )


def _lambda_value(lam: LambdaSpec | None) -> float | None:
    return None if lam is None else lam.fixed


@contextmanager
def clear_errors(model: ModelSpec) -> Iterator[None]:
    """Name the model in errors that come from deep below it."""
    try:
        yield
    except StoreError:
        raise
    except torch.OutOfMemoryError as error:
        raise ModelError(f"{model.name} does not fit the device's memory. Take a smaller --batch-size.") from error
