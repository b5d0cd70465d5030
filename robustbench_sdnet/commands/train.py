"""`sdnet-bench train DATA ARCH`."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..console.options import check_device, data_root_option, device_option, json_option, parse_pairs
from ..console.output import say, say_json
from ..wording import counted

if TYPE_CHECKING:
    from ..training.step.loop import Event

SLOW = 1800.0  # seconds; beyond, a quicker recipe is named
QUICKER, QUICKER_ROBUST = "fast", "fast-at"
QUIET = 60.0  # seconds between two lines where there is no terminal


@click.command(
    context_settings={"ignore_unknown_options": False},
    epilog="Examples:  sdnet-bench train cifar10 sdnet18;  "
    "sdnet-bench train digits sdnet20 --recipe quickstart;  "
    "sdnet-bench train npz:own.npz sdnet20_all --set train.epochs=30 --set model.shortcut=false",
)
@click.argument("data")
@click.argument("arch")
@click.option("--recipe", metavar="NAME|FILE", help="A recipe or a YAML file [default: published].")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a recipe key; repeatable."
)
@click.option("--output", metavar="DIR", help="The run's folder [default: runs/<data>-<arch>-<time>].")
@click.option(
    "--resume", is_flag=True, help="Go on exactly where the run in --output (or the newest) stopped."
)
@click.option("--seed", type=click.IntRange(min=0), help="Short for --set train.seed=N.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Short for --set train.limit=N: the first N images.",
)
@click.option("--data", "source", metavar="NAME", help="Read the images from here instead, such as npz:PATH.")
@click.option(
    "--devices", type=click.IntRange(min=1), metavar="N", help="Train on N GPUs, or in N processes."
)
@click.option("--dry-run", is_flag=True, help="Print the resolved recipe and stop.")
@device_option
@data_root_option
@json_option
def train(
    data: str,
    arch: str,
    recipe: str | None,
    settings: tuple[str, ...],
    output: str | None,
    resume: bool,
    seed: int | None,
    limit: int | None,
    source: str | None,
    devices: int | None,
    dry_run: bool,
    device: str,
    data_root: str | None,
    as_json: bool,
) -> int | None:
    """Train ARCH (resnet20, sdnet18, sdnet18_all, ...) on DATA (cifar10, digits, npz:PATH, ...).

    The folder then holds best.safetensors and last.safetensors, which --model of every other command takes.
    """
    from ..data.registry import check_name
    from ..training.recipes.recipe import load_recipe
    from ..zoo.nets.options import resolve_options

    check_name(data)
    if source is not None:
        check_name(source)
        data = source
    check_device(device)
    overrides: dict[str, Any] = dict(parse_pairs(settings, "--set"))
    if seed is not None:
        overrides["train.seed"] = seed
    if limit is not None:
        overrides["train.limit"] = limit
    resolved = load_recipe(recipe or "published", overrides, data=data)
    resolve_options(arch, dict(resolved.model))
    if dry_run:
        if as_json:
            say_json(resolved.to_dict())
            return None
        import yaml

        say(yaml.safe_dump(resolved.to_dict(), sort_keys=False), nl=False)
        return None
    if devices is not None and devices > 1 and "WORLD_SIZE" not in os.environ:
        from ..training.run.launch import launch

        return launch(devices, _without_devices(sys.argv[1:]))
    _train(data, arch, recipe, overrides, output, resume, device, data_root, as_json)
    return None


def _train(
    data: str,
    arch: str,
    recipe: str | None,
    overrides: dict[str, Any],
    output: str | None,
    resume: bool,
    device: str,
    data_root: str | None,
    as_json: bool,
) -> None:
    from ..training.run.run import train as run

    first = os.environ.get("RANK", "0") == "0"
    with Screen(quiet=not first) as screen:
        result = run(
            data,
            arch,
            recipe=recipe,
            overrides=overrides,
            output=output,
            resume=resume,
            device=device,
            data_root=data_root,
            on_event=screen.show,
        )
    if not first:
        return
    if as_json:
        say(json.dumps(result.to_dict()))
    else:
        say(f"accuracy {result.accuracy:.2%} on the test images, after {result.seconds:.0f} s")
        say(f"checkpoint {result.best}")


class Screen:
    """Shows a run on standard error: a bar with the time left on a terminal, a line a minute elsewhere."""

    def __init__(self, *, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self._console = Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=self._console, disable=quiet or not self._console.is_terminal)
        self._task: Any = None
        self._begun = self._spoken = 0.0
        self._first = self._total = 0

    def __enter__(self) -> Screen:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def show(self, event: Event) -> None:
        """Show an event of the run."""
        kind = event["event"]
        if kind == "start":
            self._console.print(start_text(event), markup=False)
            self._begun = self._spoken = time.monotonic()
            self._first, self._total = event["resumed_at_step"], event["steps_total"]
            self._task = self._bar.add_task(
                Path(event["folder"]).name, total=event["steps_total"], completed=event["resumed_at_step"]
            )
        elif kind == "step":
            self._bar.update(self._task, completed=event["step"])
            self._speak(event["step"])
        elif kind == "damaged":
            self._console.print(
                f"{event['path']} is damaged; going on from the state before it", markup=False
            )
        elif kind == "epoch":
            self._console.print(epoch_text(event), markup=False)

    def _speak(self, step: int) -> None:
        now = time.monotonic()
        if self._console.is_terminal or now - self._spoken < QUIET:
            return
        self._spoken = now
        left = (now - self._begun) / (step - self._first) * (self._total - step)
        self._console.print(f"step {step} of {self._total}, about {duration(left)} left", markup=False)


def start_text(event: Event) -> str:
    """What is about to happen, how long it will take here, and what would be quicker."""
    options = event["recipe"].train
    lines = [
        f"{event['folder']}: recipe {event['recipe'].name}, {counted(options.epochs, 'epoch')} of "
        f"{counted(event['images'], 'image')}, {event['precision']} on {event['device']}"
    ]
    if event["resumed_at_step"]:
        lines.append(f"resumed at step {event['resumed_at_step']} of {event['steps_total']}")
    threads = event["recipe"].train.threads
    if threads > 1 and os.getloadavg()[0] > (os.cpu_count() or 1):
        lines.append(
            "other programs keep these cores busy: --set train.threads=1 can be many times faster here"
        )
    seconds = event["seconds"]
    if seconds is not None:
        lines.append(f"this will take about {duration(seconds)} on this device")
        if not event["gpu"] and seconds > SLOW:
            lines.append(quicker_text(seconds, options))
    return "\n".join(lines)


def quicker_text(seconds: float, options: Any) -> str:
    """The quicker recipe of the same kind and its time, by the number of epochs and of passes an update."""
    from ..training.recipes.recipe import load_recipe

    name = QUICKER if options.adversary == "none" else QUICKER_ROBUST
    quick = load_recipe(name).train
    share = quick.epochs * passes(quick) / (options.epochs * passes(options))
    models = "the 20-layer models (resnet20, sdnet20) are made for CPUs"
    if share > 0.8:
        return f"without a GPU, fewer epochs (--set train.epochs=N) are quicker; {models}"
    return f"without a GPU, --recipe {name} takes about {duration(seconds * share)}; {models}"


def passes(options: Any) -> int:
    """Forward-backward passes an update."""
    if options.augmix:
        return 3
    return {"none": 1, "fgsm": 2}.get(options.adversary, int(options.attack_steps) + 1)


def epoch_text(event: Event) -> str:
    """One line an epoch."""
    parts = [f"epoch {event['epoch']:g}", f"loss {event['loss']:.4f}", f"lr {event['lr']:.4g}"]
    parts += [f"{key} {event[key]:.2%}" for key in ("held_out", "test") if key in event]
    return "  ".join(parts)


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def _without_devices(arguments: list[str]) -> list[str]:
    kept, skip = [], False
    for argument in arguments:
        if skip or argument.startswith("--devices="):
            skip = False
        elif argument == "--devices":
            skip = True
        else:
            kept.append(argument)
    return kept
