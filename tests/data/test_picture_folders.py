"""ImageNet-C's layout: read in place, checked, numbered by the classes of the clean images."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from robustbench_sdnet import data
from robustbench_sdnet.cli import cli
from robustbench_sdnet.data.published import corrupted_images
from robustbench_sdnet.errors import DataError, InputError, ModelError
from robustbench_sdnet.planning.asked import Asked
from tests.net_files import write_net

CLASSES = ("n01", "n02", "n07")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two corruptions at severities 1 and 3, two pictures a class, as lossless files; the level says which is which."""
    root = tmp_path / "imagenet-c"
    for first, corruption in enumerate(("fog", "snow")):
        for severity in (1, 3):
            for label, name in enumerate(CLASSES):
                for picture in range(2):
                    level = 100 * first + 20 * severity + 5 * label + picture
                    path = root / corruption / str(severity) / name / f"p{picture}.png"
                    path.parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(np.full((12, 10, 3), level, np.uint8)).save(path)
    return root


def test_pictures_of_all_classes_come_in_turn(folder: Path, tmp_path: Path) -> None:
    found = data.load(f"imagenetc:{folder}", "test", root=tmp_path / "none")
    assert found.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert (found.num_classes, found.image_shape) == (3, (12, 10))
    images = corrupted_images(found, "snow", 3, 1, 5)
    assert images.shape == (4, 12, 10, 3)
    assert images[:, 0, 0, 0].tolist() == [165, 170, 161, 166]
    with pytest.raises(DataError, match="holds corrupted images only"):
        found.images(0, 1)
    with pytest.raises(InputError, match="test split only"):
        data.load(f"imagenetc:{folder}", "train", root=tmp_path)
    with pytest.raises(InputError, match="Did you mean 'snow'"):
        corrupted_images(found, "snows", 1, 0, 1)
    with pytest.raises(InputError, match="Leave out severity 2 of fog"):
        corrupted_images(found, "fog", 2, 0, 1)


@pytest.mark.parametrize("listed", ["", "tiger cat\nlion\ntiger\n", "\ufefftiger\ntiger cat\nlion\n"])
def test_classes_take_turns_whatever_their_names_and_order(folder: Path, listed: str) -> None:
    for severity in folder.glob("*/*"):
        for old, new in zip(CLASSES, ("tiger", "tiger cat", "lion"), strict=True):
            (severity / old).rename(severity / new)
    if listed:
        (folder / "classes.txt").write_text(listed, encoding="utf-8")
    found = data.load(f"imagenetc:{folder}", "test", root=folder.parent)
    assert found.labels.tolist() == [0, 1, 2, 0, 1, 2]
    levels = corrupted_images(found, "fog", 1, 0, 6)[:, 0, 0, 0].tolist()
    assert sorted(levels[:3]) == [20, 25, 30], "p0.png of each"


def test_pictures_of_other_kinds_count_and_links_to_nothing_are_named(folder: Path) -> None:
    for picture in folder.rglob("p1.png"):
        with Image.open(picture) as image:
            image.save(picture.with_suffix(".webp"), lossless=True)
        picture.unlink()
    found = data.load(f"imagenetc:{folder}", "test", root=folder.parent)
    assert len(found) == 6
    assert corrupted_images(found, "snow", 3, 1, 5)[:, 0, 0, 0].tolist() == [165, 170, 161, 166]
    (folder / "fog" / "1" / "n01" / "p1.webp").unlink()
    (folder / "fog" / "1" / "n01" / "p1.webp").symlink_to("nowhere")
    with pytest.raises(DataError, match=r"p1.webp cannot be read .* Remove it, or repair the link"):
        data.load(f"imagenetc:{folder}", "test", root=folder.parent).content_hash  # noqa: B018  a property that reads


def test_a_pipe_or_a_device_is_named_and_not_waited_for(folder: Path) -> None:
    picture = folder / "snow" / "3" / "n07" / "p1.png"
    picture.unlink()
    picture.symlink_to(os.devnull)
    found = data.load(f"imagenetc:{folder}", "test", root=folder)
    with pytest.raises(DataError, match=r"p1\.png is a folder, a device or a pipe, not a file"):
        corrupted_images(found, "snow", 3, 0, 6)
    picture.unlink()
    os.mkfifo(picture)
    with pytest.raises(DataError, match=r"p1\.png is a folder, a device or a pipe, not a file"):
        found.content_hash  # noqa: B018  # a property that reads


def test_names_that_are_no_text_are_hashed_too(folder: Path) -> None:
    for picture in folder.rglob("p1.png"):
        picture.rename(picture.with_name(os.fsdecode(b"\xff.png")))
    assert len(data.load(f"imagenetc:{folder}", "test", root=folder.parent).content_hash) == 64


def test_classes_are_numbered_by_the_clean_images(folder: Path, tmp_path: Path) -> None:
    for name in ("n00", *CLASSES, "n09"):
        (tmp_path / "root" / "imagenet" / "val" / name).mkdir(parents=True)
    found = data.load(f"imagenetc:{folder}", "test", root=tmp_path / "root")
    assert found.labels.tolist() == [1, 2, 3, 1, 2, 3]
    assert found.num_classes == 5
    with pytest.raises(ModelError, match="has 9 classes, but the folder has 5 and numbers them itself"):
        found.check_classes(9, "a model of all nine")
    (tmp_path / "root" / "imagenet" / "classes.txt").write_text("\n".join(("n09", *CLASSES, "n00")))
    listed = data.load(f"imagenetc:{folder}", "test", root=tmp_path / "root")
    assert listed.labels.tolist() == [1, 2, 3, 1, 2, 3]
    listed.check_classes(9, "a model of all nine")
    (tmp_path / "root" / "imagenet" / "classes.txt").unlink()
    (folder / "fog" / "1" / "n01" / "._p0.png").write_bytes(b"what another system knows of p0.png")
    listed = data.load(f"imagenetc:{folder}", "test", root=tmp_path / "root")
    assert listed.labels.tolist() == [1, 2, 3, 1, 2, 3]
    (tmp_path / "root" / "imagenet" / "val" / "n07").rmdir()
    with pytest.raises(DataError, match="n07 is not a class of the training images"):
        data.load(f"imagenetc:{folder}", "test", root=tmp_path / "root")


def test_a_part_is_numbered_by_the_classes_of_all(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of five classes the folder holds n01, n02 and n07: by its own numbers a model of five is asked for wrong ones."""
    write_net(tmp_path, "five_net", "return torch.eye(5)[torch.full((len(images),), 4)]")
    monkeypatch.syspath_prepend(str(tmp_path))
    arguments = [
        *(
            "corrupt",
            "--data",
            f"imagenetc:{folder}",
            *shlex.split("--model five_net:net --corruption fog --json"),
        ),
        *("--severity", "1", "--store", f"sqlite:///{tmp_path}/s.db", "--data-root", str(tmp_path / "none")),
    ]
    asked = CliRunner().invoke(cli, arguments)
    assert asked.exit_code == 1
    assert "five_net:net has 5 classes, but the folder has 3 and numbers them itself." in str(asked.exception)
    (folder / "classes.txt").write_text("n00\nn01\nn02\nn05\nn07\n")
    found = data.load(f"imagenetc:{folder}", "test", root=tmp_path / "none")
    assert (found.labels.tolist(), found.num_classes) == ([1, 2, 4, 1, 2, 4], 5)
    asked = CliRunner().invoke(cli, arguments)
    assert asked.exit_code == 0, asked.output
    assert json.loads(asked.stdout)[0]["accuracy"] == pytest.approx(1 / 3)
    (folder / "classes.txt").write_text("n01\nn02\n")
    with pytest.raises(DataError, match=r"n07 is not a class of the training images or of classes.txt"):
        data.load(f"imagenetc:{folder}", "test", root=tmp_path)


def test_what_does_not_fit_is_named(folder: Path, tmp_path: Path) -> None:
    name = f"imagenetc:{folder}"
    before = data.load(name, "test", root=tmp_path).content_hash
    Image.fromarray(np.zeros((12, 11, 3), np.uint8)).save(folder / "snow" / "1" / "n02" / "p0.png")
    changed = data.load(name, "test", root=tmp_path)
    assert changed.content_hash != before
    with pytest.raises(DataError, match=r"p0.png is \(12, 11\), the first picture \(12, 10\)"):
        corrupted_images(changed, "snow", 1, 0, 6)
    (folder / "snow" / "3" / "n02" / "p0.png").unlink()
    with pytest.raises(
        DataError, match=r"snow/3 holds other pictures than its neighbours, such as n02/p0.png"
    ):
        corrupted_images(data.load(name, "test", root=tmp_path), "snow", 3, 0, 1)
    (folder / "fog" / "1" / "n01" / "p0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match="is not a readable image"):
        corrupted_images(data.load(name, "test", root=tmp_path), "fog", 1, 0, 1)
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"There is no folder '.*p0.png'. Name the folder that holds"):
        data.load(f"imagenetc:{folder}/fog/1/n01/p0.png", "test", root=tmp_path)
    with pytest.raises(DataError, match="as ImageNet-C does"):
        data.load(f"imagenetc:{tmp_path / 'empty'}", "test", root=tmp_path)


def test_a_picture_replaced_during_a_run_is_not_taken_for_the_one_before(
    folder: Path, tmp_path: Path
) -> None:
    found, path = (
        data.load(f"imagenetc:{folder}", "test", root=tmp_path),
        folder / "fog" / "3" / "n02" / "p0.png",
    )
    corrupted_images(found, "fog", 3, 0, 6)
    time.sleep(0.02)  # the clock of a file system is coarse
    Image.fromarray(np.full((12, 10, 3), 9, np.uint8)).save(tmp_path / "other.png")
    (tmp_path / "other.png").replace(path)
    with pytest.raises(DataError, match=r"p0\.png changed since its folder was read"):
        corrupted_images(found, "fog", 3, 0, 6)
    corrupted_images(data.load(f"imagenetc:{folder}", "test", root=tmp_path), "fog", 3, 0, 6)


def test_the_command_answers_them_without_a_clean_row(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_net(
        tmp_path,
        "levels_net",
        "level = (images.mean((1, 2, 3)) * 255).round()",
        "label = (level - 60) // 5",  # fog at severity 3: right; else not
        "return torch.nn.functional.one_hot(label.long().clamp(0, 2), 3).float()",
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    asked = CliRunner().invoke(
        cli,
        [
            *("corrupt", "--data", f"imagenetc:{folder}", "--model", "levels_net:net", "--corruption", "fog"),
            *("--severity", "1,3", "--store", f"sqlite:///{tmp_path}/s.db", "--json"),
            *("--data-root", str(tmp_path / "none")),
        ],
    )
    assert asked.exit_code == 0, asked.output
    rows = {(row["kind"], row["severity"]): row for row in json.loads(asked.stdout)}
    assert set(rows) == {("corruption", 1), ("corruption", 3)}
    assert rows["corruption", 3]["accuracy"] == 1.0
    assert rows["corruption", 1]["accuracy"] == pytest.approx(1 / 3)
    assert rows["corruption", 3]["source"] == "published"


def test_severities_that_a_part_lacks_are_refused_before_any_work(folder: Path, tmp_path: Path) -> None:
    (folder / "snow" / "5").mkdir()
    found = data.load(f"imagenetc:{folder}", "test", root=tmp_path / "none")
    with pytest.raises(
        InputError, match=r"imagenetc:.* holds snow at severity 1, 3, 5, not 2\. Write --severity 1,3\."
    ):
        Asked().of(found)
    with pytest.raises(InputError, match=r"holds fog at severity 1, 3, not 5\. Write --severity 1,3\."):
        Asked(severities=[5]).of(found)
    assert len(Asked(corruptions="snow", severities=[1, 3, 5]).of(found)) == 3
    for severity in (1, 3):
        shutil.rmtree(folder / "snow" / str(severity))
    found = data.load(f"imagenetc:{folder}", "test", root=tmp_path / "none")
    with pytest.raises(InputError, match=r"holds fog at severity 1, 3, not 5\. Leave fog out\."):
        Asked(severities=[5]).of(found)
