"""The exceptions a user can meet, each one clear line: where, rule, value, remedy.

The command line prints the message without a traceback and exits with `exit_code`.
"""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import FrameType

from .wording import LONGEST_NAME, one_line, shown


class SdnetBenchError(Exception):
    """Base of every error that is meant for a user: one line, whatever names it quotes."""

    exit_code = 1

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class InputError(SdnetBenchError, ValueError):
    """What was asked for is wrong: an unknown name, a value outside its range, a file that is not there."""

    exit_code = 2


class DataError(SdnetBenchError):
    """A data set, array or download is damaged, or not what it says it is."""


class CheckpointError(SdnetBenchError):
    """A checkpoint is damaged, unsafe to read, or belongs to another architecture."""


class ModelError(SdnetBenchError):
    """A model raised, or returned something that is not finite logits of the right shape."""


class WriteError(SdnetBenchError):
    """A file cannot be written: the disk is full, the folder may not be written, or is none.

    Attributes:
        path: what cannot be written, where it is one file or folder.
    """

    def __init__(self, message: str, path: Path | None = None) -> None:
        super().__init__(message)
        self.path = path


class EngineError(SdnetBenchError):
    """The workers of a run cannot be started or reached."""


class StoreError(SdnetBenchError):
    """The result store cannot be opened, read or written, or holds nothing to report."""


class TrainingError(SdnetBenchError):
    """Training stopped: the loss is not finite, or a run cannot be resumed."""


class TrainingInterrupted(TrainingError):
    """A signal stopped training; its state is saved, and resuming goes on there."""


class GradientWarning(UserWarning):
    """An attack stood still: the first gradient of too many samples was zero or not finite."""


class RandomWarning(UserWarning):
    """Single answers of a model were counted that answers the same images differently."""


class WaitWarning(UserWarning):
    """Another process is at what is asked for, and is waited for."""


def level_of_the_caller() -> int:
    """How many frames above whoever warns the code lies that called this package: the `stacklevel` of the warning."""
    inside, level = ("robustbench_sdnet.", "torch.", "contextlib"), 1
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and f"{frame.f_globals.get('__name__', '')}.".startswith(inside):
        frame, level = frame.f_back, level + 1
    return level


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: torch has a class for it on GPUs, and on a CPU a RuntimeError of its allocator."""
    return isinstance(error, MemoryError) or any(
        sign in f"{type(error).__name__} {error}" for sign in ("OutOfMemoryError", "DefaultCPUAllocator")
    )


def about(name: str, error: SdnetBenchError) -> str:
    """What an error of a model says, with the model's name in front where it does not name it."""
    text, own = str(error), re.escape(name)  # which may be a word of any message, such as "model"
    is_named = re.search(rf"^(Model )?'?{own}(?!\w)|(?<!\w){own}: ", text)
    return text if is_named else f"{name}: {text}"


def first_line(error: BaseException) -> str:
    """What a library's error says first; the name of its class where it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def unknown(kind: str, name: object, known: Iterable[str]) -> InputError:
    """Say that `name`, as the user wrote it, is no `kind` ("attack"), with the nearest of the known names first."""
    names = sorted(known)
    folded = {known_name.lower(): known_name for known_name in names}
    near = difflib.get_close_matches(str(name)[:LONGEST_NAME].lower(), folded, n=1, cutoff=0.5)
    hint = f" Did you mean '{folded[near[0]]}'?" if near else ""
    return InputError(f"Unknown {kind} '{shown(name)}'.{hint} Known: {', '.join(names)}.")
