"""`sdnet-bench status`."""

from __future__ import annotations

import json

import click

from . import options


@click.command()
@options.store_option
@options.json_option
def status(store: str, as_json: bool) -> None:
    """Show what the store holds: per model and kind, cells, samples, and cells that were asked for and not finished.

    \b
    Examples:
      sdnet-bench status
      sdnet-bench status --store sqlite:///runs/quickstart/results.db --json
    """
    from ..evaluation.status import status as read_status
    from ..evaluation.store import Store

    with Store(store, must_exist=True) as opened:
        rows = read_status(opened)
    if as_json:
        click.echo(json.dumps(rows, indent=2))
        return
    from tabulate import tabulate

    keys = ("model", "data", "kind", "cells", "unfinished", "samples", "shards", "last_finished")
    lines = [["-" if row[key] is None else row[key] for key in keys] for row in rows]
    headers = [key.replace("_", " ") for key in keys]
    click.echo(tabulate(lines, headers=headers) if lines else f"{store} holds no cells yet.")
