"""Where and on what a run works: the fields that every question shares, in one place."""

from __future__ import annotations

import importlib.util
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from math import inf, nextafter
from pathlib import Path
from typing import Any, TypedDict

from ..devices import check_device
from ..errors import InputError, unknown
from ..reading.numbers import number, whole
from ..reading.options import several
from ..reading.paths import named, path_of
from ..specs import DEFAULT_STORE, DRAWS, PROTOCOLS, Repeats
from ..wording import shown

PICTURES = Path("runs/pictures")  # where `visualize` writes and `report --with-pictures` looks


class Where(TypedDict, total=False):
    """Keywords of `evaluate`, `sweep`, `study` and `diagnose`; left out, each is what `Setting` says.

    Attributes:
        store: URL of the result store; answers that it already holds are not computed again.
        limit: use the first N images only.
        split: "test" or "train".
        device: "auto", "cpu", "cuda" or "cuda:N".
        batch_size: the largest batch size; None for one that suits the device.
        precision: "auto", "float32" or "bfloat16", for the searches of attacks and for corruptions (where auto means
            float32).
        draws: fresh answers per image for a randomised model; its accuracy is computed from these alone.
        counting: the protocol, or how these answers count: "mean", "majority" or "any" (one wrong answer breaks the
            image).
        data_root: where data sets are kept.
        runs: the folder of training runs.
        repair: drop what is damaged in the store and compute it again; without it a damaged store is refused.
        engine: where the work is done: "local" (this process) or "ray" (workers on one machine or many).
        ray_address: address of a Ray cluster, "auto" or "HOST:PORT"; None for RAY_ADDRESS, else a new local instance.
        workers: number of workers; None for one per GPU, else one per group of `threads_per_worker` cores.
        gpus_per_worker: GPUs per worker; 0.25 puts four workers on one GPU, None gives each a whole one.
        threads_per_worker: threads per worker on a CPU, 1 if None; the last bits of answers depend on it.
    """

    store: str
    limit: int | None
    split: str
    device: str
    batch_size: int | None
    precision: str
    draws: int
    counting: str
    data_root: str | None
    runs: str | Path
    repair: bool
    engine: str
    ray_address: str | None
    workers: int | None
    gpus_per_worker: float | None
    threads_per_worker: int | None


def _option(default: Any, text: str, **more: Any) -> Any:
    """A field that is an option of commands; `console.options` makes it one.

    Args:
        text: its help.
        more: `flag` where it is not --the-name, and what its values may be: choices, low, above, path, metavar.
    """
    return field(default=default, metadata={"help": text, **more})


def setting_of(models: object, data: str | None, where: Where, call: Callable[..., Any]) -> Setting:
    """The setting that keywords of a Python call ask for; an InputError for one that it does not know.

    Args:
        call: what was called, whose keywords may be meant too.
    """
    for name in where:
        if name not in Where.__annotations__:
            raise unknown(
                "option", name, {*Where.__annotations__, *inspect.signature(call).parameters} - {"where"}
            )
    chosen = () if models is None else several(models)  # once, for it may be an iterator
    if models is not None and not chosen:
        raise InputError("models is empty. Name a model, or leave models out for the default ones.")
    return Setting(models=chosen, data=data, **where)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """A run's models and data, and where it works. A field added here becomes an option of every command for cells.

    Attributes:
        models: sources; empty for the runs on the data set, else those of the zoo (on a CPU the 20-layer ones).
        data: a data set's name; None for what the first of `models` was trained on, else that of the newest run.
        calibration_images: number of training images that a lambda policy is fitted on.

    `Where` describes the others.
    """

    models: Sequence[str] = _option(
        (),
        "A run, a checkpoint, a zoo name or package.module:function; repeatable [default: your runs, else the zoo].",
        flag="--model",
        metavar="MODEL",
    )
    data: str | None = _option(
        None,
        "digits, cifar10, cifar100, imagenet, npz:PATH, cifar10c:PATH, ... [default: that of the first model, else of "
        "the newest run].",
        metavar="NAME",
    )
    data_root: str | None = _option(
        None, "Where downloaded data is kept [default: $SDNET_BENCH_DATA, else the cache].", metavar="DIR"
    )
    split: str = _option("test", "Which split of the data set.", choices=("test", "train"))
    limit: int | None = _option(None, "Use the first N images only.", metavar="N", low=1)
    store: str = _option(DEFAULT_STORE, "Where results are kept.", metavar="URL")
    repair: bool = _option(False, "Drop what is damaged in the store, say what it was, and compute it again.")
    runs: str | Path = _option("runs", "Folder of training runs.", metavar="DIR", path=True)  # noqa: RUF009  a field
    device: str = _option("auto", "auto, cpu, cuda, cuda:1, ...", metavar="DEVICE")
    batch_size: int | None = _option(
        None, "Largest batch size [default: depends on the device].", metavar="N", low=1
    )
    precision: str = _option(
        "auto",
        "Precision of the search for perturbations; every success is confirmed in float32.",
        choices=("auto", "float32", "bfloat16"),
    )
    draws: int = _option(
        DRAWS, "Fresh answers per image, for models that draw random numbers.", metavar="K", low=1
    )
    counting: str = _option(
        "mean",
        "How these answers count: their mean, their majority, or wrong if any is (any).",
        flag="--protocol",
        choices=PROTOCOLS,
    )
    engine: str = _option(
        "local", "local: this process, one device; ray: many workers, here or in a cluster.", metavar="NAME"
    )
    ray_address: str | None = _option(
        None,
        "auto, or HOST:PORT of a Ray cluster [default: $RAY_ADDRESS, else a new local Ray instance].",
        metavar="ADDRESS",
    )
    workers: int | None = _option(
        None,
        "Number of workers, with --engine ray [default: one per GPU, else one per core].",
        metavar="N",
        low=1,
    )
    gpus_per_worker: float | None = _option(
        None, "GPUs per worker; 0.25 puts four workers on one [default: 1].", metavar="SHARE", above=0
    )
    threads_per_worker: int | None = _option(
        None, "CPU threads (and cores) per worker [default: 1].", metavar="N", low=1
    )
    calibration_images: int = 200  # seen clean and at half of the 35 published noise levels

    @property
    def repeats(self) -> Repeats:
        """How answers of randomised models are counted."""
        return Repeats(self.draws, self.counting)

    def _settle_names(self) -> None:
        """Names, paths and URLs as text, a folder at home as where it is; what they name itself is refused."""
        from ..data.registry import data_text
        from ..zoo.names import source_text

        texts = {
            "models": tuple(map(source_text, self.models)),
            "data": None if self.data is None else data_text(self.data),
            "store": named(self.store, "A store", "Write sqlite:///FILE."),
            "device": str(self.device),
            "runs": path_of(self.runs),
        }
        for name, text in texts.items():
            object.__setattr__(self, name, text)

    def __post_init__(self) -> None:
        for item in fields(self):
            value, low = getattr(self, item.name), item.metadata.get("low")
            if value is not None and low is not None:
                value = whole(value, f"{item.name} must be a whole number", low)
                object.__setattr__(self, item.name, value)
            if value is not None and (above := item.metadata.get("above")) is not None:
                value = number(value, f"{item.name} must be a number above {above}", nextafter(above, inf))
                object.__setattr__(self, item.name, value)
            if (known := item.metadata.get("choices")) and value not in known:
                raise InputError(f"{item.name} must be one of {', '.join(known)}, got '{shown(value)}'.")
        self._settle_names()
        check_device(self.device)
        self.repeats  # noqa: B018  # refuses what it cannot be
        if self.engine == "ray":
            if importlib.util.find_spec("ray") is None:
                raise InputError("--engine ray needs Ray: pip install 'robustbench-sdnet[ray]'")
            return
        for name in ("ray_address", "workers", "gpus_per_worker", "threads_per_worker"):
            if getattr(self, name) is not None:
                flag = "--" + name.replace("_", "-")
                raise InputError(
                    f"{flag} needs --engine ray: the {self.engine} engine uses this process alone."
                )
