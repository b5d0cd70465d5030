"""A contact sheet: every corruption at every severity on a few images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from .pipeline import corrupt
from .registry import corruption_info

_GAP, _LABEL, _LINE = 4, 112, 14


def contact_sheet(
    images: NDArray[np.uint8],
    corruptions: Sequence[str],
    severities: Sequence[int] = (1, 2, 3, 4, 5),
    *,
    seed: int = 0,
    scale: int = 2,
    table: str | None = None,
) -> Image.Image:
    """Draw a row a corruption: the clean images, then the same at each severity.

    Args:
        images: (n, h, w, 3) uint8, a few.
        corruptions: names.
        severities: 1 to 5.
        seed: of the draws.
        scale: screen pixels a pixel.
        table: parameter set; None takes that of the images' size.
    """
    n, height, width = images.shape[:3]
    block, tall = n * width * scale + _GAP, height * scale + _GAP
    size = (_LABEL + (1 + len(severities)) * block, _LINE + len(corruptions) * tall)
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for column, title in enumerate(["clean", *(f"severity {severity}" for severity in severities)]):
        pen.text((_LABEL + column * block, 1), title, fill="black")
    for row, name in enumerate(corruptions):
        top = _LINE + row * tall
        pen.text((2, top + tall // 2 - 6), corruption_info(name).name, fill="black")
        strips = [images, *(corrupt(images, name, severity, seed, table=table) for severity in severities)]
        for column, strip in enumerate(strips):
            picture = Image.fromarray(np.concatenate(list(strip), axis=1))
            picture = picture.resize((n * width * scale, height * scale), Image.Resampling.NEAREST)
            sheet.paste(picture, (_LABEL + column * block, top))
    return sheet
