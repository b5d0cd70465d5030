"""Downloads of gigabytes: continued where they broke off, and checked before they are used."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from ..errors import DataError, InputError, unknown
from ..files import sha256_of
from .hashes import read_hashes, stamp, write_hashes

TIMEOUT = 60.0
ATTEMPTS = 5
_BLOCK = 1 << 20
Report = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Archive:
    """A published archive: where it lies, its size in bytes (0: unknown) and its MD5."""

    url: str
    size: int
    md5: str


ARCHIVES: Mapping[str, Archive] = MappingProxyType(
    {
        "cifar10c": Archive(
            "https://zenodo.org/records/2535967/files/CIFAR-10-C.tar",
            2_918_471_680,
            "56bf5dcef84df0e2308c6dcbcbbd8499",
        ),
        "cifar100c": Archive(
            "https://zenodo.org/records/3555552/files/CIFAR-100-C.tar", 0, "11f0ed0f1191edbf9fa23466ae6021d3"
        ),
    }
)


def archive(name: str) -> Archive:
    """The entry of a published set; $SDNET_BENCH_MIRROR replaces the folder of its URL.

    Raises:
        InputError: no such set.
    """
    if name not in ARCHIVES:
        raise unknown("published set", name, ARCHIVES)
    entry, mirror = ARCHIVES[name], os.environ.get("SDNET_BENCH_MIRROR")
    if not mirror:
        return entry
    return Archive(f"{mirror.rstrip('/')}/{PurePosixPath(entry.url).name}", entry.size, entry.md5)


def prepare(entry: Archive, folder: Path, report: Report = lambda done, total: None) -> list[str]:
    """Fetch an archive of .npy files and unpack it into a folder; nothing is done twice.

    Args:
        entry: what to fetch.
        folder: where the arrays go, flat; made where it is missing.
        report: told of bytes there and bytes in all (0: unknown).

    Returns:
        The files, by name.

    Raises:
        InputError: the folder cannot be written.
        DataError: the download fails, or is not the published file.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / PurePosixPath(entry.url).name
        if not target.is_file():
            fetch(entry, target, report)
        names = _unpack(target, folder)
    except OSError as error:
        raise InputError(
            f"Cannot write to {folder} ({error.strerror or error}). Choose another folder."
        ) from error
    target.unlink()
    return names


def fetch(entry: Archive, target: Path, report: Report = lambda done, total: None) -> None:
    """Download to `target`, by way of `<target>.part`, which a later call continues.

    Raises:
        DataError: the server cannot be reached (the part stays), or the whole has the wrong size or MD5 (it goes).
    """
    partial = target.with_name(f"{target.name}.part")
    reason: object = "nothing came"
    for _ in range(ATTEMPTS):
        before = _length(partial)
        try:
            _continue(entry, partial, report)
            break
        except (urllib.error.URLError, HTTPException, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(error, urllib.error.HTTPError) or _length(partial) == before:
                raise DataError(_unreachable(entry, reason, partial)) from error
    else:
        raise DataError(_unreachable(entry, reason, partial))
    found = _md5(partial)
    if found != entry.md5:
        partial.unlink()
        raise DataError(f"{entry.url}: checksum {found} instead of {entry.md5}: a damaged or another file.")
    partial.replace(target)


def _continue(entry: Archive, partial: Path, report: Report) -> None:
    """Ask for what is missing; a server that does not know ranges sends all, and the file starts anew."""
    there = _length(partial)
    if entry.size and there == entry.size:
        return
    if entry.size and there > entry.size:
        partial.unlink()
        there = 0
    if not entry.url.startswith(("http://", "https://")):
        raise DataError(f"A download needs an http or https address, got {entry.url}.")
    headers = {"Range": f"bytes={there}-"} if there else {}
    try:
        response = urllib.request.urlopen(urllib.request.Request(entry.url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the part holds all there is; the checksum decides
            return
        raise
    with response, partial.open("ab" if response.status == 206 else "wb") as file:
        total = file.tell() + int(response.headers.get("Content-Length") or 0)
        while block := response.read(_BLOCK):
            file.write(block)
            report(file.tell(), entry.size or total)
        if file.tell() < total:
            raise ConnectionError(f"the connection closed after {file.tell()} of {total} bytes")


def _length(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


def _unreachable(entry: Archive, reason: object, partial: Path) -> str:
    kept = f" {_length(partial):,} bytes are kept; the same command continues." if _length(partial) else ""
    return f"Could not download {entry.url} ({reason}).{kept} $SDNET_BENCH_MIRROR names another server."


def _md5(file: Path) -> str:
    hasher = hashlib.md5(usedforsecurity=False)
    with file.open("rb") as stream:
        while block := stream.read(_BLOCK):
            hasher.update(block)
    return hasher.hexdigest()


def _unpack(source: Path, folder: Path) -> list[str]:
    """Write the .npy files of an archive, by their last name alone, each whole or not at all; note their hashes."""
    noted, names = read_hashes(folder), []
    try:
        with tarfile.open(source, "r:*") as tar:
            for member in tar:
                name = PurePosixPath(member.name).name
                content = tar.extractfile(member) if member.isfile() else None
                if content is None or not name.endswith(".npy") or name.startswith("."):
                    continue
                target, partial = folder / name, folder / f".{name}.part"
                with partial.open("wb") as file:
                    shutil.copyfileobj(content, file, _BLOCK)
                partial.replace(target)
                noted[target.stem] = {"sha256": sha256_of(target), "stamp": stamp(target)}
                names.append(name)
    except (tarfile.TarError, EOFError) as error:
        raise DataError(f"{source} is damaged ({error}). Delete it and run the command again.") from error
    if not names:
        raise DataError(f"{source} holds no .npy file.")
    write_hashes(folder, noted)
    return names
