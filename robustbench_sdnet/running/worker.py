"""Answer tasks on one device: the only place that holds models and images.

An answer depends on its task alone, so any engine may run any task on any worker, in any order that puts parents
before children, and as often as it likes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..data.tensors import to_images
from ..devices import full_float32
from ..errors import ModelError, SdnetBenchError, about, out_of_memory
from ..planning.identity import model_spec
from ..planning.plan import Task
from ..specs import AttackSpec, Cell, CorruptionSpec, LambdaSpec, ModelSpec, SequenceSpec
from ..store.outcome import Outcome
from ..version import VERSION
from ..zoo import describe_model, load_model, residuals
from ..zoo.names import EXTERNAL_KINDS, kind_of
from ..zoo.others.fingerprint import check_unchanged
from ..zoo.others.guard import named_errors
from . import outcomes
from .deploy import BatchLogits, deployed, lambda_of, logits_at_each, seeding
from .device import device_name, peak_memory
from .exchange import Answer, Failure, Inputs, of_parent
from .outcomes import Prediction
from .perturbed import frames_of, run_attack, task_images
from .predict import batches, classes_of

if TYPE_CHECKING:
    from ..data import ImageData
    from ..lambdas import Policy


@dataclass(frozen=True, eq=False)
class ShardInput:
    """The samples of a shard: pixels uint8 (n, h, w, 3), corrupted or not; labels (n,) on the device; ids (n,)."""

    pixels: NDArray[np.uint8]
    labels: Tensor
    ids: NDArray[np.int64]


@dataclass(eq=False)
class Worker:
    """Models and data on one device; made of plain values, so that any process can have one.

    Attributes:
        data: the images that are asked about.
        load: from a `ModelSpec` to a module in evaluation mode; None for what its source says.
        device: "cpu", "cuda", "cuda:1", ...
        batch_size: the largest batch, top rung of the ladder.
        policies: by the model's key, what a model's input-dependent lambdas stand for.
    """

    data: ImageData
    load: Callable[[ModelSpec], nn.Module] | None = None
    device: str = "cpu"
    batch_size: int = 250
    policies: dict[str, dict[LambdaSpec, Policy]] = field(default_factory=dict)
    _models: dict[ModelSpec, nn.Module] = field(default_factory=dict)
    _failed: dict[ModelSpec, Failure] = field(default_factory=dict)

    def __getstate__(self) -> dict[str, Any]:
        """Without the models, which a worker in another process loads itself."""
        return {**self.__dict__, "_models": {}, "_failed": {}}

    @full_float32()
    @torch.inference_mode(False)  # attacks find no gradient in it, and models made in it give none later
    def answer(self, task: Task, inputs: Inputs) -> list[Answer | Failure]:
        """Every cell of a task, or why its model cannot answer."""
        part = slice(task.start, task.stop)
        labels = torch.from_numpy(np.asarray(self.data.labels[part], np.int64)).to(self.device)
        shard = ShardInput(task_images(self.data, task), labels, np.asarray(self.data.ids[part], np.int64))
        found: list[Answer | Failure] = []
        for spec in dict.fromkeys(cell.model for cell in task.cells):
            cells = [cell for cell in task.cells if cell.model == spec]
            if spec not in self._failed:
                try:
                    found.extend(self._answers(spec, cells, shard, inputs))
                    continue
                except SdnetBenchError as error:
                    self._failed[spec] = Failure(spec.name, about(spec.name, error))
                except (RuntimeError, MemoryError) as error:
                    if not out_of_memory(error):
                        raise
                    self._failed[spec] = Failure(
                        spec.name,
                        f"{spec.name} does not fit the device's memory. Take a smaller --batch-size.",
                    )
            found.append(self._failed[spec])
        return found

    @full_float32()
    @torch.inference_mode(False)
    def model(self, spec: ModelSpec) -> nn.Module:
        """A model, loaded once."""
        if spec not in self._models:
            self._models[spec] = self.read(spec).to(self.device)
        return self._models[spec]

    def read(self, spec: ModelSpec) -> nn.Module:
        """A model as it is loaded anew."""
        return self.load(spec) if self.load else loaded(spec, self.data.image_shape)

    def deployed(self, spec: ModelSpec, lam: LambdaSpec | None) -> AbstractContextManager[nn.Module]:
        """A model as it answers at `lam`, behind a policy where that is one."""
        return deployed(self.model(spec), lam, self.policies.get(spec.key, {}))

    def _answers(self, spec: ModelSpec, cells: list[Cell], shard: ShardInput, inputs: Inputs) -> list[Answer]:
        attacked = isinstance(cells[0].perturbation, AttackSpec)
        if not attacked and spec.repeats is None:
            return list(self._predict(spec, cells, shard))
        # A model may draw numbers while it is loaded and first called: not those that a cell is seeded for.
        first = to_images(shard.pixels[:1], self.device)
        self.data.check_classes(classes_of(self.model(spec), first, spec.name), spec.name)
        if not attacked:
            return [self._drawn(cell, shard) for cell in cells]
        found = []
        for cell in cells:
            perturb = self._transfer if cell.kind == "transfer" else self._attack
            with seeding(cell, shard.ids, self.device):
                found.append(perturb(cell, shard, inputs))
        return found

    def _predict(self, spec: ModelSpec, cells: Sequence[Cell], shard: ShardInput) -> Iterator[Answer]:
        """All lambdas of one model on each batch, so that a batch is moved and converted once."""
        self.model(spec)  # is loaded before the clock starts
        lams, perturbation = [cell.lam for cell in cells], cells[0].perturbation
        sequence = perturbation if isinstance(perturbation, SequenceSpec) else None
        predictions = [list[Prediction]() for _ in cells]  # of each cell, batch after batch
        forwards = [0] * len(cells)
        started = time.perf_counter()
        for start, stop, size in batches(len(shard.pixels), self.batch_size):
            labels = shard.labels[start:stop]
            frames = [list[tuple[Tensor, Prediction]]() for _ in cells]  # of each cell, on this batch
            residual = None
            batch_frames = frames_of(shard.pixels[start:stop], perturbation, shard.ids[start:stop])
            for frame, pixels in enumerate(batch_frames):
                images = to_images(pixels, self.device)
                residual = residual if frame else self._residual(spec, images)
                for index, answered in enumerate(self._at_each(cells[0], images, lams, size)):
                    self.data.check_classes(answered.logits.shape[1], spec.name)
                    # Frames wait for each other where there is room; a lone one's logits need not leave the device.
                    logits = answered.logits.cpu() if sequence else answered.logits
                    frames[index].append((logits, outcomes.prediction(answered, labels, residual)))
                    forwards[index] += answered.passes
            for of_cell, of_frames in zip(predictions, frames, strict=True):
                of_cell.append(outcomes.along_sequence(sequence, of_frames) if sequence else of_frames[0][1])
        seconds = (time.perf_counter() - started) / len(cells)
        for cell, of_cell, passes in zip(cells, predictions, forwards, strict=True):
            yield Answer(cell, outcomes.outcome_of(of_cell, shard.ids), self._cost(cell, passes, 0, seconds))

    def _drawn(self, cell: Cell, shard: ShardInput) -> Answer:
        """The answer of a randomised model, over several draws."""
        assert cell.model.repeats is not None  # narrows the type
        answers = list[Answer]()

        def answer() -> Outcome:
            answers.extend(self._predict(cell.model, [cell], shard))
            return answers[-1].outcome

        with seeding(cell, shard.ids, self.device):
            outcome = outcomes.over_draws(answer, cell.model.repeats)
        passes, seconds = (sum(one.cost[key] for one in answers) for key in ("forwards", "seconds"))
        return Answer(cell, outcome, self._cost(cell, passes, 0, seconds))

    def _transfer(self, cell: Cell, shard: ShardInput, inputs: Inputs) -> Answer:
        """What is left of another cell's perturbed images."""
        started = time.perf_counter()
        images = torch.from_numpy(of_parent(inputs.images, cell)).to(self.device)
        outcome, passes = self._judged(cell, images, shard, self._residual(cell.model, images))
        return Answer(cell, outcome, self._cost(cell, passes, 0, time.perf_counter() - started))

    def _attack(self, cell: Cell, shard: ShardInput, inputs: Inputs) -> Answer:
        """A search for perturbations, from where the cell's parent ended: its images, or those that it left right."""
        started = time.perf_counter()
        ids, images = shard.ids, to_images(shard.pixels, self.device)
        start = torch.from_numpy(of_parent(inputs.images, cell)).to(self.device) if cell.warm else None
        parent = of_parent(inputs.outcomes, cell) if cell.parents and start is None else None
        repeats = cell.model.repeats  # of a randomised model, whose attacks go on while any draw is right
        alive = np.arange(len(ids))
        if parent is not None:
            alive = np.flatnonzero(parent.right if parent.hits is None else parent.hits)
        if parent is not None and len(alive) == 0:
            kept = self._before(cell, inputs, images).cpu().numpy()
            return Answer(cell, parent, self._cost(cell, 0, 0, 0.0), kept)
        attacked = torch.from_numpy(alive).to(self.device)
        with self.deployed(cell.model, cell.lam_attack) as classifier:
            result = run_attack(
                cell, classifier, images[attacked], shard.labels[attacked], ids[alive], self.batch_size, start
            )
        adversarial = images if parent is None else self._before(cell, inputs, images)
        if parent is None or parent.hits is None:
            adversarial[attacked] = result.images.to(images.dtype)
        else:  # of a randomised model the image that left the fewest right draws
            fewer = result.extra["hits"] < torch.from_numpy(parent.hits[alive]).to(self.device)
            adversarial[attacked[fewer]] = result.images[fewer].to(images.dtype)
        final = adversarial[attacked]
        lams, residual = self._lambdas(cell, final), self._residual(cell.model, final)
        minimal = isinstance(cell.perturbation, AttackSpec) and cell.perturbation.eps is None
        outcome = outcomes.attack_outcome(result, ids, alive, parent, lams, residual, minimal=minimal)
        passes = result.forwards
        if repeats is not None:
            drawn, more = self._judged(cell, adversarial, shard, None)
            outcome, passes = outcomes.judged_by_draws(outcome, drawn), passes + more
        cost = self._cost(cell, passes, result.backwards, time.perf_counter() - started)
        if result.gradients:
            cost |= {"gradients": result.gradients, "silent": result.silent}
        return Answer(cell, outcome, cost, adversarial.cpu().numpy())

    def _before(self, cell: Cell, inputs: Inputs, images: Tensor) -> Tensor:
        """What the parent made of the images, where it was kept: it shows how those that broke there broke."""
        made = inputs.images.get(cell.parents[0])
        # A copy: the attack's own are written into it, and an engine may share what it hands in.
        return images if made is None else torch.tensor(made, device=self.device)

    def _judged(
        self, cell: Cell, images: Tensor, shard: ShardInput, residual: Tensor | None
    ) -> tuple[Outcome, int]:
        """The outcome of perturbed images, of a randomised model over several draws; and its passes."""
        repeats, passes = cell.model.repeats, list[int]()

        def judge() -> Outcome:
            parts = []
            for start, stop, size in batches(len(images), self.batch_size):
                part = None if residual is None else residual[start:stop]
                for answered in self._at_each(cell, images[start:stop], [cell.lam], size):
                    parts.append(outcomes.prediction(answered, shard.labels[start:stop], part))
                    passes.append(answered.passes)
            return outcomes.outcome_of(parts, shard.ids)

        outcome = judge() if repeats is None else outcomes.over_draws(judge, repeats)
        return outcome, sum(passes)

    def _at_each(
        self, cell: Cell, images: Tensor, lams: Sequence[LambdaSpec | None], size: int
    ) -> Iterator[BatchLogits]:
        """A batch at each lambda; predictions are screened in bfloat16 where the cell says so, transfer never is."""
        return logits_at_each(
            self.model(cell.model),
            images,
            lams,
            self.policies.get(cell.model.key, {}),
            size=size,
            name=cell.model.name,
            screen=cell.precision == "bfloat16" and isinstance(cell.perturbation, CorruptionSpec),
        )

    def _lambdas(self, cell: Cell, images: Tensor) -> Tensor | float | None:
        """The lambda that a prediction of each image is made at, (n,) behind a policy."""
        model, policies = self.model(cell.model), self.policies.get(cell.model.key, {})
        parts = [images[start:stop] for start, stop, _ in batches(len(images), self.batch_size)]
        with named_errors(cell.model.name), torch.no_grad():
            found = [lambda_of(model, part, cell.lam, policies) for part in parts]
        each = [lam for lam in found if isinstance(lam, Tensor)]
        return torch.cat(each) if each else found[0]

    def _residual(self, spec: ModelSpec, images: Tensor) -> Tensor | None:
        if not spec.has_lambda:
            return None
        parts = [images[start:stop] for start, stop, _ in batches(len(images), self.batch_size)]
        with named_errors(spec.name), torch.no_grad():
            return torch.cat([residuals(self.model(spec), part) for part in parts])

    def _cost(self, cell: Cell, forwards: int, backwards: int, seconds: float) -> dict[str, Any]:
        return {
            "forwards": forwards,
            "backwards": backwards,
            "seconds": round(seconds, 4),
            "memory_mib": round(peak_memory(self.device) / 2**20),
            "device": device_name(self.device),
            "threads": torch.get_num_threads(),
            "precision": cell.precision,
            "versions": {"robustbench_sdnet": VERSION, "torch": torch.__version__, "numpy": np.__version__},
        }


def loaded(spec: ModelSpec, size: Sequence[int]) -> nn.Module:
    """The model that is asked, for images of a height and width; a ModelError where it cannot be had, or is another."""
    model: nn.Module = load_model(spec.source)
    if kind_of(spec.source) in EXTERNAL_KINDS:
        check_unchanged(model, spec, lambda: load_model(spec.source), size)
    elif model_spec(describe_model(spec.source)).key != spec.key:  # read after the weights
        raise ModelError(
            f"{spec.name} has other weights or options than when this run began: its file was written anew, as by a "
            "training that goes on, or is another one on this machine. Run the same command again."
        )
    return model
