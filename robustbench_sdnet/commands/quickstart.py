"""`sdnet-bench quickstart`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..console.options import count_option, device_option, path_option, seed_option
from ..console.output import say
from ..console.progress import shown, shown_progress, training_events
from ..wording import duration, percent

if TYPE_CHECKING:
    from ..training.step.loop import Event


@contextmanager
def _training(arch: str) -> Iterator[Callable[[Event], None]]:
    """The training of one model: how long it is from its start to the report, how far it has come, and its accuracy."""
    with shown(f"train {arch}") as display:
        tell = training_events(display, begins=False)

        def show(event: Event) -> None:
            if "to_report" in event:
                whole = duration(event["to_report"])
                display.note(
                    f"about {whole} from here to the report, with {event['device']} as busy as it is now"
                )
            tell(event)
            if event["event"] == "done":
                display.note(
                    f"train {arch}: accuracy {percent(event['accuracy'])} after {event['seconds']:.0f} s"
                )

        yield show


@click.command()
@path_option("--output", "Folder for models, results and the report.", default=Path("runs/quickstart"))
@count_option("--limit", "Number of test images.", default=100)
@device_option
@seed_option
def quickstart(output: Path, limit: int, device: str, seed: int) -> None:
    """Train two small models on digits, corrupt, attack, sweep lambda and write the report: offline, in minutes.

    A second run continues where the first one was stopped; if nothing is left, it writes the report again.

    \b
    Examples:
      sdnet-bench quickstart
      sdnet-bench quickstart --output first --limit 200
    """
    from ..quickstart import quickstart as run

    paths, store = run(
        output, limit=limit, device=device, seed=seed, training=_training, stage=shown_progress
    )
    for path in paths:
        say(f"report {path}")
    say(f"store  {store}")
