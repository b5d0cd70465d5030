"""Picture files: crops, damaged ones, and hashes of them."""

from __future__ import annotations

import os
import time
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from robustbench_sdnet import data
from robustbench_sdnet.data.pictures import FolderPixels, evenly_mixed, random_box
from robustbench_sdnet.errors import DataError


def test_the_first_pictures_however_many_hold_every_class_by_its_share():
    for counts in ((40, 7, 1, 12), (5, 5, 5), (3,)):
        labels = np.repeat(np.arange(len(counts))[::-1] + 2, counts[::-1])  # class by class, in any order
        order = evenly_mixed(labels)
        assert sorted(order) == list(range(len(labels)))
        seen = np.stack([np.cumsum(labels[order] == kind + 2) for kind in range(len(counts))], 1)
        share = np.arange(1, len(labels) + 1)[:, None] * np.array(counts) / len(labels)
        assert np.abs(seen - share).max() <= 1.5, "of every class"
        for kind in range(len(counts)):
            assert (np.diff(order[labels[order] == kind + 2]) > 0).all(), "each in its own order"


def test_crop_is_central_after_resizing_the_shorter_side(folder):
    picture = np.zeros((512, 1024, 3), np.uint8)
    picture[:, 512 - 224 : 512 + 224] = 255  # the central 224 of 512 columns, once the height 512 is 256
    Image.fromarray(picture).save(folder / "val" / "n01" / "0.png")
    (folder / "val" / "n01" / "0.JPEG").unlink()
    image = data.load("imagenet", "test", root=folder).images(0, 1)[0]
    assert image[:, 1:-1].min() == 255


@pytest.mark.parametrize("size", [(500, 334), (334, 500), (500, 332), (463, 255), (256, 256), (100, 301)])
def test_pictures_are_resized_and_cropped_as_torchvision_does(folder, size):
    """The longer side is cut to whole pixels, not rounded, and half a pixel beside the crop goes to the even side."""
    from torchvision.transforms import CenterCrop, Compose, Resize

    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    picture = Image.fromarray(pixels)
    picture.save(folder / "val" / "n01" / "0.png")
    (folder / "val" / "n01" / "0.JPEG").unlink()
    wanted = Compose([Resize(256), CenterCrop(224)])(picture)
    np.testing.assert_array_equal(data.load("imagenet", "test", root=folder).images(0, 1)[0], wanted)


def test_damaged_picture_is_named(folder):
    path = folder / "val" / "n02" / "0.JPEG"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(
        DataError, match=r"n02/0\.JPEG is not a readable image \(.*\)\. Replace or remove it\."
    ):
        data.load("imagenet", "test", root=folder).images(0, 2)


def test_pictures_of_more_than_eight_bits_are_refused(folder):
    levels = np.linspace(0, 65535, 300 * 300).reshape(300, 300).astype(np.uint16)
    Image.fromarray(levels).save(folder / "val" / "n02" / "0.JPEG", "PNG")
    with pytest.raises(DataError, match=r"n02/0\.JPEG is not a readable image \(levels of more than 8 bits"):
        data.load("imagenet", "test", root=folder).images(0, 2)


def test_a_picture_too_large_to_decode_is_named(folder, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(
        DataError, match=r"n01/0\.JPEG is not a readable image \(Image size \(84000 pixels\) exceeds"
    ):
        data.load("imagenet", "test", root=folder).images(0, 1)


def test_a_picture_too_narrow_to_resize_is_named(folder):
    """Its one column as 256 of them makes a million rows; of longer ones no memory is enough."""
    Image.new("RGB", (1, 4_000)).save(folder / "val" / "n02" / "0.png")
    with pytest.raises(DataError, match=r"n02/0\.png is 1 x 4,000 pixels.*Replace or remove it\."):
        data.load("imagenet", "test", root=folder).pixels.decode(2)


def test_a_palette_with_transparent_colours_is_read_without_a_warning(folder):
    """As torchvision reads it, Pillow's warning aside: the transparency is left out."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)).quantize(64)
    picture.save(folder / "val" / "n01" / "0.png", transparency=bytes(range(64)))
    (folder / "val" / "n01" / "0.JPEG").unlink()
    wanted = np.asarray(picture.convert("RGB"))[16:-16, 16:-16]
    np.testing.assert_array_equal(data.load("imagenet", "test", root=folder).images(0, 1)[0], wanted)


def test_a_reader_that_says_nothing_is_named_by_its_error(folder, monkeypatch):
    def silent(path):
        raise OSError

    monkeypatch.setattr(Image, "open", silent)
    with pytest.raises(DataError, match=r"n01/0\.JPEG is not a readable image \(OSError\)"):
        data.load("imagenet", "test", root=folder).images(0, 1)


@pytest.mark.parametrize(
    "read", [lambda found: found.images(), lambda found: found.pixels.read_random_crops(np.array([1]), 0)]
)
@pytest.mark.parametrize("longer", [0, 7])
def test_a_picture_replaced_during_a_run_is_not_taken_for_the_one_before(folder, read, longer):
    path = folder / "val" / "n02" / "0.JPEG"
    path.write_bytes(path.read_bytes().ljust(100_000, b"\0"))
    before = path.stat()
    found = data.load("imagenet", "test", root=folder)
    read(found)
    time.sleep(0.02)  # the clock of a file system is coarse
    Image.new("RGB", (300, 280), (9, 0, 0)).save(folder / "other.jpeg")
    content = (folder / "other.jpeg").read_bytes()
    (folder / "other.jpeg").write_bytes(content.ljust(before.st_size + longer, b"\0"))
    if longer:  # its size alone tells
        os.utime(folder / "other.jpeg", ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder / "other.jpeg").replace(path)
    with pytest.raises(
        DataError, match=r"0\.JPEG changed since its folder was read.*Run the same command again"
    ):
        read(found)
    read(data.load("imagenet", "test", root=folder))


def test_a_copy_made_before_the_run_may_bear_another_time(folder):
    pixels = data.load("imagenet", "test", root=folder).pixels
    copied = replace(pixels, times=pixels.times - 1)
    assert np.array_equal(copied.read(slice(0, 2)), pixels.read(slice(0, 2)))


def test_names_that_are_no_text_are_hashed_too(folder):
    """As archives of other systems hold them; the hash is first asked for when a training is saved."""
    before = data.load("imagenet", "test", root=folder).content_hash
    (folder / "val" / "n01" / "0.JPEG").rename(folder / "val" / "n01" / os.fsdecode(b"\xff.JPEG"))
    assert data.load("imagenet", "test", root=folder).content_hash != before


def test_hash_sees_names_sizes_and_either_end_of_every_file(folder):
    def hash_now():
        return data.load("imagenet", "test", root=folder).content_hash

    path = folder / "val" / "n01" / "0.JPEG"
    path.write_bytes(bytes(20_000))
    before = hash_now()
    for position in (0, 4095, -4096, -1):
        content = bytearray(20_000)
        content[position] = 1
        path.write_bytes(content)
        assert hash_now() != before, position
    path.write_bytes(bytes(20_000))
    assert hash_now() == before
    path.rename(path.with_name("1.JPEG"))
    assert hash_now() != before


@pytest.mark.parametrize("size", [0, 1, 4096, 4097, 8192])
def test_hash_of_short_files_covers_them_once(folder, size):
    path = folder / "short"
    path.write_bytes(bytes(range(256)) * 32)
    with path.open("r+b") as file:
        file.truncate(size)
    nothing = np.zeros(0, np.int64)
    assert FolderPixels(folder, (), nothing, nothing)._ends("short") == path.read_bytes()


def test_hash_is_read_from_its_note_while_the_files_stay(folder, monkeypatch):
    first = data.load("imagenet", "test", root=folder).content_hash
    assert data.load("imagenet", "train", root=folder).content_hash != first
    monkeypatch.setattr(FolderPixels, "_ends", lambda self, name: pytest.fail("read again"))
    assert data.load("imagenet", "test", root=folder).content_hash == first


def test_random_boxes_lie_inside_and_cover_the_allowed_areas():
    draws = np.random.Generator(np.random.Philox(0))
    boxes = np.array([random_box(draws, 500, 375) for _ in range(2000)])
    left, top, right, bottom = boxes.T
    assert left.min() >= 0
    assert top.min() >= 0
    assert right.max() <= 500
    assert bottom.max() <= 375
    area = (right - left) * (bottom - top) / (500 * 375)
    ratio = (right - left) / (bottom - top)
    assert 0.075 < area.min() < 0.12
    assert area.max() > 0.9
    assert 0.74 < ratio.min() < ratio.max() < 1.35
    # No box of an allowed ratio fits but the central one.
    assert random_box(draws, 1000, 10) == (493, 0, 506, 10)
    assert random_box(draws, 10, 1000) == (0, 493, 10, 506)
