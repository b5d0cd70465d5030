"""`sdnet-bench zoo import`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from ...console import options
from ...console.output import say
from ...errors import InputError


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"Expected numbers such as 0.4914,0.4822,0.4465, got '{text}'.") from None


NUMBERS = options.Parsed("a,b,c", _numbers)


@click.command(name="import")
@click.argument("checkpoint", type=click.Path(path_type=Path))
@click.option("--arch", required=True, metavar="ARCH", help="Architecture that wrote it, such as sdnet18.")
@click.option("--data", required=True, metavar="NAME", help="Data set it was trained on.")
@click.option("--shortcut/--no-shortcut", default=True, show_default=True, help="Whether it has shortcuts.")
@click.option("--num-classes", type=click.IntRange(min=1), help="Classes [default: by data set, else 10].")
@click.option(
    "--input-size", type=click.IntRange(min=1), help="Side of its images [default: by data set, else 32]."
)
@click.option("--mean", type=NUMBERS, help="What its loader subtracted [default: the data set's].")
@click.option("--std", type=NUMBERS, help="What its loader divided by [default: the data set's].")
@click.option(
    "--lam", type=click.FloatRange(min=0), default=0.1, show_default=True, help="Its training lambda."
)
@click.option(
    "--step-size",
    type=click.Choice(["recompute", "checkpoint"]),
    default="recompute",
    show_default=True,
    help="Compute step sizes anew, or trust the stored ones.",
)
@click.option("--accuracy", type=click.FloatRange(0, 1), help="Its stated clean accuracy, for zoo verify.")
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder to write [default: runs/DATA-ARCH-imported].",
)
@options.json_option
def import_model(
    checkpoint: Path,
    arch: str,
    data: str,
    shortcut: bool,
    num_classes: int | None,
    input_size: int | None,
    mean: tuple[float, ...] | None,
    std: tuple[float, ...] | None,
    lam: float,
    step_size: str,
    accuracy: float | None,
    output: Path | None,
    as_json: bool,
) -> None:
    """Import a released SDNet CHECKPOINT (.pth.tar) as a run, ready for corrupt and attack.

    Files are read without running any code in them.

    \b
    Examples:
      sdnet-bench zoo import model_best.pth.tar --arch sdnet18 --data cifar10
      sdnet-bench zoo import checkpoint.pth.tar --arch sdnet18_all --no-shortcut --data cifar100
      sdnet-bench zoo import model_best.pth.tar --arch sdnet18 --data imagenet --step-size checkpoint
    """
    from ...data import check_name, short_name
    from ...zoo.names import architecture

    architecture(arch)
    check_name(data)
    if not checkpoint.is_file():
        raise InputError(f"No checkpoint '{checkpoint}'.")
    from ...zoo.files.importing import import_checkpoint
    from ...zoo.files.weights import save_model, weights_hash

    classes, size = {"cifar100": (100, 32), "imagenet": (1000, 224)}.get(data, (10, 32))
    model = import_checkpoint(
        checkpoint,
        arch,
        shortcut=shortcut,
        num_classes=num_classes or classes,
        input_size=input_size or size,
        mean=mean,
        std=std,
        lam=lam,
        step_size=step_size,
    )
    folder = (
        output or Path("runs") / f"{short_name(data)}-{arch}{'' if shortcut else '-no-shortcut'}-imported"
    )
    _refuse_another(folder, weights_hash(model))
    recipe = {"imported_from": checkpoint.name, "step_size": step_size}
    card = save_model(model, folder / "last.safetensors", data=data, recipe=recipe, accuracy=accuracy)
    row = {
        "name": card.name,
        "path": str(card.path),
        "arch": arch,
        "data": data,
        "weights_hash": card.weights_hash,
    }
    say(json.dumps(row) if as_json else f"Imported {checkpoint} into {folder}/. Use it: --model {folder}")


def _refuse_another(folder: Path, weights: str) -> None:
    """Refuse a folder that holds another model; the same one may be imported again."""
    from ...zoo.files.cards import read_card
    from ...zoo.names import run_checkpoint

    try:
        held = read_card(run_checkpoint(folder)).weights_hash
    except InputError:
        return
    if held != weights:
        raise InputError(f"{folder} already holds another model. Name another folder: --output DIR.")
