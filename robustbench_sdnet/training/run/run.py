"""`train`, the public function: from names to a finished run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.backends import cudnn

from ... import data as datasets
from ...errors import TrainingError, WriteError, first_line, out_of_memory
from ...files import alone_in, cannot_write
from ...reading.paths import named, path_of
from ..recipes.recipe import Recipe, check_recipe, resolve_recipe
from ..step.device import Device, choose
from ..step.loop import Event
from . import distributed, folders
from .curves import check_tracker
from .folders import TrainResult
from .runner import Run
from .state import load_state

_ONE_VALUE = "Expected more than 1 value per channel"  # a ValueError of batch normalisation


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
    track: str = "tensorboard",
    on_event: Callable[[Event], None] | None = None,
) -> TrainResult:
    """Train a model and save it.

    Args:
        data, arch: names of a data set and of an architecture.
        recipe: a name, the path of a YAML file, or a recipe; None is "published".
        overrides: "train.epochs" -> 30 and the like.
        output: the run's folder; None makes `runs/<data>-<arch>-<time>`, or finds the newest one to resume.
        resume: continue from the last state saved in the folder; processes restarted by torchrun always do.
        device: "auto", "cpu", "cuda", "cuda:1".
        data_root, runs, track: folders of downloaded data, and of runs; "wandb" sends curves to Weights & Biases too.
        on_event: called with what happens ("start", "step", "epoch", "saved", "done").

    Raises:
        InputError: unknown names or keys, a folder with another run or with none to resume, a tracker that is missing.
        DataError: damaged data.
        WriteError: the folder cannot be written, or another process is training there.
        TrainingError: the loss is not finite, the run was interrupted (its state is saved), or a process was lost.
    """
    datasets.check_name(data)
    check_tracker(track)
    wanted = resolve_recipe(recipe, overrides, data)
    check_recipe(wanted, arch, overrides or {})
    rank, count, local_rank = distributed.world()
    place = path_of(named(runs, "runs", "Write it as text."))
    folder = folders.choose_folder(data, arch, output, place, resume=resume)
    new = output is None and not resume
    resume = folders.may_resume(folder, asked=resume)
    known = recipe is not None
    plan = folders.plan_run(folder, data, arch, wanted, named=known, overrides=overrides, resume=resume)
    with contextlib.ExitStack() as held:
        held.callback(torch.set_num_threads, torch.get_num_threads())  # the recipe's are this run's alone
        held.callback(
            setattr, cudnn, "benchmark", cudnn.benchmark
        )  # by timing, which repeats no later answer
        chosen = choose(device, plan.train, local_rank)
        if chosen.device.type == "cuda":
            cudnn.benchmark = True
        plan = folders.settle(plan, chosen, count)
        if distributed.join(chosen.device):
            held.callback(distributed.leave)
        if new and rank == 0:
            folder = held.enter_context(folders.claimed(folder))
        with _in_one_line(folder, chosen):
            run = Run(folder, data, arch, plan, chosen, on_event if rank == 0 else None, track)
            return _carried_out(run, data_root, resume=resume)


def _carried_out(run: Run, data_root: str | Path | None, *, resume: bool) -> TrainResult:
    """The result of a run, alone in its folder: from the beginning, or from the last state where it is resumed."""
    folder, first = run.folder, run.rank == 0
    with alone_in(folder) if first else contextlib.nullcontext():
        if first:  # another process may have put a run there since it was looked at
            folders.plan_run(folder, run.name, run.arch, run.recipe, resume=resume)
        state = load_state(folder, lambda path: run.tell("damaged", path=str(path))) if resume else None
        if state is None:
            folders.check_unfinished(folder)
        else:
            folders.check_state(folder, run.recipe, state)
        run.prepare(data_root, fresh=state is None)
        run.restore(state)
        with run.tracked():  # which may be refused, and then there is no run
            if first:
                folders.write_plan(folder, run.name, run.arch, run.recipe)
            distributed.wait_for_all()
            return run.finish()


@contextlib.contextmanager
def _in_one_line(folder: Path, device: Device) -> Iterator[None]:
    """What torch and the system raise, as errors that say what a user can do."""
    try:
        yield
    except WriteError as error:
        own = error.path is not None and error.path.absolute().is_relative_to(folder.absolute())
        if own and isinstance(cause := error.__cause__, OSError) and (folder / folders.PLAN).is_file():
            # The same command again would find the run in its folder, and be refused.
            again = f"go on with {folders.resume_options(folder)}"
            raise cannot_write(folder, cause, again=again) from cause
        raise
    except (RuntimeError, ValueError, MemoryError) as error:
        raise _failure(error, folder, device) from error


def _failure(error: Exception, folder: Path, device: Device) -> TrainingError:
    """The error a user sees for what torch raised; the last saved state in the run's folder is whole."""
    if isinstance(error, ValueError):
        if _ONE_VALUE not in str(error):
            raise error
        return TrainingError(
            "A batch of one image with one pixel left has no variance to normalise by. Use at least two images per "
            "step (--set train.batch_size=N), with another --output."
        )
    if distributed.lost_another(error):
        return TrainingError(
            "Another training process was lost. The last saved state is whole: go on with "
            f"{folders.resume_options(folder)}."
        )
    if out_of_memory(error):
        remedy = "Use a smaller batch (--set train.batch_size=N) or more devices"
        return TrainingError(
            f"{device.label} has too little memory for this. {remedy}, with another --output."
        )
    first = first_line(error).rstrip(".")
    compiled = type(error).__module__.startswith(("torch._dynamo", "torch._inductor"))
    hint = " Try --set train.compile=false." if compiled else ""
    return TrainingError(
        f"Training failed: {type(error).__name__}: {first}.{hint} SDNET_BENCH_DEBUG=1 shows where."
    )
