"""One training run: recipe, folder, resume, checkpoints, events. `train` is the public function."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from .. import data as datasets
from ..data.images import ImageData
from ..errors import TrainingError
from ..zoo.control import refresh_step_sizes
from ..zoo.registry import architecture
from ..zoo.sdnet import build_model
from ..zoo.weights import save_model
from . import distributed, folders
from .curves import Curves
from .device import Device, choose
from .feed import Shard, make_feed
from .loop import Event, Session, accuracy_of, fit, seconds_a_step, start
from .recipe import Recipe
from .state import load_state, save_state, write_atomically

PROBE_FROM = 50  # steps; shorter runs start at once


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """What a run gave.

    Attributes:
        folder: everything it wrote.
        best: checkpoint chosen on held-out training images, or the last one where none are held out.
        last: checkpoint of the last epoch.
        seconds: of this call.
        steps_total: of the whole run.
        steps_run: of this call.
        resumed_at_step: where this call began.
        accuracy: of `last` on the test images, in [0, 1].
    """

    folder: Path
    best: Path
    last: Path
    seconds: float
    steps_total: int
    steps_run: int
    resumed_at_step: int
    accuracy: float

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        raw = asdict(self)
        return {key: str(value) if isinstance(value, Path) else value for key, value in raw.items()}


def train(
    data: str,
    arch: str,
    *,
    recipe: str | Recipe | None = None,
    overrides: Mapping[str, Any] | None = None,
    output: str | Path | None = None,
    resume: bool = False,
    device: str = "auto",
    data_root: str | Path | None = None,
    runs: str | Path = "runs",
    on_event: Callable[[Event], None] | None = None,
) -> TrainResult:
    """Train a model and save it.

    Args:
        data: name of a data set.
        arch: name of an architecture.
        recipe: a name, the path of a YAML file, or a recipe; None is "published".
        overrides: "train.epochs" -> 30 and the like.
        output: the run's folder; None makes `runs/<data>-<arch>-<time>`, or finds the newest one to resume.
        resume: go on from the last state of the folder, from the beginning where there is none.
        device: "auto", "cpu", "cuda", "cuda:1".
        data_root: folder of downloaded data.
        runs: where run folders are made.
        on_event: called with what happens ("start", "step", "epoch", "saved", "done").

    Raises:
        InputError: unknown names or keys, a folder that cannot be written or holds another run.
        DataError: damaged data.
        TrainingError: the loss is not finite, or the run was interrupted (its state is saved first).
    """
    begun = time.monotonic()
    architecture(arch)
    datasets.check_name(data)
    wanted = folders.resolve_recipe(recipe, overrides or {}, data)
    rank, count, local_rank = distributed.world()
    folder = folders.choose_folder(data, arch, output, Path(runs), resume)
    plan = folders.plan_run(folder, data, arch, wanted, explicit=bool(recipe or overrides), resume=resume)
    chosen = choose(device, plan.train, local_rank)
    plan = folders.settle(plan, chosen, count)
    joined = distributed.join(chosen.device)
    try:
        if rank == 0:
            folders.write_plan(folder, data, arch, plan)
        distributed.wait_for_all()
        run = Run(folder, data, arch, plan, chosen, on_event if rank == 0 else None)
        run.prepare(data_root)
        run.restore(load_state(folder, run.tell_damage) if resume else None)
        return run.finish(begun)
    finally:
        if joined:
            distributed.leave()


class Run:
    """A run in progress: the session, its folder, and when to save."""

    def __init__(
        self,
        folder: Path,
        data: str,
        arch: str,
        recipe: Recipe,
        device: Device,
        on_event: Callable[[Event], None] | None,
    ) -> None:
        self.folder, self.name, self.arch, self.recipe, self.device = folder, data, arch, recipe, device
        self.rank, self.world, _ = distributed.world()
        self._on_event = on_event
        self._stop: str | None = None
        self._saved_at = time.monotonic()
        self.resumed_at = 0
        self.session: Session
        self.train_data: ImageData
        self.test_data: ImageData
        self.held_out: torch.Tensor
        self.curves = Curves(folder if self.rank == 0 else None)

    def tell(self, event: str, **values: Any) -> None:
        """Report something that happened."""
        if self._on_event is not None:
            self._on_event({"event": event, **values})

    def tell_damage(self, path: Path) -> None:
        """Report a state file that could not be used."""
        self.tell("damaged", path=str(path))

    def prepare(self, data_root: str | Path | None) -> None:
        """Load data, build the model, start the session at step 0."""
        if self.world > 1:
            if self.rank == 0:
                datasets.load(self.name, "train", root=data_root)
            distributed.wait_for_all()  # one process downloads
        self.train_data = datasets.load(self.name, "train", root=data_root)
        self.test_data = datasets.load(self.name, "test", root=data_root)
        options = self.recipe.train
        torch.manual_seed(options.seed)
        if self.device.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
        defaults = {
            "num_classes": self.train_data.num_classes,
            "input_size": max(self.train_data.image_shape),
        }
        model = build_model(self.arch, **{**defaults, **self.recipe.model})
        if self.world > 1:
            distributed.share_statistics(model)
        positions, self.held_out = folders.hold_out(len(self.train_data), options)
        batch_size = folders.batch_size(options, len(positions), self.world)
        shard = Shard(self.rank, self.world)
        feed = make_feed(self.train_data, options, positions, batch_size, self.device.device, shard)
        self.session = start(model, feed, options, self.device)

    def restore(self, state: dict[str, Any] | None) -> None:
        """Go to the step of a saved state.

        Raises:
            TrainingError: the state belongs to other data.
        """
        if state is None:
            return
        if state["data_hash"] != self.train_data.content_hash:
            raise TrainingError(
                f"{self.folder} was trained on other images than '{self.name}' has. Name another --output."
            )
        session = self.session
        session.model.load_state_dict(state["model"])
        session.optimiser.load_state_dict(state["optimiser"])
        if session.average is not None:
            session.average.load_state_dict(state["average"])
        session.step, session.history, session.best = state["step"], state["history"], state["best"]
        session.loss.copy_(state["loss"])
        self.resumed_at = session.step

    def save(self) -> None:
        """Write the state; only the first process does."""
        self._saved_at = time.monotonic()
        if self.rank:
            return
        session = self.session
        state = {
            "model": session.model.state_dict(),
            "optimiser": session.optimiser.state_dict(),
            "average": None if session.average is None else session.average.state_dict(),
            "step": session.step,
            "history": session.history,
            "best": session.best,
            "loss": session.loss,
            "data_hash": self.train_data.content_hash,
        }
        save_state(self.folder, state)
        self.tell("saved", step=session.step)

    def finish(self, begun: float) -> TrainResult:
        """Train what is left and write the checkpoints."""
        session = self.session
        left = session.steps_total - session.step
        seconds = seconds_a_step(session) * left if left >= PROBE_FROM else None
        self.tell(
            "start",
            folder=str(self.folder),
            device=self.device.label,
            gpu=self.device.is_gpu,
            precision=self.device.precision,
            recipe=self.recipe,
            images=len(session.feed.positions),
            steps_total=session.steps_total,
            resumed_at_step=self.resumed_at,
            seconds=seconds,
        )
        with self._signals():
            fit(session, after_step=self._after_step, after_epoch=self._after_epoch)
        self.curves.close()
        accuracy = self._write_checkpoints()
        result = TrainResult(
            folder=self.folder,
            best=self.folder / "best.safetensors",
            last=self.folder / "last.safetensors",
            accuracy=accuracy,
            steps_total=session.steps_total,
            steps_run=session.steps_total - self.resumed_at,
            resumed_at_step=self.resumed_at,
            seconds=time.monotonic() - begun,
        )
        self.tell("done", **result.to_dict())
        return result

    def _after_step(self) -> None:
        session = self.session
        self.tell("step", step=session.step)
        if self._stop:
            self.save()
            raise TrainingError(
                f"Stopped by {self._stop} after step {session.step} of {session.steps_total}; its state "
                f"is saved. Go on with --resume --output {self.folder}."
            )
        if time.monotonic() - self._saved_at >= 60 * self.recipe.train.save_minutes and self.rank == 0:
            self.save()

    def _after_epoch(self, record: dict[str, float]) -> None:
        session, options = self.session, self.recipe.train
        epoch = int(record["epoch"])
        if len(self.held_out):
            record["held_out"] = accuracy_of(
                session.result, self.train_data, self.device, self.held_out, fast=True
            )
            if session.best is None or record["held_out"] > session.best[0]:
                weights = {key: value.cpu().clone() for key, value in session.result.state_dict().items()}
                session.best = record["held_out"], weights
        if options.test_every and epoch % options.test_every == 0:
            record["test"] = accuracy_of(session.result, self.test_data, self.device, fast=True)
        self.curves.add(record)
        self.save()
        if self.rank == 0:
            lines = "".join(json.dumps(line) + "\n" for line in session.history)
            write_atomically(self.folder / "log.jsonl", lines.encode())
        self.tell("epoch", **record)

    def _write_checkpoints(self) -> float:
        """best and last, with exact step sizes and their accuracy on the test images; the accuracy of
        last."""
        result = self.session.result
        accuracy = self._write(result, "last")
        if self.session.best is not None:
            result.load_state_dict(self.session.best[1])
            self._write(result, "best")
        elif self.rank == 0:
            write_atomically(
                self.folder / "best.safetensors", (self.folder / "last.safetensors").read_bytes()
            )
        return accuracy

    def _write(self, model: torch.nn.Module, which: str) -> float:
        refresh_step_sizes(model)
        accuracy = accuracy_of(model, self.test_data, self.device)
        if self.rank == 0:
            save_model(
                model,
                self.folder / f"{which}.safetensors",
                data=self.name,
                data_hash=self.train_data.content_hash,
                recipe=self.recipe.to_dict(),
                accuracy=accuracy,
                name=self.folder.resolve().name,
            )
        return accuracy

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the run after the current step, once its state is saved; a second one at
        once."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number: int, frame: Any) -> None:
            if self._stop:
                raise KeyboardInterrupt
            self._stop = signal.Signals(number).name

        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def describe(recipe: Recipe) -> str:
    """The resolved recipe as YAML."""
    return str(yaml.safe_dump(recipe.to_dict(), sort_keys=False))
