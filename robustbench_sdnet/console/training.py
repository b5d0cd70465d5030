"""A training run on the terminal: what it will do and how long that takes, a line an epoch, and the progress."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..wording import counted, duration
from .progress import Display

if TYPE_CHECKING:
    from ..training.step.loop import Event

SLOW = 1800.0  # seconds; beyond, a quicker recipe is named


class Screen:
    """Shows the events of a run in a display; at the start, where it `begins`, what is to be done and in how long."""

    def __init__(self, display: Display, *, begins: bool = True) -> None:
        self._display, self._begins = display, begins
        self._total, self._name = 0, ""

    def show(self, event: Event) -> None:
        """Show an event."""
        kind = event["event"]
        if kind == "start":
            self._total, self._name = event["steps_total"], Path(event["folder"]).name
            if self._begins:
                self._display.note(start_text(event))
            self._display.update(event["resumed_at_step"], self._total, self._name)
        elif kind == "step":
            self._display.update(event["step"], self._total, self._name)
        elif kind == "damaged":
            self._display.note(f"{event['path']} is damaged; going on from the state before it")
        elif kind == "epoch":
            self._display.note(epoch_text(event))


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
        if not event["gpu"] and seconds > SLOW:
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


def epoch_text(event: Event) -> str:
    """One line an epoch."""
    parts = [f"epoch {event['epoch']:g}", f"loss {event['loss']:.4f}", f"lr {event['lr']:.4g}"]
    parts += [f"{key} {event[key]:.2%}" for key in ("held_out", "test") if key in event]
    return "  ".join(parts)
