"""Arrays from outside: .npy and .npz files whose headers are checked before anything of their size is reserved."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from ..errors import DataError, first_line
from ..wording import shown
from .archives import BROKEN
from .paths import check_file

NUMBERS = "biuf"  # kinds of arrays that are read: truth values, whole and real numbers
_BLOCK = 1 << 24  # bytes read at once
_HEADERS: dict[tuple[int, int], Callable[..., Any]] = {
    (1, 0): npy.read_array_header_1_0,
    (2, 0): npy.read_array_header_2_0,
}


def open_npy(path: Path) -> NDArray[Any]:
    """An .npy file as a memory-mapped array of numbers, of which only what is looked at is read.

    Raises:
        DataError: no such file, another format, objects or texts in it, or another length than its header says.
    """
    size = check_file(path, DataError)
    try:
        with path.open("rb") as stream:
            start = stream.read(4)
            if start[:2] == b"PK":
                raise DataError(f"{path} is an .npz archive with the name of an .npy file.")
            stream.seek(0)
            shape, order, dtype, length = _plain(stream, size)
            if not length:
                return np.empty(shape, dtype)
            return np.memmap(path, dtype=dtype, mode="r", offset=stream.tell(), shape=shape, order=order)
    except BROKEN as failure:
        raise DataError(
            f"{path} is not a readable .npy file of a plain array ({_reason(failure)})."
        ) from failure


def read_npz(path: Path, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Some arrays of an .npz archive, in the byte order of this machine; those that it lacks are left out.

    Raises:
        DataError: no such file, another format, objects or texts in it, members that are encrypted, cut off or larger
            than the memory of this machine.
    """
    with _archive(path) as archive:
        held = set(archive.namelist())
        return {
            name: _member(archive, archive.getinfo(f"{name}.npy")) for name in names if f"{name}.npy" in held
        }


def held_arrays(path: Path) -> tuple[str, ...]:
    """The names of the arrays in an .npz archive, none of them read; see `read_npz`."""
    with _archive(path) as archive:
        return tuple(name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy"))


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        check_file(path)
        with zipfile.ZipFile(path) as archive:
            yield archive
    except BROKEN as failure:
        raise DataError(
            f"{path} is not a readable .npz of plain arrays ({_reason(failure)}). Write it again with numpy.savez."
        ) from failure


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> NDArray[Any]:
    name = info.filename.removesuffix(".npy")
    if info.flag_bits & 1:
        raise ValueError(f"{name} is encrypted")
    with archive.open(info) as stream:
        shape, order, dtype, length = _plain(stream, info.file_size, f"{name}: ")
        if length > _memory():
            raise ValueError(f"{name} takes {length:,} bytes, more than the memory of this machine")
        content = np.empty(length, np.uint8)  # filled in place, for there may be no room for two
        done = 0
        while block := stream.read(min(_BLOCK, length - done)):
            content[done : done + len(block)] = np.frombuffer(block, np.uint8)
            done += len(block)
        if done != length or stream.read(1):
            raise ValueError(f"{name} is cut off")
    found = content.view(dtype).reshape(shape, order=order)
    return found.astype(dtype.newbyteorder("="), copy=False)


def read_header(stream: IO[bytes], what: str = "") -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """Shape, whether columns come first, and dtype; ValueError for a header of another version."""
    version = npy.read_magic(stream)
    if version not in _HEADERS:
        raise ValueError(f"{what}a header of version {version[0]}.{version[1]}")
    header: tuple[tuple[int, ...], bool, np.dtype[Any]] = _HEADERS[version](stream)
    return header


def _plain(stream: IO[bytes], size: int, what: str = "") -> tuple[tuple[int, ...], Any, np.dtype[Any], int]:
    """Shape, order, dtype and the number of bytes that follow the header, of numbers that fill `size` bytes."""
    shape, fortran, dtype = read_header(stream, what)
    if dtype.hasobject:
        raise ValueError("it holds pickled objects")
    if dtype.kind not in NUMBERS or dtype.subdtype:
        raise ValueError(f"{what}values of type {shown(dtype)}, not numbers")
    if any(isinstance(side, bool) or side < 0 for side in shape):
        raise ValueError(f"{what}shape {shown(shape)}")
    length = math.prod(shape) * dtype.itemsize
    if size - stream.tell() != length:
        raise ValueError(f"{what}its header says {length:,} bytes, it holds {size - stream.tell():,}")
    return shape, "F" if fortran else "C", dtype, length


def _memory() -> int:
    """Bytes of memory of this machine; 64 GiB where it does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 64 << 30


def _reason(failure: BaseException) -> str:
    if isinstance(failure, MemoryError):
        return "it does not fit in memory"
    text = first_line(failure).rstrip(".")
    return shown("it holds pickled objects" if "Python objects" in text else text)
