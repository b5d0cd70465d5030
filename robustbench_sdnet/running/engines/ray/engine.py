"""The ray engine: a pool of actors that lives from run to run, and what it holds in the object store."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import ray

from ....planning.plan import Task
from ....planning.schedule import Schedule
from ....specs import ModelSpec
from ....zoo.files.weights import weights_hash
from ....zoo.nets.sdnet import Classifier
from ...exchange import Answer, Failure, Inputs
from ...worker import Worker
from .. import Job
from .actor import Setup, Shared
from .cluster import connect, gpus_left, size_of
from .jobs import Jobs
from .pool import Pool, put
from .run import Run

if TYPE_CHECKING:
    from ....planning.setting import Setting


class RayEngine:
    """A pool of actors; a shard is answered once more where its worker was lost."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._pool: Pool | None = None
        self._connected = False
        self._models: dict[str, Any] = {}  # by key: see `Shared`, or None
        self._policies: tuple[dict[str, Any], Any] = ({}, None)  # themselves, and the reference to them
        self._said: list[str] = []

    @property
    def doing(self) -> list[tuple[str, str]]:
        """Every worker, and what it works on."""
        members = self._pool.members if self._pool else []
        return [(f"{m.place.node}:{m.place.pid}", m.queue[0].label if m.queue else "") for m in members]

    @property
    def notes(self) -> list[str]:
        """A line for every node that is not used, and for workers that ended while they started."""
        return [*self._said, *(self._pool.notes if self._pool else ())]

    def run(
        self, tasks: Schedule, worker: Worker, inputs: Callable[[Task], Inputs], kept: Collection[str]
    ) -> Iterator[list[tuple[Task, list[Answer | Failure]]]]:
        """Answer every task; see `Engine`."""
        if len(tasks):
            with self._working(worker) as pool:
                yield from Run(self.shared, pool, tasks, worker, inputs, frozenset(kept)).batches()

    def ask(
        self, jobs: Sequence[Job], worker: Worker, on_wait: Callable[[], None] = lambda: None
    ) -> Iterator[tuple[int, Any]]:
        """Do every job; see `Engine`."""
        if jobs:
            with self._working(worker) as pool:
                yield from Jobs(self.shared, pool, jobs, worker, on_wait).ended()

    def close(self) -> None:
        """End the workers, and the cluster if it was started here."""
        if self._pool is not None:
            self._said += self._pool.notes
            self._pool.close()
            self._pool = None
            self._models, self._policies = {}, ({}, None)
        if self._connected:
            self._connected = False
            ray.shutdown()  # and a cluster that was started here ends

    def shared(self, specs: Collection[ModelSpec], worker: Worker) -> Shared:
        """References to models and to the policies, put into the object store once.

        Raises:
            SdnetBenchError: a model cannot be loaded.
        """
        for spec in specs:
            if spec.key not in self._models:
                model = worker.read(spec)
                ours = isinstance(model, Classifier) or worker.load is not None
                randomised = dict(spec.options).get("randomised")
                self._models[spec.key] = put(model) if ours else weights_hash(model) if randomised else None
        if worker.policies != self._policies[0]:
            held = {key: dict(policies) for key, policies in worker.policies.items()}
            self._policies = (held, put(held))
        found = {spec.key: self._models[spec.key] for spec in specs}
        return Shared({key: ref for key, ref in found.items() if ref is not None}, self._policies[1])

    @contextmanager
    def _working(self, worker: Worker) -> Iterator[Pool]:
        """The pool, started where it is not; workers that nobody waits for any more at the end are given up."""
        if self._pool is None:
            size = size_of(self._setting, worker.device)
            self._connected = connect(self._setting.ray_address, size)
            atexit.register(self.close)
            if self._setting.device == "auto" and not size.gpus and (idle := gpus_left()):
                self._said.append(idle)
            setup = Setup(
                device="cuda" if size.gpus else "cpu",
                batch_size=worker.batch_size,
                threads=size.cpus,
                folder=os.getcwd(),
                path=tuple(entry for entry in sys.path if entry),
            )
            self._pool = Pool(put(worker.data), setup, size)
        pool = self._pool
        try:
            yield pool
        finally:
            pool.dismiss_busy()
