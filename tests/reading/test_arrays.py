"""Arrays from outside."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import zipfile

import numpy as np
import pytest

from robustbench_sdnet.errors import DataError
from robustbench_sdnet.reading.arrays import open_npy, read_npz
from tests.memory import PRINT_PEAK

IMAGES = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)


def npy(header: str | None = None, array=IMAGES, version=(1, 0)) -> bytes:
    """An .npy file with a header of our own."""
    stream = io.BytesIO()
    if header is None:
        np.lib.format.write_array(stream, array, version=version)
        return stream.getvalue()
    text = header.encode("latin1") + b"\n"
    start = b"\x93NUMPY" + bytes(version) + struct.pack("<H" if version == (1, 0) else "<I", len(text)) + text
    return start + array.tobytes()


def described(shape: str, descr: str = "'|u1'") -> str:
    return f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}"


HOSTILE = {
    "huge": npy(described("(10**9, 10**9)")),
    "huge literal": npy(described("(1000000000, 1000000000, 3)")),
    "beyond int64": npy(described(f"({10**30},)")),
    "negative": npy(described("(-2, 4, 3)")),
    "true": npy(described("(True, 24)")),
    "no tuple": npy(described("24")),
    "text for a shape": npy(described("'x'")),
    "longer than the file": npy(described("(3, 4, 3)")),
    "shorter than the file": npy(described("(1, 4, 3)")),
    "syntax": npy("{'descr': '|u1', 'shape': (2, 4, 3"),
    "brackets": npy("(" * 500),
    "tokens": npy("{'descr': '''"),
    "call": npy("__import__('os').system('ls')"),
    "list": npy("[1]"),
    "keys": npy("{'a': 1}"),
    "objects": npy(described("(2,)", "'|O'")),
    "records": npy(described("(8,)", "[('a', '|u1', (3,))]")),
    "texts": npy(described("(6,)", "'<U1'")),
    "dates": npy(described("(3,)", "'<M8[s]'")),
    "empty type": npy(described("(24,)", "''")),
    "unknown type": npy(described("(24,)", "'|z1'")),
    "cut off": npy()[:-1],
    "cut in the header": npy()[:20],
    "header of 65535": npy()[:8] + b"\xff\xff" + npy()[10:],
    "version 3": npy(array=IMAGES, version=(3, 0)),
    "version 9": b"\x93NUMPY\x09\x00" + npy()[8:],
    "nothing": b"",
    "no array": b"hello, this is no array at all",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_npy_files_and_members_are_one_line(tmp_path, name):
    (tmp_path / "a.npy").write_bytes(HOSTILE[name])
    with pytest.raises(DataError, match=r"a\.npy is not a readable .npy file of a plain array \(.+\)\.$"):
        open_npy(tmp_path / "a.npy")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", HOSTILE[name])
    with pytest.raises(DataError, match=r"a\.npz is not a readable .npz of plain arrays \(.+\)\."):
        read_npz(tmp_path / "a.npz", ["x"])


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["<u1", "<i8", ">i8", ">f4", "<f8", "?", ">u2"])
def test_arrays_are_read_in_any_order_of_bytes_and_axes(tmp_path, dtype, order):
    wanted = np.asarray(np.arange(24).reshape(2, 4, 3), dtype=dtype, order=order)
    np.save(tmp_path / "a.npy", wanted)
    np.savez_compressed(tmp_path / "a.npz", x=wanted, y=np.zeros((0, 3)))
    found = read_npz(tmp_path / "a.npz", ["x", "y", "z"])
    assert set(found) == {"x", "y"}
    for array in (found["x"], open_npy(tmp_path / "a.npy")):
        np.testing.assert_array_equal(array, wanted)
    assert found["x"].dtype.isnative
    assert found["y"].shape == (0, 3)


def zipped(tmp_path, change) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", npy())
    content = bytearray((tmp_path / "a.npz").read_bytes())
    change(content)
    (tmp_path / "a.npz").write_bytes(content)


def central(content: bytearray) -> int:
    return content.index(b"PK\x01\x02")


def encrypted(content):
    content[6] |= 1
    content[central(content) + 8] |= 1


def method(content):
    content[8] = content[central(content) + 10] = 77


def flipped(content):
    content[60] ^= 255


def declared_larger(content):
    content[central(content) + 24 : central(content) + 28] = struct.pack("<I", 2**31)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (encrypted, "x is encrypted"),
        (method, "compression"),
        (flipped, "."),
        (declared_larger, "its header says"),
    ],
)
def test_odd_members_are_one_line(tmp_path, change, reason):
    zipped(tmp_path, change)
    with pytest.raises(DataError, match=reason):
        read_npz(tmp_path / "a.npz", ["x"])


def test_a_size_that_is_not_there_takes_no_memory(tmp_path):
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "|u1", "fortran_order": False, "shape": (1 << 31,)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("x.npy", header.getvalue())
    content = bytearray((tmp_path / "a.npz").read_bytes())
    for at in (
        18,
        22,
        central(content) + 20,
        central(content) + 24,
    ):  # sizes, beside the file and in the directory
        content[at : at + 4] = struct.pack("<I", len(header.getvalue()) + (1 << 31))
    (tmp_path / "a.npz").write_bytes(content)
    program = (
        "from pathlib import Path\nfrom robustbench_sdnet.errors import DataError\n"
        "from robustbench_sdnet.reading.arrays import read_npz\n"
        f"try:\n    read_npz(Path({str(tmp_path / 'a.npz')!r}), ['x'])\nexcept DataError as error:\n    print(error)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program + PRINT_PEAK], capture_output=True, text=True, check=True
    )
    assert "is not a readable .npz" in ran.stdout
    assert int(ran.stderr) < 500_000


def test_every_flipped_byte_is_noticed_or_harmless(tmp_path):
    for position in range(0, 400):

        def change(content, at=position):
            content[at % len(content)] ^= 0x41

        zipped(tmp_path, change)
        try:
            found = read_npz(tmp_path / "a.npz", ["x"])
        except DataError:
            continue
        if "x" in found:  # a flag, a date, an attribute: the checksum of the member still holds
            np.testing.assert_array_equal(found["x"], IMAGES)


def test_devices_are_no_arrays():
    from pathlib import Path

    for read in (open_npy, lambda path: read_npz(path, ["x"])):
        with pytest.raises(DataError, match="a device or a pipe"):
            read(Path("/dev/zero"))


def test_an_archive_under_the_name_of_an_array_is_named(tmp_path):
    np.savez(tmp_path / "a.npz", x=IMAGES)
    (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(DataError, match=r"is an \.npz archive with the name"):
        open_npy(tmp_path / "a.npy")


@pytest.mark.parametrize("shape", [(0,), (0, 3), (2, 0, 3)])
def test_arrays_without_numbers_are_read_as_any(tmp_path, shape):
    np.save(tmp_path / "a.npy", np.zeros(shape, np.float32))
    np.savez(tmp_path / "a.npz", x=np.zeros(shape, np.float32))
    for found in (open_npy(tmp_path / "a.npy"), read_npz(tmp_path / "a.npz", ["x"])["x"]):
        assert (found.shape, found.dtype) == (shape, np.float32)


def test_an_archive_that_says_more_bytes_than_it_holds_is_cut_off(tmp_path):
    """What is missing would be whatever was in memory."""
    content = npy(described("(4,)", "'|u1'"), np.zeros(2, np.uint8))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x.npy", content)
    held = (tmp_path / "a.npz").read_bytes()
    size, wrong = (struct.pack("<L", length) for length in (len(content), len(content) + 2))
    assert held.count(size) == 2
    (tmp_path / "a.npz").write_bytes(held.replace(size, wrong))
    with pytest.raises(DataError, match="x is cut off"):
        read_npz(tmp_path / "a.npz", ["x"])
