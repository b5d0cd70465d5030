"""`sdnet-bench zoo verify | export`."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ...console import options
from ...console.output import say, say_json, warn
from ...console.progress import shown
from ...errors import InputError
from ...wording import counted

_VERDICTS = {True: "ok", False: "DIFFERS", None: "measured"}


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@click.option("--data", metavar="NAME", help="Data set [default: the one each model was trained on].")
@options.data_root_option
@options.limit_option
@options.batch_size_option
@options.device_option
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    default=0.001,
    show_default=True,
    help="Allowed difference of accuracy on all test images.",
)
@options.json_option
def verify(
    models: tuple[str, ...],
    data: str | None,
    data_root: str | None,
    limit: int | None,
    batch_size: int | None,
    device: str,
    tolerance: float,
    as_json: bool,
) -> None:
    """Evaluate MODELs again and compare with their stated accuracy; default: every model of the zoo that is here.

    Exits with 1 if one differs. --data says where the images are; a MODEL that was trained on others is measured there
    all the same, with a warning, while without MODELs such a one keeps its own data. On all test images the difference
    may be --tolerance; with --limit the stated accuracy must lie in the 95 % interval.

    \b
    Examples:
      sdnet-bench zoo verify
      sdnet-bench zoo verify --data npz:cifar10.npz
      sdnet-bench zoo verify cifar10/sdnet20 --data npz:cifar10.npz --limit 1000
      sdnet-bench zoo verify --json
    """
    from ...zoo.shelf.index import entries, local_path

    options.check_sources(models, data, device)
    chosen = models or tuple(item.name for item in entries() if local_path(item) is not None)
    if not chosen:
        raise InputError("No model of the zoo is on this machine. Fetch one, or name a run or checkpoint.")
    rows = [
        _verified(model, data, data_root, limit, batch_size or 250, device, tolerance, as_json, bool(models))
        for model in chosen
    ]
    if as_json:
        say_json(rows)
    else:
        for row in rows:
            stated = "nothing stated" if row["stated"] is None else f"stated {100 * row['stated']:.2f} %"
            say(
                f"{_VERDICTS[row['matches']]} {row['name']}: {100 * row['measured']:.2f} % "
                f"[{100 * row['low']:.2f}, {100 * row['high']:.2f}] on {counted(row['n'], 'image')} of "
                f"{row['data']}, {stated}"
            )
            for warning in filter(None, (row["warning"], row["other_data"])):
                say(f"  {warning}")
    if any(row["matches"] is False for row in rows):
        raise click.exceptions.Exit(1)


def _verified(
    source: str,
    data: str | None,
    root: str | None,
    limit: int | None,
    batch_size: int,
    device: str,
    tolerance: float,
    quiet: bool,
    insist: bool,
) -> dict[str, Any]:
    """One row of `verify`; `data` holds for models that were trained on other images only where it must (`insist`)."""
    from ...data import load
    from ...diagnostics.doubts import training_doubt
    from ...running.device import pick_device
    from ...zoo.loading import load_model
    from ...zoo.names import describe_model
    from ...zoo.shelf.publish import verify as measure

    card = describe_model(source)
    if not (data or card.data):
        raise InputError(f"'{source}' does not say what it was trained on. Give --data.")
    images, where = load(data or card.data, "test", root), pick_device(device)
    doubt = training_doubt(card, images, root) if data else None
    if doubt and not insist:
        images, doubt = load(card.data, "test", root), None
    with shown(f"verify {card.name}", quiet=quiet) as display:
        verdict = measure(
            load_model(source, where),
            card,
            images,
            limit=limit,
            batch_size=batch_size,
            device=where,
            tolerance=tolerance,
            on_progress=display.update,
        )
    warning = doubt and (
        f"Trained on other images than those of {doubt.asked} ({doubt.trained_on}): "
        "what is stated is for its own test images."
    )
    return {**asdict(verdict), "other_data": warning}


@click.command()
@click.argument("checkpoint")
@click.argument("name")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write here and leave the zoo alone.",
)
@click.option(
    "--float32", is_flag=True, help="Keep float32 [default: float16 for convolutions and linear layers]."
)
@click.option("--recipe", metavar="NAME", help="Recipe for the index [default: the checkpoint's].")
@click.option("--accuracy", type=click.FloatRange(0, 1), help="Measured on the exported weights.")
@click.option(
    "--robust", multiple=True, metavar="TEXT=NUMBER", help="A robust accuracy for the index; repeatable."
)
@click.option("--note", default="", help="One line for the index.")
@click.option(
    "--folder", metavar="DIR", help="Where larger weights go, such as weights [default: into the package]."
)
@options.json_option
def export(
    checkpoint: str,
    name: str,
    output: Path | None,
    float32: bool,
    recipe: str | None,
    accuracy: float | None,
    robust: tuple[str, ...],
    note: str,
    folder: str | None,
    as_json: bool,
) -> None:
    """Export CHECKPOINT, a run, a file or a zoo name, as float16 safetensors called NAME, into the zoo or to a file.

    \b
    Examples:
      sdnet-bench zoo export runs/cifar10-sdnet20 cifar10/sdnet20
      sdnet-bench zoo export runs/cifar10-sdnet18 cifar10/sdnet18 --folder weights --robust "pgd 8/255=0.0"
      sdnet-bench zoo export runs/cifar10-sdnet18 cifar10/sdnet18 -o sdnet18.safetensors
    """
    summary = {key: _share(value) for key, value in options.parse_pairs(robust, "--robust").items()}
    from ...data import short_name
    from ...zoo.names import check_zoo_name, describe_model, own_checkpoint

    data = check_zoo_name(name)
    own_checkpoint(checkpoint)
    card = describe_model(checkpoint)
    if card.data and short_name(card.data) != data:
        warn(f"'{name}' says {data}, but {checkpoint} was trained on {card.data}.")
    from ...zoo.shelf.index import listing
    from ...zoo.shelf.publish import add_to_zoo, export_model

    dtype = "float32" if float32 else "float16"
    if output is not None:
        written = export_model(checkpoint, output, name=name, accuracy=accuracy, dtype=dtype)
        row = {"name": name, "path": str(output), "weights_hash": written.weights_hash}
    else:
        stored = card.recipe if isinstance(card.recipe, str) else (card.recipe or {}).get("name", "own")
        item = add_to_zoo(
            checkpoint,
            name,
            recipe=recipe or stored,
            accuracy=accuracy,
            robust=summary,
            note=note,
            dtype=dtype,
            folder=folder,
        )
        row = listing(item)
    say(
        json.dumps(row) if as_json else f"Exported {checkpoint} as {name}: {row.get('path') or row['source']}"
    )


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise InputError(f"--robust takes TEXT=NUMBER with a number in [0, 1], got '{text}'.")
    return value
