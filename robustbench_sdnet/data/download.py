"""Fetching an archive: one file over HTTP, its checksum, and the wanted members out of it."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path, PurePosixPath

from ..errors import DataError, InputError

MIRROR = "SDNET_BENCH_MIRROR"
TIMEOUT = 60.0


def fetch_archive(name: str, url: str, archive: str, md5: str, root: Path, *, members: Sequence[str]) -> None:
    """Fetch `archive`, check it and unpack `members` into `root`.

    $SDNET_BENCH_MIRROR replaces `url` by another base URL; such a mirror may publish its own
    `<archive>.md5`, else the published checksum holds there too. Everything is written beside its place
    and moved there whole, so a broken download leaves nothing that looks complete.

    Raises:
        InputError: `root` cannot be written.
        DataError: the download fails, or is not the published file.
    """
    mirror = os.environ.get(MIRROR)
    base = (mirror or url).rstrip("/") + "/"
    try:
        root.mkdir(parents=True, exist_ok=True)
        partial = root / f".{archive}.{os.getpid()}.part"
        try:
            _download(base + archive, partial)
            expected = (mirror and _mirror_md5(base + archive + ".md5")) or md5
            if (found := _md5(partial)) != expected:
                raise DataError(
                    f"{base}{archive}: checksum {found} instead of {expected}: a damaged or other file."
                )
            _unpack(partial, root, members)
        finally:
            partial.unlink(missing_ok=True)
    except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise DataError(
            f"Could not download {name} from {base} ({reason}). Use npz:PATH, put the folder into {root}, "
            f"or name a mirror in ${MIRROR}."
        ) from error
    except OSError as error:
        raise InputError(f"Cannot write to the data folder {root} ({error.strerror or error}).") from error


def _download(url: str, target: Path) -> None:
    if not url.startswith(("http://", "https://")):
        raise DataError(f"A download needs an http or https address, got {url}.")
    with urllib.request.urlopen(url, timeout=TIMEOUT) as response, target.open("wb") as file:
        shutil.copyfileobj(response, file, 1 << 20)


def _mirror_md5(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT) as response:
            return str(response.read(32).decode("ascii", "replace")).lower()
    except urllib.error.HTTPError:
        return None


def _md5(path: Path) -> str:
    hasher = hashlib.md5(usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            hasher.update(chunk)
    return hasher.hexdigest()


def _unpack(archive: Path, root: Path, members: Sequence[str]) -> None:
    """Write the wanted files, and nothing else that the archive may hold."""
    try:
        with tarfile.open(archive, "r:*") as tar:
            for member in members:
                content = tar.extractfile(str(PurePosixPath(member)))
                if content is None:
                    raise DataError(f"{archive.name}: '{member}' is no file.")
                target = root / member
                target.parent.mkdir(parents=True, exist_ok=True)
                partial = target.with_name(f".{target.name}.{os.getpid()}.part")
                with partial.open("wb") as file:
                    shutil.copyfileobj(content, file, 1 << 20)
                partial.replace(target)
    except (tarfile.TarError, EOFError, KeyError) as error:
        raise DataError(f"{archive.name} is damaged or lacks a batch file ({error}).") from error
