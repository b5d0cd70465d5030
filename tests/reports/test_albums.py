"""Albums of pictures that somebody changed."""

import io
import json

import pytest
from PIL import Image

from robustbench_sdnet.errors import InputError
from robustbench_sdnet.files import write_whole
from robustbench_sdnet.reports import pictures
from robustbench_sdnet.reports.pictures import MANIFEST, Album, Number, Page, read, sections, tables, write


@pytest.mark.parametrize(("name", "said"), [("y" * 300, "is damaged"), ("way", r"lacks way\.png")])
def test_a_picture_that_is_not_there_is_one_line(tmp_path, name, said):
    page = {"name": name, "title": "t", "reading": "r", "alt": "a"}
    album = {"models": ["m"], "data": "d", "images": 1, "pages": [page], "numbers": [], "doubts": []}
    (tmp_path / MANIFEST).write_text(json.dumps(album))
    with pytest.raises(InputError, match=said):
        read(tmp_path)


def test_what_an_earlier_look_drew_alone_is_removed(tmp_path, png):
    folder = tmp_path / "pictures"

    def look(*names):
        pages = tuple(Page(name=name, title="t", reading="r", alt="a") for name in names)
        album = Album(models=("m",), data="digits", images=1, pages=pages, numbers=())
        return write(album, {name: png for name in names}, folder)

    look("way", "atoms-1", "../outside")
    (folder / "mine.png").write_bytes(png)
    paths = look("way", "atoms-0")
    assert {path.name for path in folder.iterdir()} == {*(path.name for path in paths), "mine.png"}
    assert (tmp_path / "outside.png").exists()


def test_an_interrupt_leaves_no_numbers_beside_pictures_that_are_not_theirs(tmp_path, png, monkeypatch):
    pages = tuple(Page(name=name, title="t", reading="r", alt="a") for name in ("way", "atoms-0"))
    album = Album(models=("m",), data="digits", images=1, pages=pages, numbers=())
    write(album, {"way": png, "atoms-0": png}, tmp_path)
    assert len(read(tmp_path)) == 1

    def stopped(path, content):
        if path.name == "atoms-0.png":
            raise KeyboardInterrupt
        return write_whole(path, content)

    monkeypatch.setattr(pictures, "write_whole", stopped)
    with pytest.raises(KeyboardInterrupt):
        write(album, {"way": png, "atoms-0": png}, tmp_path)
    with pytest.raises(InputError, match="No pictures in"):
        read(tmp_path)


def test_tables_say_that_undefined_numbers_are_left_out(tmp_path):
    number = Number(
        model="m", image="clean", lam=0.1, depth=0, quantity="error", mean=0.2, low=None, high=None
    )
    album = Album(models=("m",), data="digits", images=3, pages=(), numbers=(number,))
    (section,) = sections(album, tmp_path)
    assert (
        section.blocks[0]
        .notes[0]
        .startswith("Means over 3 images of digits, with 95 % intervals; each leaves")
    )


def test_lambdas_that_differ_late_have_rows_of_their_own():
    lams = (0.1234561, 0.1234562)
    numbers = [
        Number(model="m", image="clean", lam=lam, depth=0, quantity="error", mean=lam, low=None, high=None)
        for lam in lams
    ]
    (table,) = tables(numbers)
    assert [row[1] for row in table.rows] == ["0.1234561", "0.1234562"]


@pytest.fixture
def png():
    stream = io.BytesIO()
    Image.new("RGB", (4, 4)).save(stream, "PNG")
    return stream.getvalue()
