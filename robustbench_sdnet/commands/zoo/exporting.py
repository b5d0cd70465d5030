"""`sdnet-bench zoo export`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ...console import options
from ...console.output import tell, warn
from ...reading.numbers import number


def _entry(robust: tuple[str, ...], **given: Any) -> dict[str, Any]:
    rule = "--robust takes TEXT=NUMBER with a number in [0, 1]"
    shares = options.parse_pairs(robust, "--robust")
    return {**given, "robust": {key: number(value, rule, 0, 1) for key, value in shares.items()}}


ENTRY = options.gathered(
    "entry",
    _entry,
    click.option("--recipe", metavar="NAME", help="Recipe for the index [default: the checkpoint's]."),
    click.option("--accuracy", type=options.SHARE, help="Measured on the exported weights."),
    click.option(
        "--robust", multiple=True, metavar="TEXT=NUMBER", help="A robust accuracy for the index; repeatable."
    ),
    click.option("--note", default="", help="One line for the index."),
    options.path_option("--folder", "Where larger weights go, such as weights [default: into the package]."),
)


@click.command()
@click.argument("checkpoint")
@click.argument("name")
@options.path_option("--output", "Write here and leave the zoo alone.", "FILE", "-o")
@click.option(
    "--float32", is_flag=True, help="Keep float32 [default: float16 for convolutions and linear layers]."
)
@ENTRY
@options.json_option
def export(
    checkpoint: str, name: str, output: Path | None, float32: bool, entry: dict[str, Any], as_json: bool
) -> None:
    """Export CHECKPOINT, a run, a file or a zoo name, as float16 safetensors called NAME, into the zoo or to a file.

    \b
    Examples:
      sdnet-bench zoo export runs/cifar10-sdnet20 cifar10/sdnet20
      sdnet-bench zoo export runs/cifar10-sdnet18 cifar10/sdnet18 --folder weights --robust "pgd 8/255=0.0"
      sdnet-bench zoo export runs/cifar10-sdnet18 cifar10/sdnet18 -o sdnet18.safetensors
    """
    from ...data import short_name
    from ...zoo.names import check_zoo_name, describe_model, own_checkpoint

    data = check_zoo_name(name)
    own_checkpoint(checkpoint)
    trained_on = describe_model(checkpoint).data
    if trained_on and short_name(trained_on) != data:
        warn(f"'{name}' says {data}, but {checkpoint} was trained on {trained_on}.")
    from ...zoo.shelf.index import listing
    from ...zoo.shelf.publish import add_to_zoo, export_model

    dtype = "float32" if float32 else "float16"
    if output is not None:
        written = export_model(checkpoint, output, name=name, accuracy=entry["accuracy"], dtype=dtype)
        row = {"name": name, "path": str(output), "weights_hash": written.weights_hash}
    else:
        row = listing(add_to_zoo(checkpoint, name, dtype=dtype, **entry))
    tell(row, f"Exported {checkpoint} as {name}: {row.get('path') or row['source']}", as_json)
