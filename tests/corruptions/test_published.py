"""Folders in the published layout, and CIFAR-10.1."""

from __future__ import annotations

import json
import os
import pickle
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest

from robustbench_sdnet import data
from robustbench_sdnet.data import hashes, published as sets, published_folder
from robustbench_sdnet.data.images import from_arrays
from robustbench_sdnet.data.published import Published
from robustbench_sdnet.errors import DataError, InputError

N = 6
LABELS = np.array([3, 8, 8, 0, 6, 6])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    for name in ("fog", "frost"):
        np.save(tmp_path / f"{name}.npy", generator.integers(0, 256, (5 * N, 32, 32, 3)).astype(np.uint8))
    np.save(tmp_path / "labels.npy", np.tile(LABELS, 5))
    return tmp_path


def test_reads_rows_of_a_severity(folder: Path) -> None:
    published, whole = Published(folder), np.load(folder / "fog.npy")
    assert (len(published), published.image_shape, published.corruptions) == (N, (32, 32), ("fog", "frost"))
    np.testing.assert_array_equal(published.labels, LABELS)
    np.testing.assert_array_equal(published.images("fog", 1), whole[:N])
    np.testing.assert_array_equal(published.images("fog", 4, 2, 5), whole[3 * N + 2 : 3 * N + 5])
    assert published.images("fog", 5, 4, 99).shape == (2, 32, 32, 3)  # never into the next severity
    assert published.images("fog", 2, 5, 3).shape == (0, 32, 32, 3)
    published.images("fog", 1)[:] = 0  # a copy: the file stays
    np.testing.assert_array_equal(np.load(folder / "fog.npy"), whole)


def test_hash_follows_contents(folder: Path) -> None:
    first = Published(folder).content_hash
    assert (folder / "hashes.json").exists()
    assert Published(folder).content_hash == first
    (folder / "hashes.json").unlink()
    assert Published(folder).content_hash == first
    (folder / "hashes.json").unlink()
    np.save(folder / "fog.npy", np.load(folder / "fog.npy") ^ 1)
    assert Published(folder).content_hash != first


def test_hidden_files_are_no_corruptions(folder: Path) -> None:
    (folder / "._fog.npy").write_bytes(b"what another system knows of fog.npy")
    published = Published(folder)
    assert published.corruptions == ("fog", "frost")
    assert len(published.content_hash) == 64


def test_a_file_that_changed_is_refused(folder: Path) -> None:
    Published(folder).check_files(["fog"])
    np.save(folder / "fog.npy", np.load(folder / "fog.npy") ^ 1)
    with pytest.raises(DataError, match=r"fog\.npy is not the file recorded"):
        Published(folder).check_files(["fog"])


def test_a_touched_file_is_read_again_and_accepted(folder: Path) -> None:
    found = Published(folder).check_files(["fog"])
    (folder / "fog.npy").touch()
    assert Published(folder).check_files(["fog"]) == found
    for damaged in ("[]", '{"fog": 3}', '{"fog": {"stamp": [1, 2]}}', '{"fog": {"sha256": "0"}}'):
        (folder / "hashes.json").write_text(damaged)
        assert Published(folder).check_files(["fog"]) == found
        assert "sha256" in json.loads((folder / "hashes.json").read_text())["fog"]


def replaced(file: Path) -> None:
    np.save(file.with_name(".new.npy"), np.load(file) ^ 1)
    file.with_name(".new.npy").replace(file)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (replaced, "is not the file recorded"),
        (lambda file: np.save(file, np.load(file) ^ 1), "is not the file recorded"),
        (lambda file: os.truncate(file, 1000), "is not a readable"),  # a mapping of it would end the process
    ],
    ids=["replaced", "written in place", "cut off"],
)
@pytest.mark.parametrize("name", ["fog", "clean"])
@pytest.mark.parametrize("writable", [True, False])  # of a folder that cannot be, nothing is noted
def test_a_file_that_changes_during_a_run_is_not_taken_for_the_one_that_was_hashed(
    folder, monkeypatch, change, message, name, writable
):
    np.save(folder / "clean.npy", np.load(folder / "fog.npy")[:N])
    if not writable:
        monkeypatch.setattr(published_folder, "write_hashes", lambda *given: None)
    found = data.load(f"cifar10c:{folder}")
    _ = found.content_hash
    worker = deepcopy(found)  # as one elsewhere, which reads the files itself

    def read(asked):
        return asked.images(0, 2) if name == "clean" else sets.corrupted_images(asked, name, 1, 0, 2)

    before = read(found)
    np.testing.assert_array_equal(read(worker), before)
    os.utime(folder / f"{name}.npy", ns=(1, 1))  # as a copy on another machine
    np.testing.assert_array_equal(read(found), before)
    change(folder / f"{name}.npy")
    message = (
        message
        if writable
        else message.replace("recorded", r"that this run began with: .* run the same command")
    )
    for asked in (found, worker):
        with pytest.raises(DataError, match=message):
            read(asked)


def test_a_file_that_is_replaced_while_it_is_hashed_is_read_once_more(folder, monkeypatch):
    def hash_slowly(file, real=hashes.sha256_of):
        found = real(file)
        replaced(file)
        return found

    with monkeypatch.context() as patched:
        patched.setattr(hashes, "sha256_of", hash_slowly)
        Published(folder).check_files(["fog"])
    with pytest.raises(DataError, match="is not the file recorded"):
        Published(folder).check_files(["fog"])


def test_a_file_that_was_noted_anew_is_not_said_to_differ_from_its_note(folder):
    published = Published(folder)
    published.check_files(["fog"])
    replaced(folder / "fog.npy")
    hashes.note_hashes(folder, {"fog": folder / "fog.npy"})
    with pytest.raises(DataError, match=r"fog\.npy is not the file that this run began with"):
        published.images("fog", 1)
    Published(folder).check_files(["fog"])


def test_notes_of_files_that_were_not_asked_for_are_let_be(folder):
    published = Published(folder)
    published.check_files(["fog", "frost"])
    replaced(folder / "frost.npy")
    hashes.note_hashes(folder, {"frost": folder / "frost.npy"})
    published.images("fog", 1)
    assert len(Published(folder).check_files(["frost"])) == 1


def test_a_folder_travels_without_its_images(folder):
    found = data.load(f"cifar10c:{folder}")
    _ = found.content_hash
    assert len(pickle.dumps(found)) < 5000


def test_what_is_refused(folder: Path, tmp_path: Path) -> None:
    published = Published(folder)
    with pytest.raises(InputError, match="Did you mean 'frost'"):
        published.images("frots", 1)
    for severity in (0, 6, True):
        with pytest.raises(InputError, match="severity must be 1 to 5"):
            published.images("fog", severity)
    with pytest.raises(InputError, match="There is no folder"):
        Published(tmp_path / "absent")
    np.save(folder / "snow.npy", np.zeros((5 * N, 32, 32, 3), np.float32))
    with pytest.raises(DataError, match=r"snow\.npy must be \(30, height, width, 3\) uint8.*float32"):
        Published(folder).images("snow", 1)
    np.save(folder / "snow.npy", np.zeros((4 * N, 32, 32, 3), np.uint8))
    with pytest.raises(DataError, match=r"got \(24, 32, 32, 3\)"):
        Published(folder).images("snow", 1)
    for shape in ((5 * N, 32, 32), (5 * N, 3, 32, 32)):
        np.save(folder / "snow.npy", np.zeros(shape, np.uint8))
        with pytest.raises(DataError, match=r"snow\.npy must be \(30, height, width, 3\)"):
            _ = Published(folder).content_hash
    (folder / "snow.npy").write_bytes((folder / "fog.npy").read_bytes()[:5000])
    with pytest.raises(DataError, match=r"snow\.npy is not a readable \.npy"):
        Published(folder).images("snow", 1)
    np.save(folder / "snow.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="it holds pickled objects"):
        Published(folder).images("snow", 1)
    with (folder / "snow.npy").open("wb") as file:
        np.savez(file, a=np.zeros(3))
    with pytest.raises(DataError, match="npz archive"):
        Published(folder).images("snow", 1)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.arange(30) % 7, "must repeat the same labels 5 times"),
        (np.zeros(29, int), "must repeat the same labels"),
        (np.full(30, 10), "labels must be 0 to 9"),
        (np.zeros(30), "vector of integers"),
    ],
)
def test_wrong_labels(folder: Path, labels: np.ndarray, message: str) -> None:
    np.save(folder / "labels.npy", labels)
    with pytest.raises(DataError, match=message):
        Published(folder)


@pytest.mark.parametrize("absent", [["labels"], ["fog", "frost"]])
def test_folders_without_the_layout(folder: Path, absent: list[str]) -> None:
    for name in absent:
        (folder / f"{name}.npy").unlink()
    with pytest.raises(DataError, match="must hold labels"):
        Published(folder)


def test_as_a_data_set(folder: Path) -> None:
    data = sets.load(f"cifar10c:{folder}", "test", root=folder, download=False)
    assert (len(data), data.num_classes, data.image_shape) == (N, 10, (32, 32))
    assert (
        data.content_hash == sets.load(f"cifar10c:{folder}", "test", root=folder, download=False).content_hash
    )
    np.testing.assert_array_equal(
        sets.corrupted_images(data, "frost", 3, 1, 4), np.load(folder / "frost.npy")[13:16]
    )
    with pytest.raises(DataError):  # no clean.npy, no CIFAR-10 in the root
        data.images()
    clean = np.random.default_rng(3).integers(0, 256, (N, 32, 32, 3)).astype(np.uint8)
    np.save(folder / "clean.npy", clean)
    data = sets.load(f"cifar100c:{folder}", "test", root=folder, download=False)
    np.testing.assert_array_equal(data.images(2, 4), clean[2:4])
    assert data.num_classes == 100
    assert "clean" not in data.pixels.published.corruptions
    np.save(folder / "clean.npy", clean ^ 1)  # answers on the others are stored, under the same content hash
    with pytest.raises(DataError, match=r"clean\.npy is not the file recorded"):
        sets.load(f"cifar10c:{folder}", "test", root=folder, download=False).images()
    for other in (clean[1:], clean.astype(np.float32) / 255):
        np.save(folder / "clean.npy", other)
        with pytest.raises(DataError, match="does not belong"):
            sets.load(f"cifar10c:{folder}", "test", root=folder, download=False).images()
    with pytest.raises(InputError, match="test split only"):
        sets.load(f"cifar10c:{folder}", "train", root=folder, download=False)


def test_clean_images_of_other_labels_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sets, "load_data", lambda *asked: held)
    images = np.random.default_rng(3).integers(0, 256, (N, 32, 32, 3)).astype(np.uint8)
    for labels in (LABELS[::-1], LABELS):
        held = from_arrays("cifar10", "test", images, labels, 10, "cifar10")
        asked = sets.load(f"cifar10c:{folder}", "test", root=folder, download=False)
        if labels is LABELS:
            np.testing.assert_array_equal(asked.images(1, 3), images[1:3])
        else:
            with pytest.raises(DataError, match="its labels are not those of the cifar10 test images"):
                asked.images()


@pytest.mark.parametrize("version", ["v4", "v6"])
def test_cifar_10_1(tmp_path: Path, version: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3)).astype(np.uint8)
    np.save(tmp_path / f"cifar10.1_{version}_data.npy", images)
    np.save(tmp_path / f"cifar10.1_{version}_labels.npy", (np.arange(7) % 10).astype(np.int32))
    if version == "v6":  # which goes before the older one
        np.save(tmp_path / "cifar10.1_v4_data.npy", images[:3])
    for path in (tmp_path, tmp_path / f"cifar10.1_{version}_data.npy"):
        data = sets.load(f"cifar10.1:{path}", "test", root=tmp_path, download=False)
        np.testing.assert_array_equal(data.images(), images)
        assert (data.labels.dtype, data.training_set) == (np.int64, "cifar10")
    with pytest.raises(InputError, match="not a folder of published corruptions"):
        sets.corrupted_images(data, "fog", 1, 0, 1)
    with pytest.raises(DataError, match="must hold cifar10"):
        sets.load(f"cifar10.1:{tmp_path / 'absent'}", "test", root=tmp_path, download=False)


@pytest.mark.parametrize("kind", ["npz", "npy"])
def test_cifar_10_2(tmp_path: Path, kind: str) -> None:
    held = {
        split: {
            "images": np.random.default_rng(n).integers(0, 256, (n, 32, 32, 3)).astype(np.uint8),
            "labels": np.arange(n) % 10,
            "cifar_index": [str(index) for index in range(n)],
        }
        for split, n in (("train", 8), ("test", 5))
    }
    for split, arrays in held.items():
        if kind == "npz":
            np.savez(tmp_path / f"cifar102_{split}.npz", **arrays)
        else:
            np.save(tmp_path / f"cifar102_{split}.npy", arrays, allow_pickle=True)
    for split, arrays in held.items():
        data = sets.load(f"cifar10.2:{tmp_path}", split, root=tmp_path, download=False)
        np.testing.assert_array_equal(data.images(), arrays["images"])
        assert (data.labels.tolist(), data.num_classes) == (arrays["labels"].tolist(), 10)


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return Path.touch, (Path(__file__).with_name("never-made"),)


def test_cifar_10_2_runs_nothing_and_says_what_it_lacks(tmp_path: Path) -> None:
    def load() -> None:
        sets.load(f"cifar10.2:{tmp_path}", "test", root=tmp_path, download=False)

    with pytest.raises(DataError, match=r"must hold cifar102_test.npz or cifar102_test.npy"):
        load()
    file = tmp_path / "cifar102_test.npy"
    np.save(file, {"images": Harmful(), "labels": np.arange(3)}, allow_pickle=True)
    with pytest.raises(DataError, match=r"it asks for pathlib"):
        load()
    assert not Path(__file__).with_name("never-made").exists()
    np.save(file, {"images": np.zeros((3, 32, 32, 3), np.uint8)}, allow_pickle=True)
    with pytest.raises(DataError, match="must hold images and labels"):
        load()
    file.write_bytes(b"nothing")
    with pytest.raises(DataError, match="is damaged or not an array"):
        load()
