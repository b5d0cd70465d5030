"""digits and npz: what they hold, and every way in which a file can be wrong."""

from __future__ import annotations

import hashlib
import zipfile

import numpy as np
import pytest

from robustbench_sdnet import data
from robustbench_sdnet.cli import main
from robustbench_sdnet.errors import DataError, InputError


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (12, 8, 10, 3), dtype=np.uint8),
        "y_train": np.arange(12, dtype=np.int64) % 4,
        "x_test": rng.integers(0, 256, (5, 8, 10, 3), dtype=np.uint8),
        "y_test": np.arange(5, dtype=np.int32) % 4,
    }


def save(path, arrays, **changed):
    kept = {key: value for key, value in {**arrays, **changed}.items() if value is not None}
    np.savez(path, **kept)
    return f"npz:{path}"


def test_digits_split_is_every_fifth_image_in_4x4_blocks():
    from sklearn.datasets import load_digits

    source = load_digits()
    test, train = data.load("digits", "test"), data.load("digits", "train")
    assert (len(test), len(train)) == (360, 1437)
    assert test.labels.tolist() == source.target[::5].tolist()
    # level 16 is white, 8 is 8 * 255 / 16 = 127.5, rounded up
    picture = test.images(3, 4)[0]
    expected = np.floor(source.images[15] * 255 / 16 + 0.5)
    assert (picture[::4, ::4, 0] == expected).all()
    assert (picture[3::4, 3::4, 2] == expected).all()
    assert picture.dtype == np.uint8
    assert test.image_shape == (32, 32)


def test_npz_gives_back_what_was_saved(tmp_path, arrays):
    name = save(tmp_path / "own.npz", arrays)
    held = data.load(name, "test")
    assert (held.images(1, 3) == arrays["x_test"][1:3]).all()
    assert held.labels.dtype == np.int64
    assert held.ids.tolist() == [0, 1, 2, 3, 4]
    assert (held.num_classes, held.image_shape, len(held), held.name) == (4, (8, 10), 5, name)


def test_a_column_of_labels_is_flattened_and_not_read_as_one_hot(tmp_path, arrays):
    columns = {key: arrays[key][:, None] for key in ("y_train", "y_test")}
    held = data.load(save(tmp_path / "own.npz", arrays, **columns), "test")
    assert held.labels.tolist() == [0, 1, 2, 3, 0]
    assert held.num_classes == 4


def test_content_hash_follows_images_and_labels_alone(tmp_path, arrays):
    first = data.load(save(tmp_path / "a.npz", arrays)).content_hash
    again = data.load(save(tmp_path / "b.npz", arrays)).content_hash
    image = arrays["x_test"].copy()
    image[0, 0, 0, 0] ^= 1
    other_image = data.load(save(tmp_path / "c.npz", arrays, x_test=image)).content_hash
    other_label = data.load(save(tmp_path / "d.npz", arrays, y_test=arrays["y_test"][::-1])).content_hash
    assert first == again
    assert len({first, other_image, other_label}) == 3
    pixels = hashlib.sha256(b"(5, 8, 10, 3)" + arrays["x_test"].tobytes()).digest()
    assert first == hashlib.sha256(pixels + arrays["y_test"].astype("<i8").tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        ({"x_test": None}, ": x_test missing"),
        (
            {"x_test": np.zeros((5, 8, 10, 3), np.float32)},
            r"x_test must be uint8.*float32 from 0 to 0. Write \(255",
        ),
        ({"x_test": np.full((5, 8, 10, 3), 254.6)}, r"float64 from 254.6 to 254.6. Write x.round\(\).astype"),
        ({"x_test": np.full((5, 8, 10, 3), -1.5)}, r"from -1.5 to -1.5. Undo the normalisation first"),
        ({"x_test": np.full((5, 8, 10, 3), 65535, np.uint16)}, r"uint16 from 65535 to 65535. Scale them to"),
        ({"x_test": np.full((5, 8, 10, 3), np.nan)}, r"float64 with values that are not finite"),
        (
            {"x_test": np.ones((5, 8, 10, 3), np.uint8)},
            r"the levels 0 and 1 alone, of 0 to 255. Multiply by 255",
        ),
        ({"x_test": np.zeros((5, 8, 10, 4), np.uint8)}, r"got \(5, 8, 10, 4\). Drop the fourth channel"),
        ({"x_test": np.zeros((5, 8, 10), np.uint8)}, r"x_test must have shape .*\(5, 8, 10\)"),
        ({"x_test": np.zeros((8, 10, 3), np.uint8)}, r"x_test must have shape.*Write x\[None\] for one"),
        ({"x_test": np.zeros((5, 0, 10, 3), np.uint8)}, r"x_test must have shape .*\(5, 0, 10, 3\)"),
        (
            {"x_test": np.zeros((5, 3, 8, 10), np.uint8)},
            r"x_test must have shape.*Move the channels to the end",
        ),
        ({"x_test": np.zeros((4, 8, 10, 3), np.uint8)}, "4 images but y_test 5 labels"),
        ({"y_test": np.zeros((5, 2), np.int64)}, "vector of integers"),
        ({"y_test": np.zeros(5, np.float64)}, "vector of integers.*float64"),
        ({"y_test": np.array([0, 1, 2, 3, 4])}, "labels must be 0 to 3.*got 4"),
        ({"y_test": np.array([0, 1, 2, 3, -1])}, "labels must be 0 to 3.*got -1"),
        (
            {"y_train": np.array([0] * 11 + [-2])},
            "labels must be 0 to 99999; number the classes from 0, got -2",
        ),
        ({"y_train": np.array([0] * 11 + [3_000_000])}, "number the classes from 0, got 3000000"),
        ({"y_train": np.array([0] * 11 + [2**64 - 1], np.uint64)}, "got 18446744073709551615"),
        (
            {"y_train": np.arange(12) / 1.0},
            r"vector of integers, got shape \(12,\), dtype float64\. Store class",
        ),
        ({"y_train": np.eye(12, 4, dtype=np.int64)}, r"got shape \(12, 4\), dtype int64\. Take the argmax"),
        ({"y_train": np.zeros(12, np.int64), "y_test": np.zeros(5, np.int64)}, "only one class, number 0"),
        ({"y_train": np.full(12, 3), "y_test": np.full(5, 3)}, "only one class, number 3"),
        ({"y_train": np.zeros(0, np.int64)}, "non-empty"),
        ({"y_test": np.array([{}] * 5, dtype=object)}, "pickled objects"),
    ],
)
def test_wrong_arrays(tmp_path, arrays, changed, match):
    with pytest.raises(DataError, match=match) as caught:
        data.load(save(tmp_path / "bad.npz", arrays, **changed))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.999])
def test_truncated_file(tmp_path, arrays, kept):
    path = tmp_path / "cut.npz"
    save(path, arrays)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if kept == 0 or kept == 10 else int(len(whole) * kept)])
    with pytest.raises(DataError, match=r"not a readable \.npz"):
        data.load(f"npz:{path}")


def test_damaged_member(tmp_path, arrays):
    path = tmp_path / "flipped.npz"
    save(path, arrays)
    content = bytearray(path.read_bytes())
    content[content.index(arrays["x_test"].tobytes()) + 50] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="CRC"):
        data.load(f"npz:{path}")


@pytest.mark.parametrize(("path", "what"), [("/dev/zero", "a device or a pipe"), ("/dev", "a folder")])
def test_what_is_no_file_is_refused_as_input(path, what, capsys):
    with pytest.raises(InputError, match=f"'{path}' is {what}, not a file"):
        data.load(f"npz:{path}")
    with pytest.raises(SystemExit) as left:
        main(["corrupt", "--data", f"npz:{path}"])
    assert left.value.code == 2
    assert capsys.readouterr().err == f"Error: '{path}' is {what}, not a file.\n"


def test_members_that_are_no_arrays_are_missing(tmp_path, arrays):
    with zipfile.ZipFile(tmp_path / "odd.npz", "w") as archive:
        for key in arrays:
            archive.writestr(key, b"")
    with pytest.raises(DataError, match=": x_train, y_train, x_test, y_test missing"):
        data.load(f"npz:{tmp_path}/odd.npz", root=tmp_path)
