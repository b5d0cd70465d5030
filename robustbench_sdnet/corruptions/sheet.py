"""A contact sheet: a row a corruption or sequence, a column a severity or frame, on a few images."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from ..specs import SequenceSpec
from .pipeline import sequence

_GAP, _LABEL, _LINE = 4, 112, 14
_LETTER = 6  # pixels of a letter, about
SHOWN_FRAMES = 6
Images = NDArray[np.uint8]
Row = tuple[str, Sequence[Images]]


def contact_sheet(titles: Sequence[str], rows: Iterable[Row], *, scale: int) -> Image.Image:
    """Draw rows of pictures under the titles of their columns.

    Args:
        titles: of the columns.
        rows: each its label and what stands in each column, (n, h, w, 3) uint8 of one shape everywhere.
        scale: screen pixels a pixel.
    """
    drawn = list(rows)
    n, height, width = drawn[0][1][0].shape[:3]
    block, tall = n * width * scale + _GAP, height * scale + _GAP
    left = max(_LABEL, *(_LETTER * len(label) + 8 for label, _ in drawn))
    sheet = Image.new("RGB", (left + len(titles) * block, _LINE + len(drawn) * tall), "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles):
        pen.text((left + column * block, 1), title, fill="black")
    for row, (label, strips) in enumerate(drawn):
        top = _LINE + row * tall
        pen.text((2, top + tall // 2 - 6), label, fill="black")
        for column, strip in enumerate(strips):
            picture = Image.fromarray(np.concatenate(list(strip), axis=1))
            picture = picture.resize((n * width * scale, height * scale), Image.Resampling.NEAREST)
            sheet.paste(picture, (left + column * block, top))
    return sheet


def sequence_rows(images: Images, specs: Iterable[SequenceSpec]) -> Iterable[Row]:
    """A row a sequence at a difficulty: frames from its first to its last, evenly apart."""
    for spec in specs:
        found = sequence(images, spec.name, spec.difficulty, spec.seed)
        chosen = np.linspace(0, found.shape[1] - 1, SHOWN_FRAMES).round().astype(int)
        yield spec.label, [found[:, frame] for frame in chosen]
