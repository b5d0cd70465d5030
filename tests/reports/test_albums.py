"""Albums of pictures that somebody changed."""

import json

import pytest

from robustbench_sdnet.errors import InputError
from robustbench_sdnet.reports.pictures import MANIFEST, read


@pytest.mark.parametrize(("name", "said"), [("y" * 300, "is damaged"), ("way", r"lacks way\.png")])
def test_a_picture_that_is_not_there_is_one_line(tmp_path, name, said):
    page = {"name": name, "title": "t", "reading": "r", "alt": "a"}
    album = {"models": ["m"], "data": "d", "images": 1, "pages": [page], "numbers": [], "doubts": []}
    (tmp_path / MANIFEST).write_text(json.dumps(album))
    with pytest.raises(InputError, match=said):
        read(tmp_path)
