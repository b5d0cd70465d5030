"""`sdnet-bench train DATA ARCH`."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import click
import yaml

from ..console.options import (
    choice_option,
    count_option,
    gathered,
    json_option,
    path_option,
    refuse_given,
    setting_options,
    settings,
)
from ..console.output import say, say_json
from ..console.progress import shown, training_events
from ..planning.setting import Setting
from ..training.run.curves import TRACKERS, check_tracker
from ..wording import percent


def _overrides(pairs: tuple[str, ...], seed: int | None, limit: int | None) -> dict[str, Any]:
    """Recipe keys by name, as texts or numbers."""
    return settings(pairs, **{"train.seed": seed, "train.limit": limit})


OVERRIDES = gathered(
    "overrides",
    _overrides,
    click.option(
        "--set", "pairs", multiple=True, metavar="KEY=VALUE", help="Change a recipe key; repeatable."
    ),
    count_option("--seed", "Short for --set train.seed=N.", None, low=0),
    count_option("--limit", "Short for --set train.limit=N: N training images."),
)

PLACE = gathered(
    "place",
    dict,
    path_option("--output", "The run's folder [default: runs/<data>-<arch>-<time>]."),
    click.option(
        "--resume",
        is_flag=True,
        help="Continue exactly where the run in --output (or the newest of DATA and ARCH) stopped.",
    ),
    choice_option(
        "--track",
        TRACKERS,
        "Where to log training curves; wandb logs to Weights & Biases as well as to TensorBoard.",
    ),
)


@click.command()
@click.argument("name", metavar="DATA")
@click.argument("arch")
@click.option("--recipe", metavar="NAME|FILE", help="Name of a recipe, or a YAML file [default: published].")
@OVERRIDES
@PLACE
@count_option("--devices", "Train on N GPUs, or in N processes on the CPU [default: 1].")
@click.option("--dry-run", is_flag=True, help="Print the resolved recipe and exit.")
@setting_options(
    only=("data", "data_root", "device"),
    data={"help": "Read the images from here instead, such as npz:PATH."},
)
@json_option
def train(
    name: str,
    arch: str,
    recipe: str | None,
    overrides: dict[str, Any],
    place: dict[str, Any],
    devices: int | None,
    dry_run: bool,
    setting: Setting,
    as_json: bool,
) -> int | None:
    """Train ARCH (resnet20, sdnet18, sdnet18_all, ...) on DATA (cifar10, digits, npz:PATH, ...).

    The folder then holds best.safetensors and last.safetensors, which other commands take as a model.

    \b
    Examples:
      sdnet-bench train cifar10 sdnet18
      sdnet-bench train digits sdnet20 --recipe quickstart
      sdnet-bench train npz:own.npz sdnet20_all --set model.shortcut=false
    """
    from ..data.registry import check_name
    from ..training.recipes.recipe import check_recipe, resolve_recipe

    images = name if setting.data is None else setting.data
    check_name(name)
    check_name(images)
    resolved = resolve_recipe(recipe, overrides, images)
    check_recipe(resolved, arch, overrides)
    check_tracker(place["track"])
    if dry_run:
        refuse_given(("resume",), "--dry-run prints the recipe of a new run; a run's own is in its folder")
        plan = resolved.to_dict()
        say_json(plan) if as_json else say(yaml.safe_dump(plan, sort_keys=False), nl=False)
        return None
    if devices is not None and devices > 1 and "WORLD_SIZE" not in os.environ:
        from ..training.run.launch import launch

        return launch(devices, sys.argv[1:])  # once more in each process, where WORLD_SIZE is set
    from ..training.run.run import train as run

    first = os.environ.get("RANK", "0") == "0"
    with shown("train", quiet=not first) as display:
        result = run(
            images,
            arch,
            recipe=recipe,
            overrides=overrides,
            device=setting.device,
            data_root=setting.data_root,
            on_event=training_events(display),
            **place,
        )
    if first and as_json:
        say(json.dumps(result.to_dict()))  # one line, the last, so that a log can be read
    elif first:
        say(f"accuracy {percent(result.accuracy, 2)} on the test images, after {result.seconds:.0f} s")
        say(f"checkpoint {result.last}")
    return None
