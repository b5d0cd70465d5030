"""`sdnet-bench quickstart`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..console.options import PATH, device_option, seed_option
from ..console.output import say
from ..console.progress import shown, shown_progress
from ..console.training import Screen
from ..wording import duration

if TYPE_CHECKING:
    from ..training.step.loop import Event

ARCHITECTURES = ("resnet20", "sdnet20")
CORRUPTIONS = "all"
LAMBDAS = "0.1,0.4,0.7"
EPS = "2/255,4/255,8/255,16/255"
REST = 1.3
"""How many times as long as training one model takes all that follows, with 200 images (processor time)."""


@click.command()
@click.option(
    "--output",
    type=PATH,
    default=Path("runs/quickstart"),
    show_default=True,
    metavar="DIR",
    help="Where models, results and the report go.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    default=200,
    show_default=True,
    metavar="N",
    help="Test images used.",
)
@device_option
@seed_option
def quickstart(output: Path, limit: int, device: str, seed: int) -> None:
    """Train two small models on digits, corrupt, attack, sweep lambda and write the report: offline, in minutes.

    A second run goes on where a first one was stopped, and ends at once where nothing is left to do.

    \b
    Examples:
      sdnet-bench quickstart
      sdnet-bench quickstart --output first --limit 100
    """
    models = [_train(arch, output, device, seed, REST * limit / 200) for arch in ARCHITECTURES]

    from ..evaluation import evaluate
    from ..reports import report

    store = f"sqlite:///{output / 'results.db'}"
    shared: dict[str, Any] = {
        "models": models,
        "data": "digits",
        "store": store,
        "limit": limit,
        "device": device,
        "seed": seed,
        "lambdas": LAMBDAS,
    }
    with shown_progress("corrupt") as update:
        evaluate(corruptions=CORRUPTIONS, on_progress=update, **shared)
    with shown_progress("attack pgd") as update:
        evaluate(attacks=[{"name": "pgd", "eps": EPS}], on_progress=update, **shared)
    for kind, name in (("markdown", "report.md"), ("html", "report.html")):
        say(f"report {report(store, kind, output=output / name)}")
    say(f"store  {store}")


def _train(arch: str, output: Path, device: str, seed: int, rest: float) -> str:
    """Train a model where its folder holds none yet, and say how long it is from here to the report."""
    folder = output / f"digits-{arch}"
    if not (folder / "last.safetensors").exists():
        from ..training import train

        with shown(f"train {arch}") as display:
            screen = Screen(display, begins=False)

            def show(event: Event) -> None:
                if event["event"] == "start" and event["seconds"] and not event["resumed_at_step"]:
                    left = ARCHITECTURES[ARCHITECTURES.index(arch) :]
                    whole = duration((len(left) + rest) * event["seconds"])
                    display.note(
                        f"from here to the report about {whole}, on {event['device']} as busy as it is now"
                    )
                screen.show(event)

            result = train(
                "digits",
                arch,
                recipe="quickstart",
                overrides={"train.seed": seed},
                output=folder,
                resume=folder.exists(),
                device=device,
                on_event=show,
            )
        say(f"train {arch}: accuracy {result.accuracy:.1%} after {result.seconds:.0f} s", err=True)
    return str(folder)
