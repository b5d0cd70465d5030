"""The shipped zoo: `index.yaml`, the weights that ship beside it, and the cache of what was fetched."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ...errors import CheckpointError, InputError, unknown
from ...files import write_whole
from ...reading.paths import path_of
from ...reading.structured import read_yaml

INDEX = Path(__file__).parent.with_name("index.yaml")
_REQUIRED = ("name", "arch", "data", "recipe", "accuracy", "sha256", "source")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One model of the zoo.

    Attributes:
        name: "data/model", what `load_model` takes.
        arch: architecture.
        data: training data.
        recipe: name of the training recipe.
        accuracy: clean test accuracy of these weights in [0, 1].
        robust: summary of robust accuracies, such as {"pgd linf 8/255, 20 steps, 1000 images": 0.31}.
        sha256: of the file.
        source: where the file is: a path beside the index or in the repository, or a URL.
        note: one line for readers.
    """

    name: str
    arch: str
    data: str
    recipe: str
    accuracy: float
    sha256: str
    source: str
    robust: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def entries(index: Path = INDEX) -> tuple[Entry, ...]:
    """Every model of the zoo, in the order of the index; InputError for none, CheckpointError for a damaged one."""
    if not index.exists():
        raise InputError(f"No index of models at '{index}'.")
    raw = read_yaml(index, CheckpointError)
    models = raw.get("models") if isinstance(raw, dict) else None
    if not isinstance(models, list):
        raise CheckpointError(f"'{index}' is no index of models: it holds no list under 'models'.")
    found = []
    for position, model in enumerate(models):
        missing = [key for key in _REQUIRED if not isinstance(model, dict) or model.get(key) is None]
        if missing:
            raise CheckpointError(f"'{index}', model {position + 1}: {', '.join(missing)} missing.")
        try:
            found.append(Entry(**model))
        except TypeError as error:
            raise CheckpointError(f"'{index}', model {position + 1}: {error}.") from None
    return tuple(found)


def entry(name: str, index: Path = INDEX) -> Entry:
    """The model of that name; an InputError names the nearest."""
    known = {item.name: item for item in entries(index)}
    if name not in known:
        raise unknown("zoo model", name, known)
    return known[name]


def write_entries(models: list[Entry], index: Path) -> None:
    """Write an index, the models in order of their names."""
    import yaml

    rows: list[dict[str, Any]] = []
    for item in sorted(models, key=lambda item: item.name):
        row = asdict(item) | {"robust": dict(item.robust)}
        rows.append({key: value for key, value in row.items() if value not in ("", {})})
    text = "# The shipped zoo. Written by `sdnet-bench zoo export`; see docs for the meaning of each key.\n"
    text += yaml.safe_dump({"models": rows}, sort_keys=False, allow_unicode=False)
    write_whole(index, text)


def cache_folder() -> Path:
    """Where fetched weights are kept: $SDNET_BENCH_CACHE, else a folder in the user's cache."""
    if chosen := os.environ.get("SDNET_BENCH_CACHE"):
        return path_of(chosen)
    return path_of(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "robustbench_sdnet" / "zoo"


def cached_path(item: Entry) -> Path:
    """Where a fetched model is kept; the hash in the name keeps versions apart."""
    return cache_folder() / f"{item.name.replace('/', '-')}-{item.sha256[:12]}.safetensors"


def weights_place(item: Entry) -> str | None:
    """The folder or URL of weights that lie in the project's repository, if $SDNET_BENCH_WEIGHTS names one."""
    return None if "://" in item.source else os.environ.get("SDNET_BENCH_WEIGHTS") or None


def local_path(item: Entry, index: Path = INDEX) -> Path | None:
    """The file of a model if it is on this machine: beside the index, in the repository, or fetched."""
    candidates = [cached_path(item)]
    if "://" not in item.source:
        # A checkout holds the larger weights in weights/ at its root, two folders above the index.
        candidates = [index.parent / item.source, index.parents[2] / item.source, *candidates]
    return next((path for path in candidates if path.is_file()), None)


def listing(item: Entry) -> dict[str, Any]:
    """An entry as `zoo list --json` prints it, with whether its file is on this machine."""
    return asdict(item) | {"robust": dict(item.robust), "local": local_path(item) is not None}
