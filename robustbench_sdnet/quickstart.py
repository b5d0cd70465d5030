"""The whole way, small and offline: two models trained on digits, corrupted, attacked, lambda swept, and the report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .answers.snapshot import Snapshot
from .errors import InputError, TrainingInterrupted
from .evaluation import evaluate
from .reports import pages
from .zoo.files.cards import read_card

if TYPE_CHECKING:
    from .running.runner import Progress
    from .training.step.loop import Event

ARCHITECTURES = ("resnet20", "sdnet20")
LAMBDAS = "0.1,0.4,0.7"
EPS = "4/255,8/255"
REST = 1.7
"""How many times as long as training one model takes all that follows, with 100 images."""

OnEvent = Callable[["Event"], None]


def quickstart(
    output: Path,
    *,
    limit: int,
    device: str,
    seed: int,
    training: Callable[[str], AbstractContextManager[OnEvent]],
    stage: Callable[[str], AbstractContextManager[Callable[[Progress], None]]],
) -> tuple[list[Path], str]:
    """Go on where an earlier call was stopped; nothing is done twice.

    Args:
        output: where models, results and the report go.
        limit: test images.
        training: from an architecture to a context that is told of its training; its "start" says under `to_report` in
            how many seconds the report is there.
        stage: from what is done to a context that takes its progress.

    Returns:
        The files of the report, and the URL of the store.
    """
    store = f"sqlite:///{output / 'results.db'}"
    models = [train_missing(arch, output, limit, device, seed, training) for arch in ARCHITECTURES]
    shared: dict[str, Any] = {"models": models, "data": "digits", "store": store, "lambdas": LAMBDAS}
    shared |= {"limit": limit, "device": device, "seed": seed}
    with stage("corrupt") as update:
        evaluate(corruptions="all", on_progress=update, **shared)
    with stage("attack pgd") as update:
        evaluate(attacks=[{"name": "pgd", "eps": EPS}], on_progress=update, **shared)
    return pages(Snapshot.read(store), output, "report"), store


def train_missing(
    arch: str,
    output: Path,
    limit: int,
    device: str,
    seed: int,
    training: Callable[[str], AbstractContextManager[OnEvent]],
) -> str:
    """The folder of a model, trained where there is none yet; InputError where it was trained otherwise."""
    folder = output / f"digits-{arch}"
    if (checkpoint := folder / "last.safetensors").exists():
        recipe = read_card(checkpoint).recipe
        options = recipe.get("train") if isinstance(recipe, Mapping) else None
        if not isinstance(options, Mapping) or "seed" not in options:
            raise InputError(f"{folder} holds a model that was not trained here. Name another --output.")
        if options["seed"] != seed:
            raise InputError(
                f"{folder} was trained with --seed {options['seed']}, not {seed}. Name another --output."
            )
    else:
        from .training import train
        from .training.run.folders import PLAN

        steps = len(ARCHITECTURES) - ARCHITECTURES.index(arch) + REST * limit / 100
        with training(arch) as told:

            def tell(event: Event) -> None:
                fresh = event["event"] == "start" and event["seconds"] and not event["resumed_at_step"]
                told({**event, "to_report": steps * event["seconds"]} if fresh else event)

            try:
                train(
                    "digits",
                    arch,
                    recipe="quickstart",
                    overrides={"train.seed": seed},
                    output=folder,
                    resume=(folder / PLAN).exists(),
                    device=device,
                    on_event=tell,
                )
            except TrainingInterrupted as error:  # it names options of `train`
                raise KeyboardInterrupt from error
    return str(folder)
