"""One run in progress: its session, its folder, and when to save."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ... import data as datasets
from ...data.images import ImageData
from ...devices import full_float32
from ...errors import InputError, TrainingError, TrainingInterrupted, WriteError
from ...files import write_whole
from ...interrupts import stop_requests
from ...zoo.files.weights import save_model
from ...zoo.nets.control import refresh_step_sizes
from ..recipes.recipe import Recipe
from ..step.device import Device
from ..step.feed import batch_size, check_seen, feed_for, hold_out
from ..step.loop import Event, Session, check_finite, fit, start
from ..step.measure import accuracy_of, seconds_a_step
from . import distributed
from .curves import Curves
from .first_weights import begin_with, checkpoint_of, random_model
from .folders import PLAN, TrainResult, resume_options
from .state import save_state

PROBE_FROM = 50  # steps; shorter runs start at once
SAVING_SHARE = 0.05  # of a run's time that saving at the end of epochs may take


@dataclass(eq=False)
class Run:
    """A run in progress: the session, its folder, and when to save."""

    folder: Path
    name: str
    arch: str
    recipe: Recipe
    device: Device
    on_event: Callable[[Event], None] | None
    track: str = "tensorboard"

    session: Session = field(init=False)
    train_data: ImageData = field(init=False)
    test_data: ImageData = field(init=False)
    held_out: torch.Tensor = field(init=False)
    curves: Curves = field(init=False)

    def __post_init__(self) -> None:
        self.rank, self.world, _ = distributed.world()
        self._begun = self._saved_at = time.monotonic()
        self._saving = 0.0  # seconds that the last save took
        self.resumed_at, self.init = 0, self.recipe.train.init

    def tell(self, event: str, **values: Any) -> None:
        """Report something that happened."""
        if self.on_event is not None:
            self.on_event({"event": event, **values})

    def prepare(self, data_root: str | Path | None, *, fresh: bool = True) -> None:
        """Load data, build the model, start the session at step 0; weights of a state to come are not looked for."""
        options, new = self.recipe.train, fresh and self.recipe.train.init != "random"
        if new:
            checkpoint_of(options.init)  # a wrong name costs no download of the data
        if self.world > 1:
            if self.rank == 0:
                datasets.load(self.name, "train", root=data_root)
            distributed.wait_for_all()  # one process downloads
        self.train_data = datasets.load(self.name, "train", root=data_root)
        self.test_data = datasets.load(self.name, "test", root=data_root)
        if fresh:
            check_seen(options, self.train_data)
        data = self.train_data
        defaults = {"num_classes": data.num_classes, "input_size": max(data.image_shape)}
        model = random_model(options.seed, self.arch, {**defaults, **self.recipe.model})
        if model.num_classes < data.num_classes:
            raise InputError(
                f"model.num_classes={model.num_classes} is too few: '{self.name}' has {data.num_classes} classes. "
                "Leave it out."
            )
        if new:
            self.init = begin_with(options.init, model)
        if self.world > 1:
            distributed.share_statistics(model)
        positions, self.held_out = hold_out(data, options)
        size = batch_size(options, len(positions), self.world)
        device = self.device.device
        feed = feed_for(data, device)(data, options, positions, size, device, self.rank, self.world)
        self.session = start(model, feed, options, self.device)

    def restore(self, state: dict[str, Any] | None) -> None:
        """Go to the step of a saved state.

        Raises:
            TrainingError: it is of other data or of another network, or another process's differs.
        """
        distributed.agree_on(state["step"] if state else 0, self.device.device)
        if state is None:
            return
        test = self.test_data.content_hash
        for had, has, done in (
            (state["data_hash"], self.train_data.content_hash, "trained on"),
            (state.get("test_hash", test), test, "tested on"),  # older versions kept none
        ):
            if had != has:
                raise TrainingError(
                    f"{self.folder} was {done} other images than those of '{self.name}'. Name another --output."
                )
        session = self.session
        try:
            session.model.load_state_dict(state["model"])
            session.optimiser.load_state_dict(state["optimiser"])
            if session.average is not None:
                session.average.load_state_dict(state["average"])
        except (RuntimeError, TypeError, ValueError) as error:
            raise TrainingError(
                f"The state in {self.folder} does not fit what {PLAN} there says. Put that back, or start another run."
            ) from error
        session.step, session.history, session.best = state["step"], state["history"], state["best"]
        session.loss.copy_(state["loss"])
        session.images, session.seconds = state.get("clock", (0, 0.0))
        self.resumed_at = session.step
        self.init = state.get("init", self.init)

    def save(self) -> None:
        """Write the state, of finite losses alone; only the first process does."""
        begun = self._saved_at = time.monotonic()
        if self.rank:
            return
        session = self.session
        check_finite(session)  # which steps on a GPU do not: both files would be of a network that is lost
        state = {
            "model": session.model.state_dict(),
            "optimiser": session.optimiser.state_dict(),
            "average": None if session.average is None else session.average.state_dict(),
            "step": session.step,
            "history": session.history,
            "best": session.best,
            "loss": session.loss,
            "clock": (session.images, session.seconds),
            "data_hash": self.train_data.content_hash,
            "test_hash": self.test_data.content_hash,
            "init": self.init,
            "recipe": self.recipe.to_dict(),
        }
        save_state(self.folder, state)
        self._saved_at = time.monotonic()
        self._saving = self._saved_at - begun
        self.tell("saved", step=session.step)

    @contextlib.contextmanager
    def tracked(self) -> Iterator[None]:
        """Have curves to write to in the block; an InputError where a tracker refuses."""
        plan = {"data": self.name, "arch": self.arch, **self.recipe.to_dict()}
        folder, seen = None if self.rank else self.folder, len(self.session.history) * self.session.feed.steps
        with contextlib.closing(Curves(folder, self.track, plan, seen)) as self.curves:
            yield

    def finish(self) -> TrainResult:
        """Train what is left and write the checkpoints; TrainingError where training diverged."""
        session = self.session
        left = session.steps_total - session.step
        work, work_done = session.cost(session.steps_total), session.cost(session.step)
        seconds = seconds_a_step(session) * (work - work_done) if left >= PROBE_FROM else None
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
            work=work,
            work_done=work_done,
            seconds=seconds,
        )
        had_ended = (self.folder / "best.safetensors").is_file()
        with stop_requests(heed=self.rank == 0) as stop:
            fit(session, after_step=lambda: self._after_step(stop), after_epoch=self._after_epoch)
        try:
            accuracy = self._write(session.result, "last")
            if left or not had_ended:
                self.curves.add({"step": session.steps_total, "accuracy": accuracy})
            self._write_best()
        except KeyboardInterrupt:
            raise TrainingInterrupted(
                "Stopped after the last step; its state is saved. "
                f"{resume_options(self.folder)} writes the checkpoints."
            ) from None
        result = TrainResult(
            folder=self.folder,
            best=self.folder / "best.safetensors",
            last=self.folder / "last.safetensors",
            accuracy=accuracy,
            steps_total=session.steps_total,
            steps_run=session.steps_total - self.resumed_at,
            resumed_at_step=self.resumed_at,
            seconds=time.monotonic() - self._begun,
        )
        self.tell("done", **result.to_dict())
        return result

    def _after_step(self, stop: Callable[[], str | None]) -> None:
        session = self.session
        self.tell("step", step=session.step, work_done=session.cost(session.step))
        if reason := stop():
            self.save()
            raise TrainingInterrupted(
                f"Stopped by {reason} after step {session.step} of {session.steps_total}; its state "
                f"is saved. Go on with {resume_options(self.folder)}."
            )
        if time.monotonic() - self._saved_at >= 60 * self.recipe.train.save_minutes and self.rank == 0:
            self.save()

    def _after_epoch(self, record: dict[str, float]) -> None:
        session, options = self.session, self.recipe.train
        epoch = int(record["epoch"])
        if len(self.held_out):
            seen = accuracy_of(session.result, self.train_data, self.device, self.held_out, fast=True)
            record["held_out"] = seen
            if session.best is None or seen > session.best[0]:
                weights = {key: value.cpu().clone() for key, value in session.result.state_dict().items()}
                session.best = seen, weights
        if options.test_every and epoch % options.test_every == 0:
            record["test"] = accuracy_of(session.result, self.test_data, self.device, fast=True)
        try:
            self.curves.add(record)
            if self.rank == 0:
                lines = "".join(json.dumps(line) + "\n" for line in session.history)
                write_whole(self.folder / "log.jsonl", lines)
        except WriteError:
            session.reopen_epoch()  # a resumed run records it again
            self.save()
            raise
        last = session.step == session.steps_total
        if last or self._saving <= SAVING_SHARE * (time.monotonic() - self._saved_at):
            self.save()
        self.tell("epoch", **record)

    def _write_best(self) -> None:
        """Write the checkpoint that held-out images chose, or the last one again."""
        if self.session.best is not None:
            self.session.result.load_state_dict(self.session.best[1])
            self._write(self.session.result, "best")
        elif self.rank == 0:
            write_whole(self.folder / "best.safetensors", (self.folder / "last.safetensors").read_bytes())

    @full_float32()
    def _write(self, model: torch.nn.Module, which: str) -> float:
        """Write a checkpoint with exact step sizes and its test accuracy, which comes back."""
        refresh_step_sizes(model)
        accuracy = accuracy_of(model, self.test_data, self.device)
        if self.rank == 0:
            recipe = self.recipe.to_dict()
            recipe["train"]["init"] = self.init  # whose weights, where the recipe says where they lay
            recipe["trained_on"] = {
                "device": self.device.label,
                "precision": self.device.precision,
                "images_per_second": self.session.speed,
            }
            save_model(
                model,
                self.folder / f"{which}.safetensors",
                data=self.name,
                data_hash=self.train_data.content_hash,
                recipe=recipe,
                accuracy=accuracy,
                name=self.folder.resolve().name,
            )
        return accuracy
