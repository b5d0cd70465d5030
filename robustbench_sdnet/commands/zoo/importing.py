"""`sdnet-bench zoo import`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from ...console import options
from ...console.output import tell
from ...errors import InputError
from ...reading.numbers import number


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(number(part, "Expected numbers such as 0.4914,0.4822,0.4465") for part in text.split(","))


LAMBDA = options.Parsed("number", lambda text: number(text, "--lam must be a finite number, not negative", 0))
NUMBERS = options.Parsed("a,b,c", _numbers)


NETWORK = options.gathered(
    "network",
    dict,
    click.option(
        "--shortcut/--no-shortcut", default=True, show_default=True, help="Whether it has shortcuts."
    ),
    options.count_option("--num-classes", "Classes [default: by data set, else 10].", None),
    options.count_option("--input-size", "Side of its images [default: by data set, else 32].", None),
    click.option("--mean", type=NUMBERS, help="What its loader subtracted [default: the data set's]."),
    click.option("--std", type=NUMBERS, help="What its loader divided by [default: the data set's]."),
    click.option("--lam", type=LAMBDA, default=0.1, show_default=True, help="Its training lambda."),
    options.choice_option(
        "--step-size", ("recompute", "checkpoint"), "Compute step sizes anew, or trust the stored ones."
    ),
)


@click.command(name="import")
@click.argument("checkpoint", type=options.PATH)
@click.option("--arch", required=True, metavar="ARCH", help="Architecture that wrote it, such as sdnet18.")
@click.option("--data", required=True, metavar="NAME", help="Data set it was trained on.")
@NETWORK
@click.option("--accuracy", type=options.SHARE, help="Its stated clean accuracy, for zoo verify.")
@options.path_option("--output", "Folder to write [default: runs/DATA-ARCH-imported].", "DIR", "-o")
@options.json_option
def import_model(
    checkpoint: Path,
    arch: str,
    data: str,
    network: dict[str, Any],
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
    from ...data import check_name
    from ...zoo.nets.architectures import architecture

    architecture(arch)
    check_name(data)
    if not checkpoint.is_file():
        raise InputError(f"No checkpoint '{checkpoint}'.")
    from ...zoo.imported import import_run

    card = import_run(checkpoint, arch, data, network, accuracy=accuracy, output=output)
    folder = card.path.parent if card.path else output
    row = {"name": card.name, "path": str(card.path), "arch": arch, "data": data}
    text = f"Imported {checkpoint} into {folder}/. Use it: --model {shlex.quote(str(folder))}"
    tell({**row, "weights_hash": card.weights_hash}, text, as_json)
