"""Fetch weights by name, URL or path: resumed where it stopped, checked, and kept in a cache."""

from __future__ import annotations

import shutil
from pathlib import Path

from ...download import Progress, download
from ...errors import CheckpointError, InputError
from ...files import sha256_of, whole
from ..files.cards import read_card
from .index import INDEX, Entry, cache_folder, cached_path, entry, local_path, weights_place

MOST = 16 << 30  # bytes of a checkpoint


def fetch(
    source: str,
    *,
    place: str | None = None,
    sha256: str | None = None,
    index: Path = INDEX,
    on_progress: Progress = lambda done, total: None,
) -> Path:
    """Bring a checkpoint to this machine.

    Args:
        source: a name of the zoo, a URL or a path.
        place: where the zoo's files are, a URL or a folder; None: where the index says, and for what lies in the
            project's repository where $SDNET_BENCH_WEIGHTS says.
        sha256: checksum of the file; None: the index's, for its models.
        index: of the zoo.
        on_progress: called after every block.

    Returns:
        The file: in the cache, or where it was already.

    Raises:
        InputError: nothing of that name, or no address.
        DataError: the server cannot be reached, or has another file than the checksum says.
        CheckpointError: the file is not what the checksum or its header says.
        WriteError: the cache cannot be written; $SDNET_BENCH_CACHE names another.
    """
    if _is_url(source) or Path(source).exists() or source.endswith(".safetensors"):
        target = cache_folder() / source.rpartition("/")[2]
        found = source
    else:
        item = entry(source, index)
        sha256 = sha256 or item.sha256
        here = local_path(item, index)
        if here is not None and sha256_of(here) == sha256:
            return here
        found, target = _location(item, place), cached_path(item)
    if not _is_url(found):
        return _copy(Path(found), target, sha256)
    if target.is_file() and sha256 is not None and sha256_of(target) == sha256:
        return target
    checksum = None if sha256 is None else f"sha256:{sha256}"
    download(found, target, checksum=checksum, most=MOST, check=read_card, on_progress=on_progress)
    return target


def _is_url(text: str) -> bool:
    return "://" in text


def _location(item: Entry, place: str | None) -> str:
    place = place or weights_place(item)
    if place is not None:
        return f"{place.rstrip('/')}/{item.source.rpartition('/')[2]}"
    if not _is_url(item.source):
        raise InputError(
            f"'{item.name}' does not ship with the package: {item.source} is in the project's repository. "
            "Give that folder or its URL with --from, or set SDNET_BENCH_WEIGHTS to it."
        )
    return item.source


def _copy(path: Path, target: Path, sha256: str | None) -> Path:
    if not path.is_file():
        raise InputError(f"No checkpoint '{path}'.")
    if sha256 is not None and (found := sha256_of(path)) != sha256.lower():
        raise CheckpointError(
            f"'{path}' is damaged or another file: its SHA-256 is {found}, expected {sha256}."
        )
    read_card(path)
    if path.resolve() != target.resolve():
        with path.open("rb") as source, whole(target) as copy:
            shutil.copyfileobj(source, copy)
    return target
