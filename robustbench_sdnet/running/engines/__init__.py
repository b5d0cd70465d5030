"""Where tasks run, one row an engine: `local` is this process with one device, `ray` many devices and machines."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pkgutil import resolve_name
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Protocol

from ...errors import unknown

# Help and usage errors look for the names of engines here: what costs time is imported for its types alone.
if TYPE_CHECKING:
    from ...planning.plan import Task
    from ...planning.schedule import Schedule
    from ...planning.setting import Setting
    from ...specs import ModelSpec
    from ..exchange import Answer, Failure, Inputs
    from ..worker import Worker


@dataclass(frozen=True, eq=False, kw_only=True)
class Job:
    """Work on models that is no cell of the store, and that any worker may do.

    Attributes:
        label: what it is, as progress and errors say it.
        models: what it asks of the worker.
        ask: a function of a module, called with the worker and the arguments.
        arguments: made in the driver when the job begins; they travel, as does what `ask` returns.
    """

    label: str
    models: Sequence[ModelSpec]
    ask: Callable[..., Any]
    arguments: Callable[[], tuple[Any, ...]]


class Engine(Protocol):
    """Something that answers tasks; it may keep what it started for the next run, until it is closed."""

    @property
    def doing(self) -> Sequence[tuple[str, str]]:
        """Every worker, and what it works on; empty where the driver is the worker."""

    @property
    def notes(self) -> Sequence[str]:
        """A line for whatever the user should know of the workers."""

    def run(
        self, tasks: Schedule, worker: Worker, inputs: Callable[[Task], Inputs], kept: Collection[str]
    ) -> Iterator[list[tuple[Task, list[Answer | Failure]]]]:
        """Answer every task, in an order that puts parents before children; an empty list is a sign of life.

        Args:
            tasks: parents before children; less and less where other processes work on the same plan.
            worker: models, images and device, or what to make the likes of it from.
            inputs: fetches what a task needs of its parents, called when their answers are stored: after what was
                yielded for them has been taken.
            kept: cells whose perturbed images are asked for.
        """

    def ask(
        self, jobs: Sequence[Job], worker: Worker, on_wait: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[int, Any]]:
        """Do jobs, in any order: each one's number, and what its function returned or the error that it ended in.

        That is a `SdnetBenchError`, as of a model that fails; also where the job ended every worker that it was given.
        The others go on. They do not where an engine has no workers or no room, nor where there is a mistake in the
        program: that is raised. `on_wait` is called about every second while none ends on other workers.
        """

    def close(self) -> None:
        """End what was started."""


ENGINES: Mapping[str, str] = MappingProxyType({"local": "local:Local", "ray": "ray.engine:RayEngine"})
"""Name to module and class, which takes the setting; Ray is imported when it is asked for."""


def check_engine(name: str) -> None:
    """Refuse an engine that there is not; an InputError names the nearest."""
    if name not in ENGINES:
        raise unknown("engine", name, ENGINES)


def engine_of(setting: Setting) -> Engine:
    """The engine that a setting names; InputError for an unknown one."""
    check_engine(setting.engine)
    make: Callable[[Setting], Engine] = resolve_name(f"{__name__}.{ENGINES[setting.engine]}")
    return make(setting)
