"""Fetch weights by name, URL or path: resumed where it stopped, checked, and kept in a cache."""

from __future__ import annotations

import http.client
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from ...errors import CheckpointError, InputError
from ...files import sha256_of
from ..files.cards import read_card
from .index import INDEX, Entry, cache_folder, cached_path, entry, local_path

BLOCK = 1 << 16
TIMEOUT = 30  # seconds without a byte
TRIES = 3
Progress = Callable[[int, int | None], None]  # (bytes so far, bytes in all where the server says)


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
        place: where the zoo's files are, a URL or a folder; None: where the index says.
        sha256: checksum of the file; None: the index's, for its models.
        index: of the zoo.
        on_progress: called after every block.

    Returns:
        The file: in the cache, or where it was already.

    Raises:
        InputError: nothing of that name, or not reachable.
        CheckpointError: the file is not what the checksum or its header says.
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
    _download(found, target, sha256, on_progress)
    return target


def _is_url(text: str) -> bool:
    return text.startswith(("http://", "https://"))


def _location(item: Entry, place: str | None) -> str:
    if place is None:
        if not _is_url(item.source):
            raise InputError(
                f"'{item.name}' does not ship with the package: {item.source} is in the project's repository. "
                "Give its URL or folder with --from."
            )
        return item.source
    return f"{place.rstrip('/')}/{item.source.rpartition('/')[2]}"


def _copy(path: Path, target: Path, sha256: str | None) -> Path:
    if not path.is_file():
        raise InputError(f"No checkpoint '{path}'.")
    _check(path, sha256, str(path))
    if path.resolve() != target.resolve():
        partial = _partial(target)
        shutil.copyfile(path, partial)
        partial.replace(target)
    return target


def _partial(target: Path) -> Path:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"Cannot write '{target.parent}': {error.strerror}. Set SDNET_BENCH_CACHE."
        ) from None
    return target.with_name(f"{target.name}.part")


def _check(path: Path, sha256: str | None, shown: str) -> None:
    if sha256 is not None and (found := sha256_of(path)) != sha256.lower():
        raise CheckpointError(
            f"'{shown}' is damaged or another file: its SHA-256 is {found}, expected {sha256}."
        )
    read_card(path)


def _download(url: str, target: Path, sha256: str | None, on_progress: Progress) -> None:
    partial = _partial(target)
    for attempt in range(1, TRIES + 1):
        resumed = partial.exists() and partial.stat().st_size > 0
        try:
            _continue(url, partial, on_progress)
            _check(partial, sha256, url)
        except CheckpointError:
            # A part of an older file, continued with the new one, is neither: start again once.
            partial.unlink()
            if not resumed:
                raise
        except urllib.error.HTTPError as error:
            raise InputError(f"Cannot fetch {url}: the server answers {error.code} {error.reason}.") from None
        except (OSError, http.client.HTTPException) as error:
            if attempt == TRIES:
                raise InputError(
                    f"Cannot fetch {url}: {getattr(error, 'reason', None) or error or type(error).__name__}. "
                    "What has come is kept; run the same command again."
                ) from None
        else:
            partial.replace(target)
            return
    raise CheckpointError(f"{url} does not give a file with the expected SHA-256 {sha256}.")


def _continue(url: str, partial: Path, on_progress: Progress) -> None:
    """Append to `partial` what it lacks; a server that cannot resume sends everything again.

    Raises:
        OSError: the connection failed or ended early.
    """
    done = partial.stat().st_size if partial.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={done}-"} if done else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if (
            error.code == 416
        ):  # nothing is left: the part is whole, or belongs to a longer file; the checksum tells
            return
        raise
    with response:
        resumes = response.status == 206 and response.headers.get("Content-Range", "").startswith(
            f"bytes {done}-"
        )
        done = done if resumes else 0
        length = response.headers.get("Content-Length")
        total = done + int(length) if length and length.isdigit() else None
        with partial.open("ab" if resumes else "wb") as stream:
            while block := response.read(BLOCK):
                stream.write(block)
                done += len(block)
                on_progress(done, total)
        if total is not None and done < total:
            raise ConnectionError(f"the connection ended after {done} of {total} bytes")
