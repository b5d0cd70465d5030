"""The published archives: where they lie, how they are known, and the wanted members out of them."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from ..download import download, fetch_text
from ..errors import DataError, InputError, SdnetBenchError, unknown
from ..files import checksum_of, one_process, whole, write_whole
from ..specs import SEVERITIES
from .hashes import note_hashes
from .pictures import is_hidden, is_picture
from .published_folder import JOURNAL

MIRROR = "SDNET_BENCH_MIRROR"
_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True)
class Archive:
    """A published archive.

    Attributes:
        url: where it lies.
        md5: what it is known by; None where nothing is published, so that only its bytes' order in transit is checked.
        size: in bytes, where it is known.
        holds: CIFAR's clean "batches", "arrays" of corrupted images, or "pictures" of them, which lie in
            <corruption>/<severity>/<class>/<picture>.
    """

    url: str
    md5: str | None
    size: int | None = None
    holds: str = "arrays"

    @property
    def file(self) -> str:
        """Its name."""
        return PurePosixPath(self.url).name

    @property
    def pictures(self) -> bool:
        """Whether it holds pictures."""
        return self.holds == "pictures"


def _archives() -> dict[str, tuple[Archive, ...]]:
    """Data set -> its archives, as `archives.txt` lists them; one may serve several sets."""
    archives: dict[str, tuple[Archive, ...]] = {}
    for line in Path(__file__).with_name("archives.txt").read_text(encoding="ascii").splitlines():
        if line and not line.startswith("#"):
            names, holds, md5, size, url = line.split()
            entry = Archive(
                url, md5=None if md5 == "-" else md5, size=None if size == "-" else int(size), holds=holds
            )
            for name in names.split(","):
                archives[name] = (*archives.get(name, ()), entry)
    return archives


ARCHIVES: Mapping[str, tuple[Archive, ...]] = MappingProxyType(_archives())


def archives_of(name: str) -> tuple[Archive, ...]:
    """The entries of a published corrupted set; an InputError names the nearest."""
    corrupted = [each for each, entries in ARCHIVES.items() if entries[0].holds != "batches"]
    if name not in corrupted:
        raise unknown("published set", name, corrupted)
    return ARCHIVES[name]


def fetch(entry: Archive, target: Path) -> None:
    """Download an archive, going on where an earlier call broke off.

    $SDNET_BENCH_MIRROR replaces the folder of its address; such a mirror may publish its own `<archive>.md5`, else the
    published checksum and size hold there too.

    Raises:
        DataError: the download fails, or is not the published file.
        WriteError: the disk refuses.
    """
    url, md5, size = entry.url, entry.md5, entry.size
    if mirror := os.environ.get(MIRROR):
        url = f"{mirror.rstrip('/')}/{entry.file}"
        # Beside the checksum stands a name, on either side; a page that says there is none holds none.
        if mirrored := re.search(r"\b[0-9a-fA-F]{32}\b", fetch_text(f"{url}.md5") or ""):
            md5, size = mirrored[0].lower(), None
    try:
        checksum = None if md5 is None else f"md5:{md5}"
        download(url, target, checksum=checksum, size=size)
    except DataError as error:
        raise DataError(f"{error} ${MIRROR} names another server.") from error


def prepare(entry: Archive, folder: Path) -> list[str]:
    """Fetch an archive and unpack its .npy files into a folder by their last names, or its pictures by their last four.

    Nothing is done twice: a hidden file notes what an archive held. The folder is made where it is missing.

    Returns:
        The files, by name; of pictures the corruptions.

    Raises:
        InputError: the folder holds the arrays of another archive, or generated ones, whose names are the same.
        DataError: the download fails, or is not the published file.
        WriteError: the folder cannot be written.
    """
    target, note = folder / entry.file, folder / f".{entry.file}.unpacked"
    notes = {*folder.glob(".*.unpacked"), *folder.glob(JOURNAL)} - {note}
    if notes and not entry.pictures:
        raise InputError(f"{folder} holds files of another set ({min(notes).name}). Choose another folder.")
    if not (names := _unpacked(note)):
        with one_process(target, "fetching"):
            names = _unpacked(note) or _bring(entry, target, note)
    target.unlink(missing_ok=True)
    return names


def _unpacked(note: Path) -> list[str]:
    """What a note says was unpacked beside it; nothing where any of it is not there."""
    names = note.read_text(encoding="utf-8").splitlines() if note.is_file() else []
    return names if all((note.parent / name).exists() for name in names) else []


def _bring(entry: Archive, target: Path, note: Path) -> list[str]:
    """Fetch an archive unless it lies there, unpack it beside itself and note what it held."""
    folder = target.parent
    if not target.is_file() or (entry.md5 and checksum_of(target, "md5") != entry.md5):
        fetch(entry, target)
    place = _picture_place if entry.pictures else _array_place
    written = unpack(target, lambda member: place(folder, PurePosixPath(member)))
    if not written:
        target.unlink()
        wanted = "<corruption>/<severity>/<class>/<picture>" if entry.pictures else ".npy file"
        raise DataError(f"{target} holds no {wanted}. Run the command again to fetch it.")
    if not entry.pictures:
        note_hashes(folder, {path.stem: path for path in written})
    names = [path.relative_to(folder).parts[0] for path in written]
    if entry.pictures:
        names = sorted(set(names))  # the corruptions
    write_whole(note, "\n".join(names))
    return names


def _array_place(folder: Path, member: PurePosixPath) -> Path | None:
    """Where an array of an archive goes, by its last name; None for anything else."""
    name = member.name
    return folder / name if name.endswith(".npy") and not is_hidden(name) else None


def _picture_place(folder: Path, member: PurePosixPath) -> Path | None:
    """Where a picture of an archive goes, <corruption>/<severity>/<class>/<picture>; None for anything else."""
    parts = member.parts[-4:]
    fits = len(parts) == 4 and parts[1] in map(str, SEVERITIES) and is_picture(parts[3])
    # "/" would lead to the root of the disk, and "..", which counts as hidden, out of the folder.
    return folder.joinpath(*parts) if fits and "/" not in parts and not any(map(is_hidden, parts)) else None


def fetch_members(name: str, root: Path, members: list[str]) -> None:
    """Fetch an archive into `root` and unpack those members there, by their paths; the archive goes.

    Raises:
        DataError: the download fails, or lacks a member.
        WriteError: `root` cannot be written.
    """
    (entry,) = ARCHIVES[name]
    target = root / entry.file
    with one_process(target, "fetching"):
        if all((root / member).is_file() for member in members):
            return  # another process has brought them meanwhile
        try:
            fetch(entry, target)
            written = unpack(target, lambda member: root / member if member in members else None)
        except DataError as error:
            raise DataError(f"{name}: {error} Or use npz:PATH, or put the folder into {root}.") from error
        target.unlink()
    if missing := set(members) - {path.relative_to(root).as_posix() for path in written}:
        raise DataError(f"{name}: {target.name} is damaged or lacks {', '.join(sorted(missing))}.")


class _Member(tarfile.TarInfo):
    """A member whose damaged header, or none, is an error: to tarfile it is the end of the archive."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> _Member:
        """The next member."""
        try:
            member: _Member = super().fromtarfile(tar)
            return member
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the stubs do not list it
            raise  # a block of zeros, which ends an archive
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(str(error)) from error


def unpack(source: Path, place: Callable[[str], Path | None]) -> list[Path]:
    """Write the files of a tar archive that `place` names a place for, each whole or not at all.

    Raises:
        DataError: it is damaged, or two of its files have one place; then it is removed.
        WriteError: the disk refuses.
    """
    written: dict[Path, str] = {}
    try:
        with tarfile.open(source, "r:*", tarinfo=_Member) as tar:
            for member in tar:
                target = place(member.name)
                content = tar.extractfile(member) if member.isfile() and target is not None else None
                if content is None or target is None:
                    continue
                if (other := written.setdefault(target, member.name)) != member.name:
                    raise tarfile.ReadError(f"{other} and {member.name} are both {target.name}")
                with whole(target) as file:
                    shutil.copyfileobj(content, file, _BLOCK)
            while block := tar.fileobj.read(_BLOCK):  # to the end, where gzip has its checksum
                if block.strip(b"\0"):
                    raise tarfile.ReadError("data after its end")
    except SdnetBenchError:
        raise
    except (tarfile.TarError, EOFError, OSError, ValueError, zlib.error, lzma.LZMAError) as error:
        source.unlink(missing_ok=True)
        reason = " ".join(str(error).split())
        raise DataError(f"{source} is damaged ({reason}). Run the command again to fetch it.") from error
    return list(written)
