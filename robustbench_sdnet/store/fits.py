"""Fitted lambda policies beside the store: a text that is read back with its checksum, and a picture for people."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from ..errors import StoreError
from ..files import one_process, write_whole


class Fits:
    """A folder of fits by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> str | None:
        """The text kept under that name, None for none or a damaged one; StoreError where it cannot be read."""
        path = self.folder / f"{name}.json"
        digest = path.with_suffix(".sha256")
        try:
            raw = path.read_bytes() if path.exists() else None
            # Older versions kept no checksum.
            if raw is None or (digest.exists() and digest.read_text("ascii", "replace") != _digest(raw)):
                return None
            return raw.decode()
        except UnicodeDecodeError:
            return None
        except OSError as error:
            raise StoreError(f"Cannot read the lambda fit {path}: {error.strerror}.") from None

    def one_process(self, name: str) -> AbstractContextManager[None]:
        """Hold a name in the block against other processes, which wait for the fit that is made there."""
        return one_process(self.folder / f"{name}.json", "fitting")

    def keep(self, name: str, text: str, draw: Callable[[Path], object] = lambda path: None) -> None:
        """Keep a text, and beside it the picture that `draw` writes into a file."""
        path = self.folder / f"{name}.json"
        write_whole(path, text)
        write_whole(path.with_suffix(".sha256"), _digest(text.encode()))
        draw(path.with_suffix(".png"))

    def forget(self, name: str) -> None:
        """Remove the text kept under that name, where there is one and its folder may be written to."""
        for ending in (".json", ".sha256"):
            with suppress(OSError):
                (self.folder / f"{name}{ending}").unlink(missing_ok=True)


def _digest(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()
