"""What the threads of a process change for a while and then put back, such as the mode of a model that they share."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Generic, TypeVar

Thing = TypeVar("Thing", bound=Hashable)
Value = TypeVar("Value")


class Held(Generic[Thing, Value]):
    """Values that the first thread to come notes, and the last to leave puts back."""

    def __init__(self, read: Callable[[Thing], Value], write: Callable[[Thing, Value], object]) -> None:
        self._read, self._write = read, write
        self._noted: dict[Thing, tuple[int, Value]] = {}
        self._lock = RLock()

    @contextmanager
    def hold(self, things: Iterable[Thing]) -> Iterator[None]:
        """Have the values of some things as they were, once nobody holds them any more; change them in the block."""
        mine = list[Thing]()
        try:
            with self._lock:
                for thing in things:
                    holders, before = self._noted.get(thing) or (0, self._read(thing))
                    self._noted[thing] = holders + 1, before
                    mine.append(thing)
            yield
        finally:
            with self._lock:
                for thing in mine:
                    holders, before = self._noted.pop(thing)
                    if holders > 1:
                        self._noted[thing] = holders - 1, before
                    else:
                        self._write(thing, before)
