"""Folders of pictures."""

from __future__ import annotations

import pytest
from PIL import Image


@pytest.fixture
def folder(tmp_path):
    """ImageNet's layout: two classes, of each two grey pictures for training and one for tests."""
    for split, count in (("train", 2), ("val", 1)):
        for label, wnid in enumerate(("n01", "n02")):
            (tmp_path / split / wnid).mkdir(parents=True)
            for number in range(count):
                level = 100 * label + 20 * number
                picture = Image.new("RGB", (300 + 40 * number, 280), (level, level, level))
                picture.save(tmp_path / split / wnid / f"{number}.JPEG")
    return tmp_path
