"""`sdnet-bench train DATA ARCH`."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click

from ..console.options import check_device, data_root_option, device_option, json_option, parse_pairs
from ..console.output import say, say_json
from ..console.progress import shown
from ..console.training import Screen


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
    with shown("train", quiet=not first) as display:
        result = run(
            data,
            arch,
            recipe=recipe,
            overrides=overrides,
            output=output,
            resume=resume,
            device=device,
            data_root=data_root,
            on_event=Screen(display).show,
        )
    if not first:
        return
    if as_json:
        say(json.dumps(result.to_dict()))
    else:
        say(f"accuracy {result.accuracy:.2%} on the test images, after {result.seconds:.0f} s")
        say(f"checkpoint {result.best}")


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
