"""What models are at hand and what a source, which `load_model` takes, means; torch is imported where one is loaded."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from ..devices import pick_device
from ..errors import InputError, SdnetBenchError, unknown
from ..reading.paths import named, path_of
from ..wording import natural, shown
from .files.cards import ModelCard, read_card
from .files.weights import load_checkpoint
from .others.external import check_external, describe_external, load_external
from .others.sources import INSTALL, LOADERS, pickled
from .shelf.index import INDEX, check_sha256, entries, entry, fetch, local_path, weights_place

if TYPE_CHECKING:
    import torch
    from torch import nn

EXTERNAL_KINDS = frozenset(LOADERS)
_CALLABLE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_EXPORTED = (".pt", ".pt2", ".pts", ".ts")
_ZOO_NAME = re.compile(r"[a-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
LAST = "last.safetensors"
_PICKLED = (".pth", ".tar", ".pkl", ".ckpt", ".bin")


def source_text(source: object) -> str:
    """What `load_model` takes as text, with the newest run for a run's name without its time; an InputError for a model
    itself."""
    remedy = (
        "Name a function that returns it, package.module:function, or the file that save_model made of it."
    )
    text = named(source, "A model", remedy)
    path, runs = path_of(text.partition("?")[0]), []
    with_time = re.compile(re.escape(path.name) + r"-\d{8}-\d{6}(_\d+)?")
    with suppress(OSError):  # no such folder, or one that cannot be read: then it is no run
        if not path.exists():
            folders = path.parent.iterdir()
            runs = [run for run in folders if with_time.fullmatch(run.name) and (run / LAST).is_file()]
    return str(max(runs, key=lambda run: natural(run.name))) if runs else text


def kind_of(source: str) -> str:
    """What a source is: run, checkpoint, exported, zoo, callable, torchvision, timm, robustbench or hub.

    An InputError names the nearest model of the zoo.
    """
    name = source.partition("?")[0]
    prefix, colon, model = name.partition(":")
    if colon and prefix in INSTALL:
        if not model:
            raise InputError(f"'{source}' names no model. Write {prefix}:NAME.")
        return prefix
    path = path_of(name)
    _refuse_python_file(name, source)
    if path.is_dir():
        return "run"
    if path.suffix in _PICKLED:
        raise InputError(pickled(name) if path.exists() else f"No model file '{name}'.")
    if path.suffix in _EXPORTED:
        return "exported"
    if path.suffix == ".safetensors" or path.is_file():
        return "checkpoint"
    if _CALLABLE.fullmatch(name):
        return "callable"
    known = [item.name for item in entries()]
    if name in known:
        return "zoo"
    known += ["package.module:function", *(f"{kind}:NAME" for kind in INSTALL)]
    with suppress(OSError):  # no such folder, or one that cannot be read
        known += [str(run) for run in path.parent.iterdir() if (run / LAST).is_file()]
    raise unknown("model", source, known)


def _refuse_python_file(name: str, source: str) -> None:
    """An InputError for "folder/file.py" and "folder/file.py:function", with what to write in its place."""
    file, suffix, function = name.rpartition(".py")
    if not suffix or function[:1] not in ("", ":"):
        return
    folder, module = path_of(file).parent, path_of(file).name
    environment = "" if str(folder) == "." else f" with PYTHONPATH={shlex.quote(str(folder))}"
    raise InputError(
        f"Model '{source}': a function is named by its module. "
        f"Write {module}:{function[1:] or 'function'}{environment}."
    )


def check_source(source: str | Path) -> None:
    """Refuse a source that cannot be meant with an InputError, or a CheckpointError; nothing is loaded."""
    source = source_text(source)
    kind = kind_of(source)
    if kind in EXTERNAL_KINDS:
        check_external(kind, source)
    else:
        describe_model(source)


def load_model(source: str | Path, device: str | torch.device = "cpu") -> nn.Module:
    """Load a model in evaluation mode, its weights frozen.

    Args:
        source: a run's folder (without its time, the newest of that name) or checkpoint, a name of the zoo
            ("cifar10/sdnet20"),
            "package.module:function", "torchvision:NAME", "timm:NAME", "robustbench:NAME", "hub:ID", a
            TorchScript or exported file (.pt, .pt2). Models of others may end in "?mean=...&std=...".
        device: where to put it: "cpu", "cuda", "cuda:1", "mps", or "auto" for the first GPU, where there is one.

    Raises:
        InputError: nothing has that name (the message suggests the nearest), or there is no such device.
        CheckpointError: the file is damaged or belongs to another architecture.
        ModelError: the code of an external model failed.
    """
    name = source_text(source)
    kind = kind_of(name)
    model = load_external(kind, name) if kind in EXTERNAL_KINDS else load_checkpoint(_file(kind, name))
    return model.to(pick_device(str(device)))


def describe_model(source: str | Path, size: Sequence[int] = (32, 32)) -> ModelCard:
    """The card of whatever `load_model` would load.

    External models are known only once they are loaded and called, so this does both, with torch.

    Args:
        source: what `load_model` takes.
        size: height and width of the images that an external model is to be called on.

    Raises:
        InputError: nothing of that name, or not on this machine.
        CheckpointError: a damaged checkpoint.
    """
    source = source_text(source)
    kind = kind_of(source)
    if kind in EXTERNAL_KINDS:
        return describe_external(kind, source, size)
    card, path = read_card(_file(kind, source)), Path(source)
    if kind == "checkpoint":
        return card if path.stem in ("best", "last") else replace(card, name=path.stem)
    return replace(card, name=path.resolve().name if kind == "run" else source, source=source)


def trained_on(source: str | Path) -> str:
    """The data set that a model says it was trained on; empty for an external one, which is not loaded to be asked.

    Raises:
        InputError, CheckpointError: as `describe_model`.
    """
    source = source_text(source)
    return "" if kind_of(source) in EXTERNAL_KINDS else describe_model(source).data


def run_checkpoint(folder: Path) -> Path:
    """The checkpoint of a run, its last epoch's, whose accuracy is reported; InputError where the folder holds none."""
    for name in (LAST, "best.safetensors"):
        if (folder / name).is_file():
            return folder / name
    raise InputError(f"'{folder}' holds no checkpoint (last.safetensors). Is it the folder of a run?")


def zoo_checkpoint(name: str, index: Path = INDEX) -> Path:
    """The file of a model of the zoo; fetched into the cache if $SDNET_BENCH_WEIGHTS says from where.

    Raises:
        InputError: an unknown name, or a model that was not fetched yet.
        CheckpointError, DataError: what lies there is another file than the index says, or cannot be had.
    """
    item = entry(name, index)
    path = local_path(item, index)
    if path is None and weights_place(item) is not None:
        return fetch(name, index=index)
    if path is None:
        missing = f"'{name}' is not on this machine yet. Run: sdnet-bench zoo fetch {name}"
        if "://" not in item.source:
            missing += f" --from URL|DIR, where {item.source.rpartition('/')[2]} lies (a checkout's weights/)"
        raise InputError(missing)
    check_sha256(path, item.sha256)
    return path


def own_checkpoint(source: str) -> Path:
    """The file behind a run, a checkpoint or a name of the zoo; InputError for nothing, or a model of other people."""
    source = source_text(source)
    kind = kind_of(source)
    if kind in EXTERNAL_KINDS:
        raise InputError(
            f"'{source}' is not a model built here. Name a run, a checkpoint or a model of the zoo."
        )
    path = _file(kind, source)
    if not path.is_file():
        raise InputError(f"No checkpoint '{source}'.")
    return path


def _file(kind: str, source: str) -> Path:
    """The file of a run, a checkpoint or a name of the zoo; InputError for none."""
    if kind == "run":
        return run_checkpoint(path_of(source))
    return zoo_checkpoint(source) if kind == "zoo" else path_of(source)


def check_zoo_name(name: str) -> str:
    """The data set in a name of the zoo, "data/model"; InputError for a malformed one."""
    if not _ZOO_NAME.fullmatch(name):
        raise InputError(f"A zoo name has the form data/model, such as cifar10/sdnet20, got '{name}'.")
    return name.partition("/")[0]


def find_models(data: str, *, train_hash: str | None = None, runs: str | Path = "runs") -> list[ModelCard]:
    """Every available model that was trained on a data set: runs first, newest first, then the zoo.

    Args:
        data: name of the data set, as cards hold it.
        train_hash: content hash of its training split; a model trained on the same images counts, whatever
            they were called.
        runs: the folder of runs.
    """
    cards = _run_cards(path_of(runs))
    for item in entries():
        if (path := local_path(item)) is not None:
            cards.append(replace(read_card(path), name=item.name, source=item.name))
    return [card for card in cards if card.data == data or (train_hash and card.data_hash == train_hash)]


def newest_run(runs: str | Path = "runs") -> ModelCard | None:
    """The card of the run that was written last, or None."""
    return next(iter(_run_cards(path_of(runs))), None)


def _run_cards(folder: Path) -> list[ModelCard]:
    """Cards of the readable runs, the newest first; one that is damaged or not yet saved is not at hand."""
    written = []
    try:
        runs = [*folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        raise InputError(f"Cannot read the folder '{shown(folder)}' of runs ({error.strerror}).") from None
    for run in runs:
        try:
            path = run_checkpoint(run)
            card = replace(read_card(path), name=run.name, source=str(run))
            written.append((path.stat().st_mtime_ns, run.name, card))
        except (SdnetBenchError, OSError):
            continue
    return [card for _, _, card in sorted(written, key=lambda run: run[:2], reverse=True)]
