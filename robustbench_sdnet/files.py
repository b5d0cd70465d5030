"""Files that are there whole or not at all: the one place that writes them, locks them and takes their checksums."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import secrets
import stat
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from .errors import WaitWarning, WriteError, level_of_the_caller

if sys.platform != "win32":
    import fcntl

LOCK = ".lock"  # in a folder that one process holds
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_DESCRIPTOR = re.compile(r"/(?:dev|proc/self)/(?:(stdout)|(stderr)|fd/(\d+))")


def cannot_write(
    path: Path | str, error: OSError, *, again: str = "run the same command again"
) -> WriteError:
    """The one error of a file or folder that cannot be written: where, why, and what to do about it.

    `again` is what to do once there is space on the disk.
    """
    if error.errno in _FULL:
        remedy = f"Free some space and {again}."
    elif error.errno == errno.EEXIST:  # where a folder should be
        remedy = "It is a file: name a folder."
    elif error.errno in _REFUSED:
        remedy = "Choose a place that you may write to."
    else:
        remedy = "Choose another place."
    return WriteError(f"Cannot write {path} ({error.strerror or error}). {remedy}", Path(path))


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; WriteError where that cannot be."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise cannot_write(folder, error) from error


@contextlib.contextmanager
def whole(path: Path | str, *, keep: Path | None = None) -> Iterator[BinaryIO]:
    """A stream whose bytes appear under `path` together, on disk, when the block ends well, and else not at all.

    They lie under another name in the same folder until then. What killed processes left of the same file is removed.
    A device, a pipe or an open descriptor (/dev/stdout) is written to and never replaced. The folder is made; a file
    that is replaced keeps its permissions.

    Args:
        path: the file; a link's target is replaced, not the link.
        keep: where the file that is replaced goes; without it, it goes away.

    Raises:
        WriteError: the system refuses, in the block too.
    """
    path = Path(path)
    try:
        if (direct := _open_device(path)) is not None:
            with direct:
                yield direct
            return
        target = Path(os.path.realpath(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        _sweep(target)
        partial, stream = _open_partial(target)
        try:
            with stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                if keep is not None and target.exists():
                    os.replace(target, keep)
                os.replace(partial, target)
        except BaseException:  # an interrupt leaves no part of a file either
            partial.unlink(missing_ok=True)
            raise
        _sync_folder(target.parent)
    except OSError as error:
        if error.errno is None:  # not the system's: what the block reads is damaged
            raise
        raise cannot_write(path, error) from error


def write_whole(path: Path | str, content: bytes | str, *, keep: Path | None = None) -> Path:
    """Write a file whole or not at all, text as UTF-8, see `whole`; the path comes back."""
    with whole(path, keep=keep) as stream:
        stream.write(content.encode() if isinstance(content, str) else content)
    return Path(path)


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    return checksum_of(path, "sha256")


def checksum_of(path: Path, algorithm: str) -> str:
    """The checksum of a file's bytes, in hex; `algorithm` is one of hashlib ("sha256", "md5")."""
    hasher = hashlib.new(algorithm, usedforsecurity=False)
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            hasher.update(block)
    return hasher.hexdigest()


@contextlib.contextmanager
def locked(path: Path, *, wait: str = "") -> Iterator[bool]:
    """Hold the lock of a file, which is made where it is missing and ends with the process however that ends.

    Args:
        path: the file; who holds it may move or remove it.
        wait: what to say, as a warning, while another process that holds it is waited for; empty for no waiting.

    Yields:
        Whether it is held: False where another process has it and is not waited for.

    Raises:
        WriteError: the file cannot be made.
    """
    make_folder(path.parent)
    while True:
        try:
            stream = path.open("ab")
        except OSError as error:
            raise cannot_write(path, error) from error
        with stream:
            held = _lock(stream, wait=False) is not False
            if wait and not held:
                warnings.warn(wait, WaitWarning, stacklevel=level_of_the_caller())
                held = _lock(stream, wait=True) is not False
            # Whoever held it may have moved or removed the file meanwhile: the lock of that one says nothing.
            if _is_at(path, stream):
                yield held
                return


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Hold a folder, made where it is missing, against other processes that write to it; WriteError if one has it."""
    lock, made = folder / LOCK, not folder.exists()
    with locked(lock) as held:
        if not held:
            raise WriteError(
                f"Another process is writing to {folder}. Wait until it ends, or choose another folder."
            )
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)
            if made:
                with contextlib.suppress(OSError):
                    folder.rmdir()  # nothing came of it


@contextlib.contextmanager
def one_process(target: Path, doing: str) -> Iterator[None]:
    """Hold a file that one process makes and others read then: they wait, and say what it is `doing` ("fetching")."""
    lock = target.with_name(f".{target.name}.lock")
    with locked(lock, wait=f"Another process is {doing} {target}. Waiting for it."):
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _is_at(path: Path, stream: BinaryIO) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(stream.fileno()))
    except FileNotFoundError:
        return False


def _lock(stream: BinaryIO, *, wait: bool) -> bool | None:
    """Whether the lock is ours now; None where the file system knows no locks."""
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(stream, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EACCES) else None
    return True


def _open_device(path: Path) -> BinaryIO | None:
    """What is written to where it is: an open descriptor, or whatever exists and is neither file nor folder."""
    if match := _DESCRIPTOR.fullmatch(str(path)):
        number = 1 if match[1] else 2 if match[2] else int(match[3])
        return os.fdopen(os.dup(number), "wb")
    with contextlib.suppress(FileNotFoundError):
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            return path.open("wb")
    return None


def _open_partial(target: Path) -> tuple[Path, BinaryIO]:
    """A new file beside `target`, locked so that `_sweep` of another process leaves it alone."""
    mode = stat.S_IMODE(target.stat().st_mode) if target.exists() else None
    while True:
        partial = target.with_name(f"{_prefix(target)}{secrets.token_hex(6)}.part")
        # Readable too, because NumPy writes past Python, and loses the reason of a failure, where a stream only writes.
        stream = os.fdopen(os.open(partial, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666), "w+b")
        _lock(stream, wait=True)
        if os.fstat(stream.fileno()).st_nlink:  # not swept between its making and its lock
            if mode is not None and sys.platform != "win32":
                with contextlib.suppress(OSError):
                    os.fchmod(stream.fileno(), mode)
            return partial, stream
        stream.close()


def _prefix(target: Path) -> str:
    return f".{target.name[:80]}."


def _sweep(target: Path) -> None:
    """Remove what processes that were killed left of a file."""
    prefix = _prefix(target)
    for name in os.listdir(target.parent):
        if name.startswith(prefix) and re.fullmatch(r"[0-9a-f]{12}\.part", name.removeprefix(prefix)):
            leftover = target.with_name(name)
            with contextlib.suppress(OSError), leftover.open("rb") as stream:
                if _lock(stream, wait=False):
                    leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have the new name on disk as well; some file systems know no such thing."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
