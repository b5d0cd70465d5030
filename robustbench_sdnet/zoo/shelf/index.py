"""The shipped zoo: `index.yaml`, the weights that ship beside it, and what is fetched into the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import yaml

from ...download import check_address, download
from ...errors import CheckpointError, InputError, unknown
from ...files import sha256_of, whole, write_whole
from ...reading.paths import check_file, path_of, read_text, user_cache
from ...reading.structured import parse_yaml
from ..files.cards import read_card

INDEX = Path(__file__).parent.with_name("index.yaml")
MOST = 16 << 30  # bytes of a checkpoint
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
        init: the weights that training began with, as its recipe has them; "" where that is not known.
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
    init: str = ""


def entries(index: Path = INDEX) -> tuple[Entry, ...]:
    """Every model of the zoo, in the order of the index; InputError for none, CheckpointError for a damaged one."""
    if not index.exists():
        raise InputError(f"No index of models at '{index}'.")
    return _entries(read_text(index, error=CheckpointError), index)


@lru_cache(maxsize=4)  # a command asks several times, and the text takes a twentieth of a second
def _entries(text: str, index: Path) -> tuple[Entry, ...]:
    raw = parse_yaml(text, f"'{index}'", CheckpointError)
    models = raw.get("models") if isinstance(raw, dict) else None
    if not isinstance(models, list):
        raise CheckpointError(f"'{index}' is not an index of models: it holds no list under 'models'.")
    listed = []
    for position, model in enumerate(models):
        missing = [key for key in _REQUIRED if not isinstance(model, dict) or model.get(key) is None]
        if missing:
            raise CheckpointError(f"'{index}', model {position + 1}: {', '.join(missing)} missing.")
        try:
            listed.append(Entry(**model))
        except TypeError as error:
            raise CheckpointError(f"'{index}', model {position + 1}: {error}.") from None
    return tuple(listed)


def entry(name: str, index: Path = INDEX) -> Entry:
    """The model of that name; an InputError names the nearest."""
    known = {item.name: item for item in entries(index)}
    if name not in known:
        raise unknown("zoo model", name, known)
    return known[name]


def write_entries(models: list[Entry], index: Path) -> None:
    """Write an index, the models in order of their names."""
    rows = [
        {key: value for key, value in asdict(item).items() if value not in ("", {})}
        for item in sorted(models, key=lambda item: item.name)
    ]
    text = "# The shipped zoo. Written by `sdnet-bench zoo export`; `Entry` in zoo/shelf/index.py says its keys.\n"
    text += yaml.safe_dump({"models": rows}, sort_keys=False, allow_unicode=False)
    write_whole(index, text)


def cache_folder() -> Path:
    """Where fetched weights are kept: $SDNET_BENCH_CACHE, else a folder in the user's cache."""
    if chosen := os.environ.get("SDNET_BENCH_CACHE"):
        return path_of(chosen)
    return user_cache() / "zoo"


def cached_path(item: Entry) -> Path:
    """Where a fetched model is kept; the hash in the name keeps versions apart."""
    return cache_folder() / f"{item.name.replace('/', '-')}-{item.sha256[:12]}.safetensors"


def _cached_by_address(source: str) -> Path:
    """Where what is no model of the zoo is kept: under its own name, in a folder that belongs to its address alone."""
    if _is_url(source):
        check_address(source)
        address, name = source, PurePosixPath(urlsplit(source).path).name
    else:
        path = path_of(source).resolve()
        address, name = str(path), path.name
    return cache_folder() / hashlib.sha256(os.fsencode(address)).hexdigest()[:12] / name


def _is_url(text: str) -> bool:
    return "://" in text


def weights_place(item: Entry) -> str | None:
    """The folder or URL of weights that lie in the project's repository, if $SDNET_BENCH_WEIGHTS names one."""
    return None if _is_url(item.source) else os.environ.get("SDNET_BENCH_WEIGHTS") or None


def local_path(item: Entry, index: Path = INDEX) -> Path | None:
    """The file of a model if it is on this machine: fetched, beside the index, or in the repository.

    Where both of the last two are there, the one that the index means: another was left by an older version of it.
    """
    fetched = cached_path(item)
    if os.path.isfile(fetched):  # False where the cache is out of reach
        return fetched  # was what the index says when it came
    # A checkout holds the larger weights in weights/ at its root, two folders above the index.
    places = () if _is_url(item.source) else (index.parent / item.source, index.parents[2] / item.source)
    files = [path for path in places if path.is_file()]
    if len(files) > 1:
        files = [path for path in files if sha256_of(path) == item.sha256.lower()] or files
    return files[0] if files else None


def listing(item: Entry) -> dict[str, Any]:
    """An entry as `zoo list --json` prints it, with whether its file is on this machine."""
    return asdict(item) | {"local": local_path(item) is not None}


def _is_zoo_name(source: str) -> bool:
    return not (_is_url(source) or Path(source).exists() or source.endswith(".safetensors"))


def at_hand(source: str, sha256: str | None = None, index: Path = INDEX) -> Path | None:
    """The file that `fetch` need not bring: that of a name of the zoo, here with its checksum; InputError for another
    name."""
    if not _is_zoo_name(source):
        return None
    item = entry(source, index)
    file = local_path(item, index)
    return file if file is not None and sha256_of(file) == (sha256 or item.sha256).lower() else None


def fetch(
    source: str,
    *,
    place: str | None = None,
    sha256: str | None = None,
    index: Path = INDEX,
) -> Path:
    """Bring a checkpoint to this machine.

    Args:
        source: a name of the zoo, a URL or a path.
        place: where the zoo's files are, a URL or a folder; None: where the index says, and for what lies in the
            project's repository where $SDNET_BENCH_WEIGHTS says.
        sha256: checksum of the file; None: the index's, for its models.
        index: of the zoo.

    Returns:
        The file: in the cache, or where it was already.

    Raises:
        InputError: nothing of that name, no address, or a place for what is no model of the zoo.
        DataError: the server cannot be reached, or has another file than the checksum says.
        CheckpointError: the file is not what the checksum or its header says.
        WriteError: the cache cannot be written; $SDNET_BENCH_CACHE names another.
    """
    sha256 = sha256.lower() if sha256 else None
    if not _is_zoo_name(source):
        if place is not None:
            raise InputError(f"--from is where the zoo's files are, and '{source}' names none. Leave it out.")
        address, target = source, _cached_by_address(source)
    elif (file := at_hand(source, sha256, index)) is not None:
        return file
    else:
        item = entry(source, index)
        sha256 = sha256 or item.sha256.lower()
        address, target = _address(item, place, index), cached_path(item)
    if not _is_url(address):
        return _copy(path_of(address), target, sha256)
    checksum = None if sha256 is None else f"sha256:{sha256}"
    download(address, target, checksum=checksum, most=MOST, check=read_card)
    return target


def _address(item: Entry, place: str | None, index: Path) -> str:
    """The URL or path to fetch a model of the zoo from; an InputError where nothing says it."""
    place = place or weights_place(item)
    if place is not None:
        return f"{place.rstrip('/')}/{item.source.rpartition('/')[2]}"
    if _is_url(item.source):
        return item.source
    if (file := local_path(item, index)) is not None:
        return str(file)
    raise InputError(
        f"'{item.name}' does not ship with the package: {item.source} is in the project's repository. "
        "Give that folder or its URL with --from, or set SDNET_BENCH_WEIGHTS to it."
    )


def check_sha256(path: Path, expected: str) -> None:
    """Raise a CheckpointError unless a file has this SHA-256; InputError for one that may not be read."""
    check_file(path)
    if (actual := sha256_of(path)) != expected.lower():
        raise CheckpointError(
            f"'{path}' is damaged or another file: its SHA-256 is {actual}, expected {expected}."
        )


def _copy(path: Path, target: Path, sha256: str | None) -> Path:
    if not path.is_file():
        raise InputError(f"No checkpoint '{path}'.")
    if sha256 is not None:
        check_sha256(path, sha256)
    read_card(path)
    if path.resolve() != target.resolve():
        with path.open("rb") as source, whole(target) as copy:
            shutil.copyfileobj(source, copy)
    return target
