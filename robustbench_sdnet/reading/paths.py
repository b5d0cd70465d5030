"""Paths as users write them, and files that are read whole within a bound. Needs no NumPy."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from ..errors import InputError, SdnetBenchError
from ..wording import shown

MEGABYTE = 1 << 20


def named(value: object, what: str, remedy: str) -> str:
    """A name, a URL or a path as text; an InputError with a remedy for anything else, such as a model itself."""
    if isinstance(value, str | os.PathLike):
        return str(value)
    raise InputError(
        f"{what} is given by name or path, got an object of type {type(value).__name__}. {remedy}"
    )


def expanded(text: str | os.PathLike[str]) -> Path:
    """A path with its `~` replaced, in reach or not; InputError for nothing, a dash, no such user, or a NUL."""
    if text == "":
        raise InputError(
            "A name or path is empty, as a shell's variable is that is not set. The working folder is '.'."
        )
    if text == "-":  # which other programs take for the terminal or a pipe
        raise InputError(
            "'-' is not a path here. What belongs on the terminal goes there anyway; for a file of that name, "
            "write './-'."
        )
    try:
        path = Path(named(text, "A file", "Write it as text.")).expanduser()
    except RuntimeError:
        raise InputError(f"No user has the name in the path '{shown(text)}'. Write the folder out.") from None
    if "\0" in str(path):
        raise InputError(f"A path holds no NUL byte, got '{shown(text)}'.")
    return path


def path_of(text: str | os.PathLike[str]) -> Path:
    """The same; an InputError too for a name that is too long, or a folder that may not be entered."""
    path = expanded(text)
    try:
        os.stat(os.path.join(path, "."))  # pathlib drops the dot, which enters a folder
    except PermissionError:
        raise InputError(f"There is no access to '{shown(text)}' (Permission denied).") from None
    except OSError as error:
        if error.strerror and not isinstance(error, FileNotFoundError | NotADirectoryError):
            raise InputError(f"'{shown(text)}' is not a path here ({error.strerror}).") from None
    except ValueError:
        raise InputError(f"'{shown(text)}' is not a path: its name is not text.") from None
    return path


def user_cache() -> Path:
    """Where what can be fetched again is kept, in reach or not: in $XDG_CACHE_HOME, else in ~/.cache."""
    given = os.environ.get("XDG_CACHE_HOME")
    return (path_of(given) if given else expanded("~/.cache")) / "robustbench_sdnet"


def check_file(path: Path, error: type[SdnetBenchError] = InputError) -> int:
    """The size of a file in bytes; `error` for none, one that may not be read, a folder, a device or a pipe."""
    try:
        status = path.stat()
        if stat.S_ISREG(status.st_mode):
            path.open("rb").close()
    except (OSError, ValueError) as failure:
        reason = getattr(failure, "strerror", None) or failure
        raise error(f"Cannot read '{shown(path)}' ({reason}).") from None
    if not stat.S_ISREG(status.st_mode):
        what = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or a pipe"
        raise error(f"'{shown(path)}' is {what}, not a file.")
    return status.st_size


def read_text(path: Path, *, limit: int = MEGABYTE, error: type[SdnetBenchError] = InputError) -> str:
    """The UTF-8 text of a file; `error` for none, one of more than `limit` bytes, or another encoding."""
    size = check_file(path, error)
    if size > limit:
        raise error(f"'{shown(path)}' is {size:,} bytes long; such files have at most {limit:,}.")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as failure:
        raise error(f"'{shown(path)}' is not UTF-8 text (byte {failure.start}).") from None
    except OSError as failure:
        raise error(f"Cannot read '{shown(path)}' ({failure.strerror}).") from None
