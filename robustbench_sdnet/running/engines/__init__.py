"""Where tasks run, one row an engine: `local` is this process with one device."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from ...errors import unknown
from .local import Local

if TYPE_CHECKING:
    from ...planning.plan import Task
    from ...planning.setting import Setting
    from ..exchange import Answer, Failure, Inputs
    from ..worker import Worker


class Engine(Protocol):
    """Something that answers tasks; it may keep what it started for the next run, until it is closed."""

    def run(
        self, tasks: Sequence[Task], worker: Worker, inputs: Callable[[Task], Inputs]
    ) -> Iterator[tuple[Task, list[Answer | Failure]]]:
        """Answer every task, in an order that puts parents before children.

        Args:
            tasks: parents before children.
            worker: models, images and device, or what to make the likes of it from.
            inputs: fetches what a task needs of its parents, called when their answers are stored: after what was
                yielded for them has been taken.
        """

    def close(self) -> None:
        """End what was started."""


ENGINES: Mapping[str, Callable[[Setting], Engine]] = MappingProxyType({"local": lambda setting: Local()})


def engine_of(setting: Setting) -> Engine:
    """The engine that a setting names.

    Raises:
        InputError: there is none of that name.
    """
    if setting.engine not in ENGINES:
        raise unknown("engine", setting.engine, ENGINES)
    return ENGINES[setting.engine](setting)
