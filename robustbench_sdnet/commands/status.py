"""`sdnet-bench status`."""

from __future__ import annotations

import click

from ..console import options
from ..console.output import say, tell
from ..wording import counted


@click.command()
@options.store_option
@click.option("--forget", is_flag=True, help="Ask no more than is answered: nothing is unfinished then.")
@options.json_option
def status(store: str, forget: bool, as_json: bool) -> None:
    """Show what the store holds: per model and kind, cells, samples, and cells that were asked for and not finished.

    After a command that nobody wants to finish, such as one with a wrong --limit, --forget takes back what it asked and
    did not answer. Answers stay, and a command that asks for the rest goes on from them.

    \b
    Examples:
      sdnet-bench status
      sdnet-bench status --store sqlite:///runs/quickstart/results.db --json
      sdnet-bench status --forget
    """
    from ..answers.snapshot import url_of
    from ..answers.status import has_unfinished, status as read_status
    from ..console.tables import fitted
    from ..store.store import Store

    url = url_of(store)
    if forget:
        with Store(url, must_exist=True) as opened:  # one that is not there is not made
            forget = has_unfinished(opened)
    with Store(url, must_exist=not forget) as opened:
        if forget:
            say(f"Forgot {counted(opened.forget_unfinished(), 'unfinished cell')}.", err=True)
        rows = read_status(opened)

    keys = ("model", "data", "kind", "cells", "unfinished", "samples", "last_finished")
    # To the minute and without shards, which --json has: all of it makes the table wider than a terminal.
    shown = [{**row, "last_finished": (row["last_finished"] or "-")[:16].replace("T", " ")} for row in rows]
    lines = [[row[key] for key in keys] for row in shown]
    headers = ["model", "data", "kind", "cells", "to do", "samples", "last (UTC)"]
    sides = ("left", "left", "left", "right", "right", "right", "left")
    text = fitted(lines, headers, sides, (0, 1, 2, 6)) if lines else f"{opened.shown} holds no cells yet."
    tell(rows, text, as_json)
