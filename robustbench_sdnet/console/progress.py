"""The one progress display of all long work: a bar with the time left on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..download_progress import heard
from ..wording import counted, duration, percent, visible
from .output import say

if TYPE_CHECKING:
    from ..running.policies import FitProgress
    from ..running.runner import Progress
    from ..training.step.loop import Event

NAMED = 4  # workers whose work is told
SLOW = 1800.0  # seconds of training; beyond, a quicker recipe is named
QUIET = 60.0  # seconds between two lines where there is no terminal, unless a tenth was done before


class Display:
    """How far one piece of work has come, on standard error; nothing where all is `quiet`, as for --json.

    The bar begins with the first update and goes away when all is done; work that begins again gets a bar of its own.
    Without a terminal a line is written at every tenth of the way, and at least every minute.
    """

    def __init__(self, verb: str, *, quiet: bool = False) -> None:
        self.verb, self._quiet = verb, quiet
        self._terminal = not quiet and _draws()
        self._bar: Any = None
        self._task: Any = None
        self._done = self._total = 0.0
        self._first = self._begun = self._spoken = 0.0
        self._warned: set[str] = set()

    def update(
        self,
        done: float,
        total: float | None,
        label: str = "",
        left: float | None = None,
        *,
        idle: bool = False,
    ) -> None:
        """Show that `done` of `total` is done; nothing where the total is not known.

        Args:
            left: seconds until all is done; None to go on as fast as until now.
            idle: nobody is at it so far, as before workers have started: that time says nothing of what is left.
        """
        if self._quiet or not total:
            return
        now = time.monotonic()
        if done < self._done or total != self._total:
            self._first, self._begun, self._spoken = done, now, now
        elif idle:
            self._begun = now
        tenth = int(10 * done / total) > int(10 * self._done / total) and done > self._first
        self._done, self._total = done, total
        if left is None and done > self._first:
            left = (now - self._begun) / (done - self._first) * (total - done)
        if self._terminal:
            self._draw(label, left)
        elif tenth or now - self._spoken >= QUIET:
            self._spoken = now
            about = f" ({label})" if label else ""
            when = f", about {duration(left)} left" if done < total and left is not None else ""
            say(f"{self.verb}: {100 * done / total:.0f} %{about}{when}", err=True)

    def note(self, text: str, *, always: bool = False) -> None:
        """Print a line of its own, above the bar; where all is quiet only what must be said always."""
        if self._bar is not None:
            self._bar.console.print(visible(text, keep="\n"), markup=False, highlight=False, soft_wrap=True)
        elif always or not self._quiet:
            say(text, err=True)

    def warn(self, notes: Iterable[str]) -> None:
        """Say what the user should know, each line once."""
        for note in notes:
            if note not in self._warned:
                self._warned.add(note)
                self.note(f"Warning: {note}", always=True)

    def close(self) -> None:
        """Take the bar away."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        self._done = self._total = 0.0

    def _draw(self, label: str, left: float | None) -> None:
        if self._bar is None:
            self._bar = _bar(visible(self.verb))
            self._task = self._bar.add_task("", total=self._total, end=None)
            self._bar.start()
        end = None if left is None else time.monotonic() + left
        self._bar.update(
            self._task, total=self._total, completed=self._done, description=visible(label), end=end
        )
        if self._done >= self._total:
            self.close()


def _draws() -> bool:
    """Whether a bar is drawn; a terminal that cannot move its cursor, as in an editor, has lines as a file has."""
    return sys.stderr.isatty() and os.environ.get("TERM", "").lower() not in ("dumb", "unknown")


def _bar(verb: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, Progress as Bar, ProgressColumn, Task, TextColumn, TimeElapsedColumn
    from rich.text import Text

    class Left(ProgressColumn):
        """The time left, which passes between two updates too."""

        def render(self, task: Task) -> Text:
            end = task.fields["end"]
            return Text("" if end is None else f"about {duration(max(end - time.monotonic(), 0))} left")

    def text(format_: str) -> TextColumn:
        return TextColumn(format_, markup=False)

    columns = (
        text(verb.replace("{", "{{").replace("}", "}}")),
        BarColumn(),
        text("{task.percentage:3.0f} %"),
    )
    times = (TimeElapsedColumn(), Left(), text("{task.description}"))
    return Bar(*columns, *times, console=Console(stderr=True), transient=True)


@contextmanager
def shown(verb: str, *, quiet: bool = False) -> Iterator[Display]:
    """A display that ends with the block."""
    display = Display(verb, quiet=quiet)
    try:
        yield display
    finally:
        display.close()


@contextmanager
def shown_downloads() -> Iterator[None]:
    """Show every download inside the block, wherever it begins; none where a command prints JSON."""
    with shown("download") as display:

        def update(file: str, done: int, total: int | None) -> None:
            running = click.get_current_context(silent=True)
            if running is None or not running.params.get("as_json"):
                display.update(done, total, file)

        with heard(update):
            yield


@contextmanager
def shown_progress(verb: str, *, quiet: bool = False) -> Iterator[Callable[[Progress], None]]:
    """The same as a callback for `runner.run`."""
    with shown(verb, quiet=quiet) as display:
        began = time.monotonic()
        said = False

        def update(progress: Progress) -> None:
            nonlocal said
            if not said and not _draws():
                todo = counted(progress.shards, "shard")
                display.note(f"{verb}: {todo} to do, {progress.stored:,} stored already.")
            said = True
            display.warn(progress.notes)
            label = _crew(progress, time.monotonic() - began) if progress.doing else progress.label
            display.update(progress.share, 1 if progress.shards else None, label, progress.left)

        yield update


def _crew(progress: Progress, seconds: float) -> str:
    """How many workers there are, how fast they are together, and what the first of them do."""
    workers = len(progress.doing)
    busy = [f"{where}: {what or 'waits'}" for where, what in progress.doing[:NAMED]]
    more = f", and {workers - NAMED} more" if workers > NAMED else ""
    done = f"{progress.done_shards} of {counted(progress.shards, 'shard')}"
    rate = f"{progress.done_shards / max(seconds, 1e-9):.1f}/s"
    return f"{counted(workers, 'worker')}, {done}, {rate}; {'; '.join(busy)}{more}"


@contextmanager
def shown_fits(*, quiet: bool = False) -> Iterator[Callable[[FitProgress], None]]:
    """The same as a callback for the fits of lambda policies."""
    with shown("fitting lambda", quiet=quiet) as display:

        def update(fit: FitProgress) -> None:
            display.warn(fit.notes)
            images = "the evaluated images, with their labels" if fit.lam.upper_bound else "training images"
            label = f"{fit.lam.text} for {fit.model.name} on {images}"
            display.update(fit.done, fit.steps, label, idle=fit.idle)

        yield update


def training_events(display: Display, *, begins: bool = True) -> Callable[[Event], None]:
    """A callback for the events of a training run; where it `begins`, it says what is to be done and in how long."""
    total, name = 0.0, ""

    def show(event: Event) -> None:
        nonlocal total, name
        kind = event["event"]
        if kind == "start":
            total, name = event["work"], Path(event["folder"]).name
            if begins:
                display.note(start_text(event))
            display.update(event["work_done"], total, name)
        elif kind == "step":
            display.update(event["work_done"], total, name)
        elif kind == "damaged":
            display.note(f"{event['path']} is damaged; continuing from the state before it")
        elif kind == "epoch":
            parts = [f"epoch {event['epoch']:g}", f"loss {event['loss']:.4f}", f"lr {event['lr']:.4g}"]
            parts += [f"{key} {percent(event[key], 2)}" for key in ("held_out", "test") if key in event]
            display.note("  ".join(parts))

    return show


def start_text(event: Event) -> str:
    """What is about to happen, how long it will take here, and what would be quicker."""
    options = event["recipe"].train
    lines = [
        f"{event['folder']}: recipe {event['recipe'].name}, {counted(options.epochs, 'epoch')} of "
        f"{counted(event['images'], 'image')}, {event['precision']} on {event['device']}"
    ]
    if event["resumed_at_step"]:
        lines.append(f"resumed at step {event['resumed_at_step']} of {event['steps_total']}")
    seconds = event["seconds"]
    if seconds is not None:
        lines.append(f"this will take about {duration(seconds)} on this device")
        if not event["gpu"] and seconds > SLOW and not event["resumed_at_step"]:
            lines.append(quicker_text(seconds, options))
    return "\n".join(lines)


def quicker_text(seconds: float, options: Any) -> str:
    """The quicker recipe of the same kind and its time."""
    from ..training.recipes.recipe import quicker

    name, share = quicker(options)
    models = "the 20-layer models (resnet20, sdnet20) are made for CPUs"
    if share > 0.8:
        return f"without a GPU, fewer epochs (--set train.epochs=N) are quicker; {models}"
    return f"without a GPU, --recipe {name} takes about {duration(seconds * share)}; {models}"
