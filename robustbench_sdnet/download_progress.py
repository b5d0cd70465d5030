"""Who is told how far a download has come: one may begin deep inside other work, where a data set is first read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, int | None], None]
"""(name of the file, bytes so far, bytes in all where they are known), called after every block."""

_listener: ContextVar[Listener] = ContextVar("listener", default=lambda file, done, total: None)


@contextmanager
def heard(listener: Listener) -> Iterator[None]:
    """Have somebody told of every download inside the block."""
    before = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(before)


def tell(file: str, done: int, total: int | None) -> None:
    """Tell who listens, if anybody does."""
    _listener.get()(file, done, total)
