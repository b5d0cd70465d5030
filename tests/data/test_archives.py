"""Published archives from a server on this machine: fetched, checked, unpacked."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import threading
import time
import warnings
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from robustbench_sdnet import data
from robustbench_sdnet.cli import cli, main
from robustbench_sdnet.data import archives
from robustbench_sdnet.data.hashes import read_hashes
from robustbench_sdnet.data.published import Published, corrupted_images
from robustbench_sdnet.data.published_folder import JOURNAL
from robustbench_sdnet.download_progress import heard
from robustbench_sdnet.errors import DataError, InputError, WaitWarning, WriteError
from robustbench_sdnet.files import locked, sha256_of
from tests.file_server import Server, serving


def tar_of(arrays: dict[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            entry = tarfile.TarInfo(name)
            entry.size = len(content.getvalue())
            tar.addfile(entry, io.BytesIO(content.getvalue()))
        link = tarfile.TarInfo("CIFAR-10-C/link.npy")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return stream.getvalue()


IMAGES = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3)).astype(np.uint8)
TAR = tar_of(
    {"CIFAR-10-C/fog.npy": IMAGES, "CIFAR-10-C/labels.npy": np.zeros(10, np.int64), "../../evil.npy": IMAGES}
)


ENTRY = archives.Archive("https://nowhere.example/CIFAR-10-C.tar", hashlib.md5(TAR).hexdigest(), len(TAR))


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "CIFAR-10-C.tar").write_bytes(TAR)
    with serving(tmp_path / "served") as found:
        monkeypatch.setenv("SDNET_BENCH_MIRROR", found.url + "/")
        yield found


def test_fetches_checks_and_unpacks(server: Server, tmp_path: Path) -> None:
    reports: list[tuple[str, int, int | None]] = []
    folder = tmp_path / "a" / "b"
    with heard(lambda *told: reports.append(told)):
        names = archives.prepare(ENTRY, folder)
    assert names == ["fog.npy", "labels.npy", "evil.npy"]
    assert reports[-1] == ("CIFAR-10-C.tar", len(TAR), len(TAR))
    # By their last names alone, links left out, the archive gone.
    assert sorted(path.name for path in folder.iterdir()) == [
        ".CIFAR-10-C.tar.unpacked",
        "evil.npy",
        "fog.npy",
        "hashes.json",
        "labels.npy",
    ]
    assert not list(tmp_path.glob("*.npy"))
    np.testing.assert_array_equal(Published(folder).images("fog", 2), IMAGES[2:4])
    assert read_hashes(folder)["fog"]["sha256"] == sha256_of(folder / "fog.npy")


def test_goes_on_in_the_next_run(server: Server, tmp_path: Path) -> None:
    server.break_after = [1000] * 5
    with pytest.raises(DataError, match=r"bytes are kept; the same command continues. \$SDNET_BENCH_MIRROR"):
        archives.prepare(ENTRY, tmp_path / "out")
    assert len(archives.prepare(ENTRY, tmp_path / "out")) == 3
    assert server.log[-1] == "bytes=5000-"


def test_what_is_unpacked_is_not_fetched_again(server: Server, tmp_path: Path) -> None:
    """Of four archives the third breaks off: the first two, 30 GB of ImageNet-C, stay as they are."""
    for entry in archives.archives_of("imagenetc"):
        content = pictures(f"{entry.file.partition('.')[0]}-")
        (server.folder / entry.file).write_bytes(content)
        (server.folder / f"{entry.file}.md5").write_text(hashlib.md5(content).hexdigest())
    (server.folder / "weather.tar").rename(server.folder / "later.tar")
    command = ["data", "prepare", "imagenetc", "--data-root", str(tmp_path / "root")]
    assert CliRunner().invoke(cli, command).exit_code == 1
    asked = len(server.log)
    (server.folder / "later.tar").rename(server.folder / "weather.tar")
    done = CliRunner().invoke(cli, command)
    assert "8 corruptions in" in done.output
    assert len(server.log) == asked + 4  # two archives, and a mirror's own checksum of each
    assert CliRunner().invoke(cli, command).output == done.output
    assert len(server.log) == asked + 4
    (tmp_path / "root" / "imagenetc" / "blur-fog").rename(tmp_path / "elsewhere")
    assert CliRunner().invoke(cli, command).output == done.output
    assert len(server.log) == asked + 6


@pytest.mark.filterwarnings("ignore::robustbench_sdnet.errors.WaitWarning")  # who waits is chance
def test_those_who_want_it_at_once_wait_for_one_download(server: Server, tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: archives.prepare(ENTRY, tmp_path / "out"), range(4)))
    assert found == [["fog.npy", "labels.npy", "evil.npy"]] * 4
    assert len(server.log) == 2  # the archive, and a mirror's own checksum of it


def test_who_waits_for_the_download_of_another_process_is_told_so(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, held = tmp_path / "out" / "CIFAR-10-C.tar", threading.Event()

    def hold() -> None:
        with locked(file.with_name(f".{file.name}.lock")):
            held.set()
            while "Waiting" not in (said := said_so_far[0]) and len(said) < 200:
                time.sleep(0.05)
                said_so_far[0] += capsys.readouterr().err or " "

    said_so_far = [""]
    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    with warnings.catch_warnings():
        warnings.simplefilter("default", WaitWarning)
        with pytest.raises(SystemExit) as left:
            main(["data", "prepare", "cifar10c", "--output", str(file.parent)])
    holder.join()
    assert said_so_far[0].split() == f"Warning: Another process is fetching {file}. Waiting for it.".split()
    assert left.value.code == 1  # what is served here is no published set


def test_a_folder_holds_the_arrays_of_one_set(server: Server, tmp_path: Path) -> None:
    archives.prepare(ENTRY, tmp_path / "fetched")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / JOURNAL).touch()
    other = replace(ENTRY, url="https://nowhere.example/CIFAR-100-C.tar")
    for name, held in (("fetched", ".CIFAR-10-C.tar.unpacked"), ("made", JOURNAL)):
        with pytest.raises(
            InputError, match=rf"{name} holds files of another set \({held}\). Choose another"
        ):
            archives.prepare(other, tmp_path / name)
    assert len(server.log) == 2


def test_another_file_is_refused_and_forgotten(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"checksum .* instead of 0000"):
        archives.prepare(replace(ENTRY, md5="0000"), tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_an_archive_that_lies_there_is_checked_too(server: Server, tmp_path: Path) -> None:
    for name, content, fetched in (("other", tar_of({"a/other.npy": IMAGES}), True), ("same", TAR, False)):
        (tmp_path / name).mkdir()
        (tmp_path / name / ENTRY.file).write_bytes(content)
        asked = len(server.log)
        assert "fog.npy" in archives.prepare(ENTRY, tmp_path / name)
        assert (len(server.log) > asked) == fetched
        assert not (tmp_path / name / "other.npy").exists()


def test_the_checksum_of_a_mirror_goes_before_the_published_one(server: Server, tmp_path: Path) -> None:
    (server.folder / "CIFAR-10-C.tar.md5").write_text(f"{ENTRY.md5}  CIFAR-10-C.tar\n")
    assert len(archives.prepare(replace(ENTRY, md5="0000", size=5), tmp_path / "out")) == 3
    (server.folder / "CIFAR-10-C.tar.md5").write_text(f"MD5 (CIFAR-10-C.tar) = {str(ENTRY.md5).upper()}\n")
    assert len(archives.prepare(replace(ENTRY, md5="0000", size=5), tmp_path / "bsd")) == 3
    (server.folder / "CIFAR-10-C.tar.md5").write_text("<!doctype html><p>There is no such file here.")
    assert len(archives.prepare(ENTRY, tmp_path / "page")) == 3


SECOND = TAR.index(b"CIFAR-10-C/labels.npy")  # where the header of the second file begins
BAD_HEADER = TAR[:SECOND] + b"?" + TAR[SECOND + 1 :]
HOLE = TAR[:SECOND] + bytes(512) + TAR[SECOND + 512 :]
STORED = gzip.compress(TAR, 0, mtime=0)
PIXEL = STORED.index(IMAGES.tobytes()[:50]) + 9
FLIPPED = STORED[:PIXEL] + bytes([STORED[PIXEL] ^ 1]) + STORED[PIXEL + 1 :]
ONE_NAME = tar_of({"a/fog.npy": IMAGES, "b/fog.npy": IMAGES})


@pytest.mark.parametrize(
    "content",
    [
        *(b"no tar at all" * 100, gzip.compress(TAR, mtime=0)[:-200], TAR[:-20000]),
        *(TAR[:SECOND], BAD_HEADER, HOLE, FLIPPED, ONE_NAME),
    ],
    ids=["no tar", "gzip cut", "cut", "cut between files", "header", "hole", "pixel", "two of one name"],
)
def test_damaged_archives_are_told_and_removed(content: bytes, server: Server, tmp_path: Path) -> None:
    (server.folder / "CIFAR-10-C.tar").write_bytes(content)
    entry = replace(ENTRY, md5=hashlib.md5(content).hexdigest(), size=None)
    for known in (entry, replace(entry, md5=None)):
        with pytest.raises(
            DataError, match=r"CIFAR-10-C.tar is damaged .* Run the command again to fetch it"
        ):
            archives.prepare(known, tmp_path / "out")
        assert not (tmp_path / "out" / "CIFAR-10-C.tar").exists()


def test_unwritable_folders_and_empty_archives(server: Server, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"Cannot write .*Not a directory"):
        archives.prepare(ENTRY, tmp_path / "file" / "x")
    empty = tar_of({"a.txt": IMAGES})
    (server.folder / "CIFAR-10-C.tar").write_bytes(empty)
    with pytest.raises(DataError, match=r"holds no .npy file"):
        archives.prepare(replace(ENTRY, md5=hashlib.md5(empty).hexdigest(), size=None), tmp_path / "out")


def test_the_published_addresses() -> None:
    assert archives.archives_of("cifar10c")[0].size == 2_918_471_680
    assert archives.archives_of("cifar100c")[0].url.startswith("https://zenodo.org/records/3555552/")
    assert [entry.file for entry in archives.archives_of("imagenetc")] == [
        *("noise.tar", "blur.tar", "weather.tar", "digital.tar")
    ]
    assert archives.archives_of("imagenetc-extra")[0].md5 == "d492dfba5fc162d8ec2c3cd8ee672984"
    assert archives.archives_of("tinyimagenetc")[0].url.endswith("8206060/files/Tiny-ImageNet-C.tar")
    with pytest.raises(InputError, match="Did you mean 'cifar10c'"):
        archives.archives_of("cifar10")


def pictures(folder: str) -> bytes:
    """An archive of two corruptions at two severities, and what does not belong there."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as tar:
        names = [
            f"{folder}{corruption}/{severity}/n01/p{number}.JPEG"
            for corruption in ("fog", "snow")
            for severity in (1, 5)
            for number in range(2)
        ]
        names += [f"{folder}README.txt", f"{folder}fog/9/n01/p.JPEG", "fog/1/../p.JPEG", "/1/n01/p.JPEG"]
        for position, name in enumerate(names):
            content = io.BytesIO()
            Image.fromarray(np.full((8, 8, 3), 20 * (position % 10), np.uint8)).save(content, "PNG")
            entry = tarfile.TarInfo(name)
            entry.size = len(content.getvalue())
            tar.addfile(entry, io.BytesIO(content.getvalue()))
    return stream.getvalue()


@pytest.mark.parametrize(
    ("name", "file", "inside"),
    [
        ("tinyimagenetc", "Tiny-ImageNet-C.tar", "Tiny-ImageNet-C/"),
        ("imagenetcbar", "imagenet_c_bar.tar.gz", "cbar_download/"),
        ("imagenetc-weather", "weather.tar", ""),
    ],
)
def test_prepare_unpacks_pictures_that_are_then_read(
    name: str, file: str, inside: str, server: Server, tmp_path: Path
) -> None:
    content = pictures(inside)
    (server.folder / file).write_bytes(content)
    (server.folder / f"{file}.md5").write_text(hashlib.md5(content).hexdigest())
    asked = CliRunner().invoke(cli, ["data", "prepare", name, "--data-root", str(tmp_path / "root")])
    assert asked.exit_code == 0, asked.output
    folder = tmp_path / "root" / name
    assert f"2 corruptions in {folder}. Use it with --data imagenetc:{folder}" in asked.output
    assert sorted(path.name for path in folder.glob("[!.]*")) == ["fog", "snow"]
    found = data.load(f"imagenetc:{folder}", "test", root=tmp_path)
    assert corrupted_images(found, "snow", 5, 0, 2)[:, 0, 0, 0].tolist() == [120, 140]
    assert not list((tmp_path / "root").rglob("p.JPEG"))
    assert not Path("/1/n01/p.JPEG").exists()


def test_an_archive_without_a_checksum_is_fetched(server: Server, tmp_path: Path) -> None:
    (server.folder / "imagenet_c_bar.tar.gz").write_bytes(pictures("cbar_download/"))
    (entry,) = archives.archives_of("imagenetcbar")
    assert entry.md5 is None
    assert archives.prepare(entry, tmp_path / "bar") == ["fog", "snow"]
    (server.folder / "imagenet_c_bar.tar.gz").write_bytes(tar_of({"a.npy": IMAGES}))
    with pytest.raises(
        DataError, match=r"holds no <corruption>/<severity>/<class>/<picture>. Run the command"
    ):
        archives.prepare(entry, tmp_path / "other")
    (server.folder / "imagenet_c_bar.tar.gz").write_bytes(pictures("cbar_download/"))
    assert archives.prepare(entry, tmp_path / "other") == ["fog", "snow"]
