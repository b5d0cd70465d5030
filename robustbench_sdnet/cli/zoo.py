"""`sdnet-bench zoo`: list, info, fetch, import, verify, export."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ..errors import InputError
from . import options


@click.group()
def zoo() -> None:
    """Models that ship, models that can be fetched, and checkpoints of others.

    \b
    Examples:
      sdnet-bench zoo list
      sdnet-bench zoo verify cifar10/sdnet20 --data cifar10
      sdnet-bench zoo import model_best.pth.tar --arch sdnet18 --data cifar10
    """


@contextmanager
def _bar(label: str, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """A bar on standard error for (done, total); nothing where `quiet`, or where the total is unknown."""
    bar: Any = click.progressbar(length=100, label=label, file=sys.stderr, hidden=quiet)
    with bar:
        yield lambda done, total: bar.update(int(100 * done / total) - bar.pos) if total else None


def _listed(item: Any) -> dict[str, Any]:
    """An entry of the index as `--json` prints it."""
    from ..zoo.index import local_path

    row = {
        key: getattr(item, key) for key in ("name", "arch", "data", "recipe", "accuracy", "sha256", "source")
    }
    return row | {"robust": dict(item.robust), "note": item.note, "local": local_path(item) is not None}


@zoo.command(name="list")
@options.json_option
def list_models(as_json: bool) -> None:
    """List the models of the zoo.

    \b
    Examples:
      sdnet-bench zoo list
      sdnet-bench zoo list --json
    """
    from ..zoo.index import entries

    rows = [_listed(item) for item in entries()]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from tabulate import tabulate

    lines = [
        [
            row["name"],
            row["arch"],
            row["recipe"],
            f"{100 * row['accuracy']:.2f} %",
            "yes" if row["local"] else "fetch",
        ]
        for row in rows
    ]
    click.echo(
        tabulate(lines, headers=["name", "architecture", "recipe", "accuracy", "here"]) or "The zoo is empty."
    )


@zoo.command()
@click.argument("model")
@options.json_option
def info(model: str, as_json: bool) -> None:
    """Show what is known of MODEL: a zoo name, a run, a checkpoint or an external source.

    \b
    Examples:
      sdnet-bench zoo info cifar10/sdnet20
      sdnet-bench zoo info runs/digits-sdnet20 --json
    """
    from ..zoo.index import entries
    from ..zoo.registry import describe_model

    card = asdict(describe_model(model))
    card["path"] = None if card["path"] is None else str(card["path"])
    row = card | next((_listed(item) for item in entries() if item.name == model), {})
    if as_json:
        click.echo(json.dumps(row, indent=2, default=str))
        return
    from tabulate import tabulate

    shown = [(key, json.dumps(value) if isinstance(value, dict) else value) for key, value in row.items()]
    click.echo(tabulate(shown, tablefmt="plain", disable_numparse=True))


@zoo.command()
@click.argument("source")
@click.option(
    "--from", "place", metavar="URL|DIR", help="Where the zoo's files are [default: where the index says]."
)
@click.option("--sha256", metavar="HEX", help="Expected checksum [default: the index's, for its models].")
@options.json_option
def fetch(source: str, place: str | None, sha256: str | None, as_json: bool) -> None:
    """Fetch SOURCE, a zoo name, URL or path, into the cache; a broken download goes on where it stopped.

    \b
    Examples:
      sdnet-bench zoo fetch cifar10/sdnet18
      sdnet-bench zoo fetch cifar10/sdnet18 --from ../checkout/weights
      sdnet-bench zoo fetch https://example.org/sdnet18.safetensors --sha256 0123...
    """
    from ..zoo.fetch import fetch as bring
    from ..zoo.files import sha256_of

    with _bar("fetching", quiet=as_json) as update:
        path = bring(source, place=place, sha256=sha256, on_progress=update)
    if as_json:
        click.echo(json.dumps({"source": source, "path": str(path), "sha256": sha256_of(path)}))
    else:
        click.echo(f"{source} is at {path}")


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"Expected numbers such as 0.4914,0.4822,0.4465, got '{text}'.") from None


NUMBERS = options.Parsed("a,b,c", _numbers)


@zoo.command(name="import")
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
    from ..data import check_name, short_name
    from ..zoo.registry import architecture

    architecture(arch)
    check_name(data)
    if not checkpoint.is_file():
        raise InputError(f"No checkpoint '{checkpoint}'.")
    from ..zoo.importing import import_checkpoint
    from ..zoo.weights import save_model

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
    recipe = {"imported_from": checkpoint.name, "step_size": step_size}
    card = save_model(model, folder / "last.safetensors", data=data, recipe=recipe, accuracy=accuracy)
    row = {
        "name": card.name,
        "path": str(card.path),
        "arch": arch,
        "data": data,
        "weights_hash": card.weights_hash,
    }
    click.echo(
        json.dumps(row) if as_json else f"Imported {checkpoint} into {folder}/. Use it: --model {folder}"
    )


@zoo.command()
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

    Exits with 1 if one differs. On all test images the difference may be --tolerance; with --limit the stated
    accuracy must lie in the 95 % interval.

    \b
    Examples:
      sdnet-bench zoo verify
      sdnet-bench zoo verify cifar10/sdnet20 --data npz:cifar10.npz --limit 1000
      sdnet-bench zoo verify --json
    """
    from ..zoo.index import entries, local_path

    options.check_sources(models, data, device)
    chosen = models or tuple(item.name for item in entries() if local_path(item) is not None)
    if not chosen:
        raise InputError("No model of the zoo is on this machine. Fetch one, or name a run or checkpoint.")
    rows = [
        _verified(model, data, data_root, limit, batch_size or 250, device, tolerance, as_json)
        for model in chosen
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    else:
        for row in rows:
            stated = "nothing stated" if row["stated"] is None else f"stated {100 * row['stated']:.2f} %"
            click.echo(
                f"{'ok    ' if row['matches'] else 'DIFFERS'} {row['name']}: {100 * row['measured']:.2f} % "
                f"[{100 * row['low']:.2f}, {100 * row['high']:.2f}] on {row['n']} images of {row['data']}, {stated}"
            )
            if row["warning"]:
                click.echo(f"  {row['warning']}")
    if not all(row["matches"] for row in rows):
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
) -> dict[str, Any]:
    from ..data import load
    from ..evaluation.device import pick_device
    from ..zoo.publish import verify as measure
    from ..zoo.registry import describe_model
    from ..zoo.weights import load_model

    card = describe_model(source)
    if not (data or card.data):
        raise InputError(f"'{source}' does not say what it was trained on. Give --data.")
    images, where = load(data or card.data, "test", root), pick_device(device)
    with _bar(f"verifying {card.name}", quiet) as update:
        verdict = measure(
            load_model(source, where),
            card,
            images,
            limit=limit,
            batch_size=batch_size,
            device=where,
            tolerance=tolerance,
            on_progress=update,
        )
    return asdict(verdict)


@zoo.command()
@click.argument("checkpoint", type=click.Path(path_type=Path))
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
    checkpoint: Path,
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
    """Export CHECKPOINT, a run or a file, as float16 safetensors called NAME, into the zoo or to a file.

    \b
    Examples:
      sdnet-bench zoo export runs/cifar10-sdnet20 cifar10/sdnet20
      sdnet-bench zoo export runs/cifar10-sdnet18 cifar10/sdnet18 --folder weights --robust "pgd 8/255=0.0"
      sdnet-bench zoo export runs/cifar10-sdnet18 cifar10/sdnet18 -o sdnet18.safetensors
    """
    summary = {key: _share(value) for key, value in options.parse_pairs(robust, "--robust").items()}
    from ..zoo.registry import describe_model

    card = describe_model(str(checkpoint))
    from ..zoo.publish import add_to_zoo, export_model

    dtype = "float32" if float32 else "float16"
    if output is not None:
        written = export_model(checkpoint, output, name=name, dtype=dtype)
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
        row = _listed(item)
    click.echo(
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
