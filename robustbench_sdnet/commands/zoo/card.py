"""`sdnet-bench zoo card`."""

from __future__ import annotations

from pathlib import Path

import click

from ...console.options import path_option
from ...console.output import say


@click.command()
@click.argument("name")
@click.option(
    "--store",
    metavar="URL",
    help="Take in this store's results of exactly these weights [default: the index alone].",
)
@path_option("--output", "Where to write it [default: the terminal].", "FILE")
def card(name: str, store: str | None, output: Path | None) -> None:
    """Write the model card of NAME, a model of the zoo, as the Hugging Face hub has it: metadata with results in
    model-index, intended use, how it was evaluated, limits. Numbers come from the zoo's index, or from a store.

    \b
    Examples:
      sdnet-bench zoo card cifar10/sdnet20
      sdnet-bench zoo card cifar10/sdnet20 --store sqlite:///runs/results.db --output README.md
    """
    from ...answers.snapshot import Snapshot
    from ...files import write_whole
    from ...reports.model_card import model_card
    from ...zoo.shelf.index import entry

    text = model_card(entry(name), None if store is None else Snapshot.read(store))
    if output is None:
        say(text, nl=False)
    else:
        say(f"Wrote {write_whole(output, text)}")
