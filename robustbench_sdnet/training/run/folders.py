"""A run's folder: where it is, which recipe it holds, what may be resumed, and the result."""

from __future__ import annotations

import contextlib
import itertools
import shlex
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from ...data.registry import absolute, short_name
from ...errors import InputError, TrainingError
from ...files import cannot_write, make_folder, write_whole
from ...reading.paths import path_of
from ...reading.structured import read_yaml
from ...zoo.nets.architectures import DEFAULTS
from ..recipes.options import WORKING_KEYS
from ..recipes.recipe import SECTIONS, Recipe, with_settings
from ..step.device import Device
from .distributed import may_restart, restarted
from .state import PREVIOUS, STATE

PLAN = "recipe.yaml"
OF_DATA = ("num_classes", "input_size")  # of a model, unless its recipe says otherwise


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """The result of a run.

    Attributes:
        folder: everything it wrote.
        best: checkpoint chosen on held-out training images, or the last one if none are held out.
        last: checkpoint of the last epoch.
        seconds: duration of this call.
        steps_total: steps of the whole run.
        steps_run: steps of this call.
        resumed_at_step: where this call began.
        accuracy: accuracy of `last` on the test images, in [0, 1].
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


def choose_folder(data: str, arch: str, output: str | Path | None, runs: Path, *, resume: bool) -> Path:
    """The folder named, else one that is not there, or to resume the newest one of this data and architecture.

    Raises:
        InputError: nothing to resume, or no name where processes that start again must find the run.
        TrainingError: the recipe of a newer run cannot be read.
    """
    if output is not None:
        return path_of(output)
    if may_restart():
        raise InputError(
            "With --max-restarts, name --output: the processes must find the run when they start again."
        )
    stem = f"{short_name(data)}-{arch}"
    if resume:
        return _newest(runs, stem, data, arch)
    name = f"{stem}-{time.strftime('%Y%m%d-%H%M%S')}"
    return next(path for path in _numbered(runs / name) if not path.exists())


def _newest(runs: Path, stem: str, data: str, arch: str) -> Path:
    found = sorted(runs.glob(f"{stem}-*/{PLAN}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in found:
        held = _read_plan(path.parent)
        if held is not None and held["arch"] == arch and absolute(held["data"]) == absolute(data):
            return path.parent
    of = f" of '{data}'" if found else ""
    raise InputError(f"There is no run {runs}/{stem}-*{of} to resume. Leave out --resume, or name --output.")


def resume_options(folder: Path) -> str:
    """What to type after the same command, so that the run of a folder goes on."""
    return f"--resume --output {shlex.quote(str(folder))}"


def _numbered(folder: Path) -> Iterator[Path]:
    yield folder
    yield from (folder.with_name(f"{folder.name}_{number}") for number in itertools.count(2))


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[Path]:
    """A new folder of this name, or of one like it where another run has just made it; without a use it goes again.

    Raises:
        WriteError: it cannot be made.
    """
    made = not folder.parent.exists()
    make_folder(folder.parent)
    for own in _numbered(folder):
        try:
            own.mkdir()
        except FileExistsError:
            continue
        except OSError as error:
            raise cannot_write(own, error) from error
        break
    try:
        yield own
    finally:
        with contextlib.suppress(OSError):
            own.rmdir()
            if made:
                own.parent.rmdir()


def may_resume(folder: Path, *, asked: bool) -> bool:
    """Whether to go on with the run of a folder: asked to, or started again by torchrun.

    Where it was asked a run must be there, though it need not have saved a state yet; before a restart the first start
    may have been lost before it made the folder.

    Raises:
        InputError: asked, and the folder holds no run.
    """
    there = (folder / PLAN).is_file()
    if asked and not there and not restarted():
        what = "holds no run" if folder.is_dir() else "does not exist"
        raise InputError(
            f"{folder} {what}: nothing to resume. Leave out --resume to start there, or name another --output."
        )
    return there and (asked or restarted())


def plan_run(
    folder: Path,
    data: str,
    arch: str,
    wanted: Recipe,
    *,
    named: bool = False,
    overrides: Mapping[str, Any] | None = None,
    resume: bool,
) -> Recipe:
    """The recipe this folder is to run.

    A resumed run keeps the recipe it was started with, but for how the work is done; asking for another is an error.

    Args:
        wanted: the recipe of a new run.
        named: whether a recipe was asked for, all of which is then compared.
        overrides: the keys that were asked for beside it.

    Raises:
        InputError: the folder holds a run, and `resume` is off or other data, another architecture or recipe is asked.
        TrainingError: the run's recipe cannot be read.
    """
    held = _read_plan(folder)
    if not resume:
        if held is not None or (folder / STATE).exists() or (folder / PREVIOUS).exists():
            raise InputError(
                f"{folder} already holds a run. Add --resume to continue, or name another --output."
            )
        return wanted
    if held is None:
        return wanted
    for key, value in (("data", data), ("arch", arch)):
        if held[key] != value and not (key == "data" and absolute(held[key]) == absolute(value)):
            raise InputError(f"{folder} holds a run with {key} '{held[key]}', not '{value}'.")
    try:
        stored = Recipe.from_dict(held)
    except InputError as error:
        raise TrainingError(f"{folder / PLAN}: {error}") from None
    given = overrides or {}
    if found := _changed(stored, wanted if named else with_settings(stored, given)):
        key, old, new = found
        raise InputError(
            f"{folder} was started with {key} = {old}, not {new}: a resumed run keeps it. "
            "Leave out --recipe, --set, --seed and --limit, or start another run."
        )
    working = {f"train.{key}" for key in WORKING_KEYS}
    return with_settings(stored, {key: value for key, value in given.items() if key in working})


def check_unfinished(folder: Path) -> None:
    """Refuse, with an InputError, to begin where checkpoints are, as in a finished run without its state."""
    for name in ("last.safetensors", "best.safetensors"):
        if (folder / name).exists():
            raise InputError(
                f"{folder} holds {name} and no saved state to go on from: training would replace it. Name another "
                "--output."
            )


def check_state(folder: Path, recipe: Recipe, state: Mapping[str, Any]) -> None:
    """Refuse, with a TrainingError, a run's recipe that was edited after its state was saved."""
    saved = state.get("recipe")  # which states of version 0.1 lack
    if saved and (found := _changed(Recipe.from_dict(saved), recipe)):
        key, old, new = found
        raise TrainingError(
            f"{folder / PLAN} says {key} = {new}, but the state was saved with {old}. Restore it, or start another "
            "run."
        )


def _changed(before: Recipe, after: Recipe) -> tuple[str, Any, Any] | None:
    """The first key that decides what is learned and is another one, with both values."""
    alike = {*WORKING_KEYS}
    if after.train.precision == "auto":  # which was replaced by what the device has
        alike.add("precision")
    if before.train.step_radius == after.train.step_radius:
        alike.add("attack_step_size")
    for section in SECTIONS:
        olds, news = (recipe.to_dict()[section] for recipe in (before, after))
        for key in sorted({*olds, *news}):
            unsaid = DEFAULTS.get(key) if section == "model" and key not in OF_DATA else None
            old, new = olds.get(key, unsaid), news.get(key, unsaid)
            if old != new and not (section == "train" and key in alike):
                return f"{section}.{key}", old, new
    return None


def settle(recipe: Recipe, device: Device, processes: int) -> Recipe:
    """The recipe with what "auto" came to, for a resumed run; InputError if processes cannot share a batch."""
    if recipe.train.batch_size % processes:
        raise InputError(
            f"train.batch_size={recipe.train.batch_size} is shared by {processes} processes: use a multiple of that."
        )
    threads = 0 if device.is_gpu else torch.get_num_threads()
    return replace(recipe, train=replace(recipe.train, precision=device.precision, threads=threads))


def write_plan(folder: Path, data: str, arch: str, recipe: Recipe) -> None:
    """Make the folder and keep the resolved recipe there."""
    content = yaml.safe_dump({"data": data, "arch": arch, **recipe.to_dict()}, sort_keys=False)
    write_whole(folder / PLAN, content)


def _read_plan(folder: Path) -> dict[str, Any] | None:
    path = folder / PLAN
    if not path.is_file():
        return None
    raw = read_yaml(path, TrainingError)
    kinds = {**dict.fromkeys(("data", "arch", "name"), str), **dict.fromkeys(SECTIONS, dict)}
    if not isinstance(raw, dict) or not all(isinstance(raw.get(key), kind) for key, kind in kinds.items()):
        raise TrainingError(
            f"{path} is not the recipe of a run, which has {', '.join(kinds)}. Restore them, or use another --output."
        )
    return raw
