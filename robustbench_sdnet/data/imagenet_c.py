"""ImageNet-C and sets in its layout, by name."""

from __future__ import annotations

from pathlib import Path

from ..errors import InputError
from ..reading.paths import path_of
from .imagenet import class_names
from .images import ImageData
from .picture_folders import PictureFolders
from .published import BELONGS_TO, PublishedPixels


def load(name: str, split: str, *, root: Path, download: bool) -> ImageData:
    """ "imagenetc:PATH".

    Classes are numbered by `class_names`, of which `classes.txt` may lie in the folder too, else by the folder's own.

    Raises:
        InputError: the training split, which there is none of, or a file.
        DataError: another layout.
    """
    if split != "test":
        raise InputError(f"{name} has a test split only, got '{split}'.")
    path = path_of(name.partition(":")[2])
    classes, listed = class_names(root, path)
    pictures = PictureFolders(path, classes)
    pixels = PublishedPixels(pictures, None, root, download)
    count = len(pictures.classes)
    return ImageData(
        name,
        split,
        pictures.labels,
        count,
        pixels,
        numbered_here=not listed,
        belongs_to=BELONGS_TO["imagenetc"],
    )
