"""A folder of pictures: classes, sizes, crops and damaged files."""

from __future__ import annotations

import os

import numpy as np
import pytest

from robustbench_sdnet import data
from robustbench_sdnet.errors import DataError, ModelError


def test_labels_follow_sorted_class_folders_which_take_turns(folder):
    train = data.load("imagenet", "train", root=folder)
    assert train.labels.tolist() == [0, 1, 0, 1]
    assert (len(data.load("imagenet", "test", root=folder)), train.num_classes) == (2, 2)
    assert train.image_shape == (224, 224)
    assert not train.pixels.in_memory
    means = train.images().reshape(4, -1).mean(axis=1)
    assert np.abs(means - [0, 100, 20, 120]).max() < 3


def test_missing_and_empty_folders(tmp_path):
    with pytest.raises(DataError, match=r"no folder 'val'.*--data-root"):
        data.load("imagenet", "test", root=tmp_path)
    (tmp_path / "val" / "n01").mkdir(parents=True)
    with pytest.raises(DataError, match="holds no images"):
        data.load("imagenet", "test", root=tmp_path)


def test_hidden_and_other_files_and_folders_are_neither_pictures_nor_classes(folder):
    before = data.load("imagenet", "test", root=folder).content_hash
    for split in ("train", "val"):
        (folder / split / ".ipynb_checkpoints").mkdir()
        (folder / split / "n02" / "._0.JPEG").write_bytes(b"what another system knows of 0.JPEG")
        (folder / split / "n02" / "Thumbs.db").touch()
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


def test_a_pipe_is_named_and_not_waited_for(folder):
    (folder / "val" / "n01" / "link.jpg").symlink_to(next((folder / "val" / "n02").iterdir()))
    assert len(data.load("imagenet", "test", root=folder)) == 3
    os.mkfifo(folder / "val" / "n01" / "pipe.jpg")
    with pytest.raises(DataError, match=r"pipe.jpg is a folder, a device or a pipe, not a file\. Remove it"):
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
