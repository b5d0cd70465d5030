"""Data sets by name: uint8 images, labels, stable sample ids and a content hash.

Importing this package, and checking a name, needs neither NumPy nor torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .registry import check_name, data_root, load, short_name

if TYPE_CHECKING:
    from .images import ArrayPixels, ImageData, Pixels

__all__ = ["ArrayPixels", "ImageData", "Pixels", "check_name", "data_root", "load", "short_name"]


def __getattr__(name: str) -> Any:
    if name in ("ArrayPixels", "ImageData", "Pixels"):
        from . import images

        return getattr(images, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
