"""`sdnet-bench zoo`: list, info, card, fetch, import, verify, export."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ...console import options
from ...console.output import say, say_of, tell, warn
from ...errors import InputError
from .checkpoints import export, import_model, verify


@click.group()
def zoo() -> None:
    """Manage models: those that ship with the package, those that can be fetched, and the checkpoints of others.

    \b
    Examples:
      sdnet-bench zoo list
      sdnet-bench zoo card cifar10/sdnet20
      sdnet-bench zoo verify cifar10/sdnet20 --data cifar10
      sdnet-bench zoo import model_best.pth.tar --arch sdnet18 --data cifar10
    """


@zoo.command(name="list")
@options.json_option
def list_models(as_json: bool) -> None:
    """List the models of the zoo.

    \b
    Examples:
      sdnet-bench zoo list
      sdnet-bench zoo list --json
    """
    from ...console.tables import fitted
    from ...zoo.shelf.index import entries, listing

    rows = [listing(item) for item in entries()]
    lines = [
        (
            row["name"],
            row["arch"],
            row["recipe"],
            f"{100 * row['accuracy']:.2f} %",
            ("fetch", "yes")[row["local"]],
        )
        for row in rows
    ]
    headers = ["name", "architecture", "recipe", "accuracy", "here"]
    sides = ("left", "left", "left", "right", "left")
    tell(rows, fitted(lines, headers, sides, (2,)) if lines else "The zoo is empty.", as_json)


@zoo.command()
@click.argument("model")
@options.json_option
def info(model: str, as_json: bool) -> None:
    """Show what is known about MODEL.

    MODEL is a zoo name, a run, a checkpoint or an external source.

    \b
    Examples:
      sdnet-bench zoo info cifar10/sdnet20
      sdnet-bench zoo info runs/digits-sdnet20 --json
    """
    from ...zoo.names import EXTERNAL_KINDS, describe_model, kind_of, source_text
    from ...zoo.shelf.index import entries, listing

    model = source_text(model)
    row = next((listing(item) for item in entries() if item.name == model), {})
    if row.get("local", True):
        known = asdict(describe_model(model))
        silent = not (known["fingerprint"] or "randomised" in known["options"])
        if silent and kind_of(model) in EXTERNAL_KINDS:
            warn(f"{model} gives no logits for images of 32x32: it may take others, or be no classifier.")
        row = known | row | {"path": None if known["path"] is None else str(known["path"])}
    from tabulate import tabulate

    # The logits of a fingerprint are for programs.
    lines = [(key, _fact(value)) for key, value in row.items() if key != "fingerprint"]
    tell(row, tabulate(lines, tablefmt="plain", disable_numparse=True), as_json)


def _fact(value: Any) -> str:
    """A fact of a model's card as text; nothing where it is not known."""
    if isinstance(value, dict):
        return json.dumps(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):  # of float32
        return ", ".join(f"{number:.7g}" for number in value)
    return "" if value is None else str(value)


@zoo.command()
@click.argument("name")
@click.option(
    "--store",
    metavar="URL",
    help="Also use the results of exactly these weights in this store [default: the index alone].",
)
@options.path_option("--output", "File to write [default: the terminal].", "FILE")
def card(name: str, store: str | None, output: Path | None) -> None:
    """Write the model card of NAME, a model of the zoo.

    It is in the format of the Hugging Face Hub, and holds metadata with results in model-index, the intended use, how
    the model was evaluated, and its limits. The numbers come from the index of the zoo, or from a store.

    \b
    Examples:
      sdnet-bench zoo card cifar10/sdnet20
      sdnet-bench zoo card cifar10/sdnet20 --store sqlite:///runs/results.db
    """
    from ...answers.snapshot import Snapshot
    from ...files import write_whole
    from ...reports.model_card import model_card
    from ...zoo.shelf.index import entry

    text = model_card(entry(name), None if store is None else Snapshot.read(store))
    if output is None:
        say(text, nl=False)
    else:
        say_of(write_whole(output, text), f"Wrote {output}")


@zoo.command()
@click.argument("source")
@click.option(
    "--from",
    "place",
    metavar="URL|DIR",
    help="Where to find the files of the zoo [default: where the index says].",
)
@click.option(
    "--sha256", metavar="HEX", help="Expected checksum [default: that of the index, for its models]."
)
@options.json_option
def fetch(source: str, place: str | None, sha256: str | None, as_json: bool) -> None:
    """Fetch SOURCE, a zoo name, URL or path, into the cache.

    A broken download continues where it stopped.

    \b
    Examples:
      sdnet-bench zoo fetch cifar10/sdnet18
      sdnet-bench zoo fetch cifar10/sdnet18 --from ../checkout/weights
      sdnet-bench zoo fetch https://example.org/my.safetensors --sha256 0123...
    """
    if sha256 is not None and not re.fullmatch(r"[0-9a-fA-F]{64}", sha256):
        raise InputError(f"--sha256 must be 64 hexadecimal digits, got '{sha256}'.")

    from ...files import sha256_of
    from ...zoo.shelf.index import at_hand, fetch as bring

    path = at_hand(source, sha256)
    if path is None:
        path = bring(source, place=place, sha256=sha256)
    elif place is not None:
        say(f"Note: the file was here already, so that nothing was read from {place}.", err=True)
    row = {"source": source, "path": str(path), "sha256": sha256_of(path)}
    tell(row, f"{source} is at {path}", as_json)


for command in (import_model, verify, export):
    zoo.add_command(command)
