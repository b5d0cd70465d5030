"""A worker in a process of its own, on whatever machine Ray put it."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
import torch
from torch import nn

from ....files import sha256_of
from ....planning.plan import Task
from ....specs import ModelSpec
from ....version import VERSION
from ....zoo.names import kind_of
from ....zoo.others.external import check_same
from ...exchange import Answer, Failure, Inputs
from ...worker import Worker, loaded

if TYPE_CHECKING:
    from ....data import ImageData

Asked = tuple[Task, Inputs, Collection[str]]


def sources_of(package: Path) -> str:
    """A hash of all in a package that answers may depend on: two checkouts of one version may differ."""
    files = sorted(file for kind in ("py", "txt", "json") for file in package.rglob(f"*.{kind}"))
    named = "".join(f"{file.relative_to(package).as_posix()} {sha256_of(file)}\n" for file in files)
    return hashlib.sha256(named.encode()).hexdigest()[:12]


_SOURCES = sources_of(Path(__file__).parents[3])  # as they are loaded: they may be edited later


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What every worker of a run shares.

    Attributes:
        threads: of a worker on a CPU; float sums, and so the last bits of an answer, depend on it.
        folder, path: where the driver runs and imports from, for models that are Python functions.
    """

    device: str
    batch_size: int
    threads: int
    folder: str
    path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a worker runs, and what it runs.

    Attributes:
        node, node_id: the machine by its address, and by Ray's own name for it.
    """

    node: str
    node_id: str
    pid: int
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Shared:
    """References into the object store that a worker looks up once: models by key, and all policies.

    A randomised model of another person's has a hash of its weights instead.
    """

    models: Mapping[str, Any]
    policies: Any = None


def versions() -> dict[str, str]:
    """What must be equal on every machine, since stored answers name it."""
    return {
        "robustbench_sdnet": f"{VERSION} (sources {_SOURCES})",
        "torch": torch.__version__.partition("+")[0],
        "Python": ".".join(platform.python_version_tuple()[:2]),
    }


class Actor:
    """Keeps models, their folded copies and its device from shard to shard."""

    def __init__(self, data: ImageData, setup: Setup) -> None:
        if Path(setup.folder).is_dir():
            os.chdir(setup.folder)
        sys.path.extend(entry for entry in setup.path if entry not in sys.path)
        torch.set_num_threads(setup.threads)
        self._models: dict[str, Any] = {}
        self._policies: Any = None
        self._worker = Worker(data=data, load=self._load, device=setup.device, batch_size=setup.batch_size)

    def place(self) -> Place:
        """Where this worker is; answered as soon as it can work."""
        node: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]  # Ray states no types here
        return Place(node, ray.get_runtime_context().get_node_id(), os.getpid(), versions())

    def answer(self, asked: Asked, shared: Shared | None) -> list[Answer | Failure]:
        """Every cell of a task, encoded as the driver will store it.

        Args:
            asked: the task, its inputs, and the cells whose perturbed images are asked for; others' stay here. In one
                piece, which Ray sends at once.
            shared: what it may need that this worker was not given before.
        """
        self._take(shared)
        task, inputs, kept = asked
        found = self._worker.answer(task, inputs)
        for index, one in enumerate(found):
            if isinstance(one, Answer):
                one.outcome.encode()
                found[index] = one if one.cell.id in kept else replace(one, images=None)
        return found

    def ask(self, ask: Callable[..., Any], arguments: tuple[Any, ...], shared: Shared | None) -> Any:
        """What a function of the worker returns, see `Job`."""
        self._take(shared)
        return ask(self._worker, *arguments)

    def _take(self, shared: Shared | None) -> None:
        if shared is None:
            return
        self._models.update(shared.models)
        if shared.policies != self._policies:
            self._policies = shared.policies
            self._worker.policies = ray.get(shared.policies)

    def _load(self, spec: ModelSpec) -> nn.Module:
        """A model of ours out of the object store; another person's from its source, checked to be the same."""
        model: nn.Module
        known = self._models.get(spec.key)
        if known is not None and not isinstance(known, str):
            model = ray.get(known)
            return model
        size = self._worker.data.image_shape
        model = loaded(spec, size)
        if known is not None:
            check_same(model, spec, kind_of(spec.source), known, size)
        return model
