"""Ctrl-C, SIGTERM and SIGHUP: what ends work at once, and what asks training to stop after the current step."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def handled(handler: Callable[[int, Any], None] | signal.Handlers) -> Iterator[None]:
    """Have (number, frame) of the signals handled; what is ignored, as under nohup, stays ignored.

    Outside the main thread, which alone may, nothing is caught.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    caught = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, handler) for number in caught}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@contextmanager
def as_ctrl_c(came: list[str]) -> Iterator[None]:
    """Have SIGTERM and SIGHUP end the work as Ctrl-C does, by KeyboardInterrupt in the main thread.

    `came` takes the name of the one that came, since a library it passes through may raise an exception of its own.
    """

    def stop(number: int, frame: Any) -> None:
        if number != signal.SIGINT:
            came.append(signal.Signals(number).name)
        raise KeyboardInterrupt

    with handled(stop):
        yield


@contextmanager
def stop_requests(heed: bool) -> Iterator[Callable[[], str | None]]:
    """Note the signals that come, for work that stops where it suits it.

    Args:
        heed: False ignores them, as all but the first of several processes do: the first one stops when it has
            saved, needs the others for the step it is in, and its leaving ends them.

    Yields:
        A function that names the signal that came, or None. A second one raises KeyboardInterrupt at once.
    """
    came: list[str] = []

    def note(number: int, frame: Any) -> None:
        if not heed:
            return
        if came:
            raise KeyboardInterrupt
        came.append(signal.Signals(number).name)

    with handled(note):
        yield lambda: came[0] if came else None
