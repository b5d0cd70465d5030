"""A folder of pictures: classes, sizes, crops and damaged files."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from robustbench_sdnet import data
from robustbench_sdnet.errors import DataError, ModelError


@pytest.fixture
def folder(tmp_path):
    for split, count in (("train", 2), ("val", 1)):
        for label, wnid in enumerate(("n01", "n02")):
            (tmp_path / split / wnid).mkdir(parents=True)
            for number in range(count):
                level = 100 * label + 20 * number
                picture = Image.new("RGB", (300 + 40 * number, 280), (level, level, level))
                picture.save(tmp_path / split / wnid / f"{number}.JPEG")
    return tmp_path


def test_labels_follow_sorted_class_folders(folder):
    train = data.load("imagenet", "train", root=folder)
    assert train.labels.tolist() == [0, 0, 1, 1]
    assert (len(data.load("imagenet", "test", root=folder)), train.num_classes) == (2, 2)
    assert train.image_shape == (224, 224)
    assert not train.pixels.in_memory
    means = train.images().reshape(4, -1).mean(axis=1)
    assert np.abs(means - [0, 20, 100, 120]).max() < 3


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
    with pytest.raises(DataError, match=r"n02/0\.JPEG is not a readable image"):
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


def test_a_reader_that_says_nothing_is_named_by_its_error(folder, monkeypatch):
    def silent(path):
        raise OSError

    monkeypatch.setattr(Image, "open", silent)
    with pytest.raises(DataError, match=r"n01/0\.JPEG is not a readable image \(OSError\)"):
        data.load("imagenet", "test", root=folder).images(0, 1)


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
    from robustbench_sdnet.data.imagenet import FolderPixels

    path = folder / "short"
    path.write_bytes(bytes(range(256)) * 32)
    with path.open("r+b") as file:
        file.truncate(size)
    nothing = np.zeros(0, np.int64)
    assert FolderPixels(folder, (), nothing, nothing)._ends("short") == path.read_bytes()


def test_hash_is_read_from_its_note_while_the_files_stay(folder, monkeypatch):
    from robustbench_sdnet.data.imagenet import FolderPixels

    first = data.load("imagenet", "test", root=folder).content_hash
    assert data.load("imagenet", "train", root=folder).content_hash != first
    monkeypatch.setattr(FolderPixels, "_ends", lambda self, name: pytest.fail("read again"))
    assert data.load("imagenet", "test", root=folder).content_hash == first


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(DataError, match=r"no folder 'val'.*--data-root"):
        data.load("imagenet", "test", root=tmp_path)
    (tmp_path / "val" / "n01").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no images"):
        data.load("imagenet", "test", root=tmp_path)


def test_hidden_files_and_folders_are_neither_pictures_nor_classes(folder):
    before = data.load("imagenet", "test", root=folder).content_hash
    for split in ("train", "val"):
        (folder / split / ".ipynb_checkpoints").mkdir()
        (folder / split / "n02" / "._0.JPEG").write_bytes(b"what another system knows of 0.JPEG")
    found = data.load("imagenet", "test", root=folder)
    assert (found.labels.tolist(), found.num_classes, found.content_hash) == ([0, 1], 2, before)


def test_a_class_without_training_images_is_refused(folder):
    (folder / "val" / "n02").rename(folder / "val" / "n03")
    with pytest.raises(DataError, match=r"val: n03 is not a class of the training images or of classes\.txt"):
        data.load("imagenet", "test", root=folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("n01\nn\xfc\n", r"classes\.txt' is not UTF-8 text \(byte 5\)"),
        (
            "n02\nn01\n\nn02\n\n",
            r"classes\.txt names n02 twice",
        ),  # its images would count twice, with two labels
    ],
)
def test_a_list_of_classes_that_is_none_is_refused(folder, content, message):
    (folder / "classes.txt").write_bytes(content.encode("latin1"))
    with pytest.raises(DataError, match=message):
        data.load("imagenet", "test", root=folder)


def test_a_link_to_nothing_is_named(folder):
    (folder / "val" / "n01" / "gone.jpg").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"gone.jpg cannot be read .* Remove it, or repair the link"):
        data.load("imagenet", "test", root=folder)


@pytest.mark.parametrize("alone", [False, True])
def test_only_models_of_as_many_classes_as_folders_are_asked_unless_a_list_numbers_them(folder, alone):
    """Classes n01 and n02 may be any two of five."""
    if alone:
        (folder / "train").rename(folder / "elsewhere")
    found = data.load("imagenet", "test", root=folder)
    found.check_classes(2, "two")
    with pytest.raises(ModelError, match="five has 5 classes, but the folder has 2 and numbers them itself"):
        found.check_classes(5, "five")
    (folder / "classes.txt").write_text("n07\nn02\n\nn00\nn01\nn05\n")
    found = data.load("imagenet", "test", root=folder)
    assert (found.labels.tolist(), found.num_classes) == ([1, 3], 5)
    assert found.pixels.files[0].startswith("n02/")
    found.check_classes(5, "five")
    with pytest.raises(ModelError, match="two has 2 classes, but the data set has labels up to 3"):
        found.check_classes(2, "two")
