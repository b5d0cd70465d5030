"""Progress of a run on the terminal, with time left; quiet when standard error is not a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from .output import say

if TYPE_CHECKING:
    from ..running.runner import Progress


@contextmanager
def shown_progress(verb: str, *, quiet: bool = False) -> Iterator[Callable[[Progress], None]]:
    """A callback for `runner.run` that draws a bar on standard error.

    Args:
        verb: what is being done, in front of the bar.
        quiet: draw nothing, as for --json.
    """
    if quiet or not sys.stderr.isatty():
        yield _silent if quiet else _once(verb)
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress as Bar, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn(verb),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.description}"),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)

        def update(progress: Progress) -> None:
            bar.update(task, total=progress.cost, completed=progress.done_cost, description=progress.label)

        yield update


def _silent(_: Progress) -> None:
    return


def _once(verb: str) -> Callable[[Progress], None]:
    """Say what is to do at the start, and a line at every tenth of it, where there is no terminal to draw on."""
    tenth = 0

    def update(progress: Progress) -> None:
        nonlocal tenth
        if progress.done_shards == 0:
            say(f"{verb}: {progress.shards} shards to do, {progress.stored} stored already.", err=True)
        reached = 10 * progress.done_cost // progress.cost if progress.cost else 10
        if progress.done_shards and reached > tenth:
            tenth = reached
            say(f"{verb}: {10 * reached} % ({progress.label})", err=True)

    return update
