"""`sdnet-bench zoo import`, `verify` and `export`: checkpoints of others in, stated accuracies checked, our own out."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import click

from ...console import options
from ...console.output import tell, warn
from ...console.progress import shown
from ...errors import InputError
from ...planning.setting import Setting
from ...reading.numbers import number
from ...running.refusals import check_models
from ...wording import counted


def _numbers(text: str) -> tuple[float, ...]:
    return tuple(number(part, "Expected numbers such as 0.4914,0.4822,0.4465") for part in text.split(","))


LAMBDA = options.Parsed(
    "number", lambda text: number(text, "--lam must be a finite number that is not negative", 0)
)
NUMBERS = options.Parsed("a,b,c", _numbers)


NETWORK = options.gathered(
    "network",
    dict,
    click.option(
        "--shortcut/--no-shortcut", default=True, show_default=True, help="Whether the network has shortcuts."
    ),
    options.count_option(
        "--num-classes", "Number of classes [default: that of the data set, else 10].", None
    ),
    options.count_option(
        "--input-size", "Side of the images, in pixels [default: that of the data set, else 32].", None
    ),
    click.option(
        "--mean",
        type=NUMBERS,
        help="Mean that its loader subtracted [default: the file's own, else CIFAR's or from 64 pixels ImageNet's].",
    ),
    click.option(
        "--std", type=NUMBERS, help="Deviation that its loader divided by [default: as for --mean]."
    ),
    click.option("--lam", type=LAMBDA, default=0.1, show_default=True, help="Lambda it was trained with."),
    options.choice_option(
        "--step-size", ("recompute", "checkpoint"), "Recompute step sizes, or trust those in the checkpoint."
    ),
)


@click.command(name="import")
@click.argument("checkpoint", type=options.PATH)
@click.option(
    "--arch", required=True, metavar="ARCH", help="Architecture of the checkpoint, such as sdnet18."
)
@click.option("--data", required=True, metavar="NAME", help="Data set it was trained on.")
@NETWORK
@click.option("--accuracy", type=options.SHARE, help="Stated clean accuracy, for zoo verify.")
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
    """Import a released SDNet CHECKPOINT (.pth.tar) as a run.

    Other commands then take its folder as a model. The file is read without running any code in it.

    \b
    Examples:
      sdnet-bench zoo import model_best.pth.tar --arch sdnet18 --data cifar10
      sdnet-bench zoo import checkpoint.pth.tar --data cifar100 \\
          --arch sdnet18_all --no-shortcut
      sdnet-bench zoo import model_best.pth.tar --data imagenet \\
          --arch sdnet18 --step-size checkpoint
    """
    from ...data import check_name
    from ...zoo.nets.architectures import architecture

    if architecture(arch).sparse == "none":
        options.refuse_given(("lam", "step_size"), f"{arch} has no sparse coding layers")
    check_name(data)
    if not checkpoint.is_file():
        raise InputError(f"No checkpoint '{checkpoint}'.")
    from ...zoo.imported import import_run

    card = import_run(checkpoint, arch, data, network, accuracy=accuracy, output=output)
    folder = card.path.parent if card.path else output
    row = {"name": card.name, "path": str(card.path), "arch": arch, "data": data}
    text = f"Imported {checkpoint} into {folder}/. Use it: --model {shlex.quote(str(folder))}"
    tell({**row, "weights_hash": card.weights_hash}, text, as_json)


_VERDICTS = {True: "ok", False: "DIFFERS", None: "measured"}


@click.command()
@click.argument("models", nargs=-1, metavar="[MODEL]...")
@options.setting_options(
    only=("data", "data_root", "limit", "batch_size", "device"),
    data={"help": "Data set [default: the one that each model was trained on]."},
    limit={"help": "Use N images only: the first, or evenly spaced ones if the set is sorted by class."},
)
@click.option(
    "--tolerance",
    type=options.SHARE,
    default=0.001,
    show_default=True,
    help="Allowed difference in accuracy on all test images, as a share.",
)
@options.json_option
def verify(models: tuple[str, ...], setting: Setting, tolerance: float, as_json: bool) -> None:
    """Measure each MODEL again and compare it with what is stated.

    Without MODEL, every model of the zoo on this machine is measured. The command exits with 1 if an accuracy differs.
    On all test images, it may differ by up to --tolerance. With --limit, a difference counts only if chance would
    cause one that large in at most one model in a thousand.

    --data says where the images are. A MODEL that was trained on other images is measured on these all the same, with
    a warning; without MODEL, such a model is measured on its own data set.

    \b
    Examples:
      sdnet-bench zoo verify
      sdnet-bench zoo verify --data npz:cifar10.npz
      sdnet-bench zoo verify cifar10/sdnet20 --data npz:cifar10.npz --limit 1000
      sdnet-bench zoo verify --json
    """
    from ...zoo.shelf.index import entries, local_path

    check_models(models)
    chosen = models or tuple(item.name for item in entries() if local_path(item) is not None)
    if not chosen:
        raise InputError("No model of the zoo is on this machine. Fetch one, or name a run or a checkpoint.")
    from ...diagnostics.verification import verify_model

    rows = []
    for model in chosen:
        with shown(f"verify {model}", quiet=as_json) as display:
            rows.append(
                verify_model(
                    model, setting, tolerance=tolerance, insist=bool(models), on_progress=display.update
                )
            )
    lines = []
    for row in rows:
        stated = "nothing stated" if row["stated"] is None else f"stated {100 * row['stated']:.2f} %"
        lines.append(
            f"{_VERDICTS[row['matches']]} {row['name']}: {100 * row['measured']:.2f} % "
            f"[{100 * row['low']:.2f}, {100 * row['high']:.2f}] on {counted(row['n'], 'image')} of "
            f"{row['data']}, {stated}"
        )
        lines += [f"  {warning}" for warning in (row["warning"], row["other_data"]) if warning]
    tell(rows, "\n".join(lines), as_json)
    if any(row["matches"] is False for row in rows):
        raise click.exceptions.Exit(1)


def _entry(robust: tuple[str, ...], **given: Any) -> dict[str, Any]:
    rule = "--robust takes TEXT=NUMBER with a number in [0, 1]"
    shares = options.parse_pairs(robust, "--robust")
    return {**given, "robust": {key: number(value, rule, 0, 1) for key, value in shares.items()}}


ENTRY = options.gathered(
    "entry",
    _entry,
    click.option(
        "--recipe",
        metavar="NAME",
        help="Recipe to state in the index [default: that of the checkpoint, with its epochs].",
    ),
    click.option("--accuracy", type=options.SHARE, help="Clean accuracy measured with the exported weights."),
    click.option(
        "--robust",
        multiple=True,
        metavar="TEXT=NUMBER",
        help="A robust accuracy to state in the index; repeatable.",
    ),
    click.option("--note", default="", help="A one-line note for the index."),
    options.path_option(
        "--folder", "Folder for larger weights, such as weights/ [default: inside the package]."
    ),
)


@click.command()
@click.argument("checkpoint")
@click.argument("name")
@options.path_option("--output", "Write this file and leave the zoo unchanged.", "FILE", "-o")
@click.option(
    "--float32", is_flag=True, help="Keep float32 [default: float16 for convolutions and linear layers]."
)
@ENTRY
@options.json_option
def export(
    checkpoint: str, name: str, output: Path | None, float32: bool, entry: dict[str, Any], as_json: bool
) -> None:
    """Export CHECKPOINT as float16 safetensors called NAME.

    CHECKPOINT is a run, a file or a zoo name. The weights go into the zoo, or to a file.

    \b
    Examples:
      sdnet-bench zoo export runs/cifar10-sdnet20 cifar10/sdnet20
      sdnet-bench zoo export runs/cifar10-sdnet18 cifar10/sdnet18 \\
          --folder weights --robust "pgd 8/255=0.0"
      sdnet-bench zoo export runs/cifar10-sdnet18 cifar10/sdnet18 \\
          -o sdnet18.safetensors
    """
    from ...data import short_name
    from ...zoo.names import check_zoo_name, describe_model, own_checkpoint, source_text

    if output is not None:
        options.refuse_given(("recipe", "robust", "note", "folder"), "--output leaves the zoo unchanged")
    data = check_zoo_name(name)
    checkpoint = source_text(checkpoint)  # once: another run of the name may end meanwhile
    own_checkpoint(checkpoint)
    before = describe_model(checkpoint)
    if before.data and short_name(before.data) != data:
        warn(f"'{name}' says {data}, but {checkpoint} was trained on {before.data}.")
    from ...zoo.files.cards import read_card
    from ...zoo.shelf.index import INDEX, listing
    from ...zoo.shelf.publish import add_to_zoo, export_model

    dtype = "float32" if float32 else "float16"
    if output is not None:
        written = export_model(checkpoint, output, name=name, accuracy=entry["accuracy"], dtype=dtype)
        row = {"name": name, "path": str(output), "weights_hash": written.weights_hash}
    else:
        item = add_to_zoo(checkpoint, name, dtype=dtype, **entry)
        row, output = listing(item), (entry["folder"] or INDEX.parent / "weights") / Path(item.source).name
    unmeasured = entry["accuracy"] is None and before.accuracy is not None and not float32
    if unmeasured and read_card(output).weights_hash != before.weights_hash:
        warn(
            f"'{name}' states the accuracy of {checkpoint}, whose weights are not rounded to float16. "
            "'zoo verify' measures what was written; --accuracy states it."
        )
    tell(row, f"Exported {checkpoint} as {name}: {row.get('path') or row['source']}", as_json)
