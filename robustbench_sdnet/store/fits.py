"""Fitted lambda policies beside the store: a text that is read back, and a picture for people."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..errors import StoreError
from ..files import write_whole


class Fits:
    """A folder of fits by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, name: str) -> str | None:
        """The text kept under that name, or None.

        Raises:
            StoreError: it is there and cannot be read.
        """
        path = self.folder / f"{name}.json"
        try:
            return path.read_text(encoding="utf-8") if path.exists() else None
        except (OSError, ValueError) as error:
            raise StoreError(f"Cannot read the lambda fit {path}: {error}. Remove it.") from None

    def keep(self, name: str, text: str, draw: Callable[[Path], object]) -> None:
        """Keep a text, and beside it the picture that `draw` writes into a file.

        Raises:
            WriteError: the folder cannot be written.
        """
        path = self.folder / f"{name}.json"
        write_whole(path, text)
        draw(path.with_suffix(".png"))
