"""Files that are there whole or not at all: full disks, devices, kills."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from robustbench_sdnet import files
from robustbench_sdnet.cli import main
from robustbench_sdnet.errors import WriteError
from robustbench_sdnet.files import cannot_write, checksum_of, locked, sha256_of, whole, write_whole


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 kB. Where none may be mounted, the tests with a faulty stream say the same."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no disk can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every flush to a disk fails, as on a full one."""

    def refuse(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.os, "fsync", refuse)


def test_text_bytes_and_folders(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "report.md"
    assert write_whole(path, "é\n") == path
    assert path.read_bytes() == b"\xc3\xa9\n"
    write_whole(path, b"two", keep=tmp_path / "before")
    assert path.read_bytes() == b"two"
    assert (tmp_path / "before").read_bytes() == b"\xc3\xa9\n"
    assert [file.name for file in path.parent.iterdir()] == ["report.md"]


def test_permissions_are_those_of_any_other_file_or_of_the_one_replaced(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    path = write_whole(tmp_path / "new", b"")
    assert path.stat().st_mode == (tmp_path / "other").stat().st_mode
    path.chmod(0o640)
    write_whole(path, b"again")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_an_error_in_the_middle_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "a", b"old")
    with pytest.raises(ZeroDivisionError), whole(path) as stream:
        stream.write(b"half") // 0
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    target = write_whole(tmp_path / "deep" / "target", b"old")
    link = tmp_path / "link"
    link.symlink_to(target)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_full_disk_is_one_error_and_leaves_nothing(small_disk: Path) -> None:
    path = write_whole(small_disk / "a.npy", b"old")
    with pytest.raises(
        WriteError, match=r"Cannot write .*a.npy \(No space left on device\). Free some space"
    ):
        write_whole(path, bytes(100_000))
    with pytest.raises(WriteError, match="No space left on device"), whole(path) as stream:
        np.save(stream, np.zeros(100_000))
    with pytest.raises(WriteError, match="No space left on device"), whole(path) as stream:
        np.savez(stream, a=np.zeros(100_000))
    assert path.read_bytes() == b"old"
    assert list(small_disk.iterdir()) == [path]


def test_a_faulty_disk_is_one_error_and_leaves_nothing(tmp_path: Path, full_disk: None) -> None:
    with pytest.raises(
        WriteError, match=r"\(No space left on device\). Free some space and run the same"
    ) as caught:
        write_whole(tmp_path / "a", b"x")
    assert caught.value.exit_code == 1
    assert not list(tmp_path.iterdir())


def test_what_refuses_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "a", tmp_path / "file" / "b" / "a"):
        with pytest.raises(WriteError, match=r"Cannot write .* \(Not a directory\). Choose another place"):
            write_whole(path, b"")
    with pytest.raises(WriteError, match="Is a directory"):
        write_whole(tmp_path, b"")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
    refused = cannot_write("a", OSError(errno.EROFS, "Read-only file system"))
    assert str(refused) == "Cannot write a (Read-only file system). Choose a place that you may write to."


def test_a_pipe_is_written_to_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write_whole(pipe, b"through")
    reader.join()
    assert read == [b"through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_device_is_written_to_and_stays(tmp_path: Path) -> None:
    write_whole("/dev/null", b"gone")
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)
    node = tmp_path / "node"
    try:
        os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    except PermissionError:
        return  # only root makes devices; /dev/null says the same of everybody else
    write_whole(node, b"gone")
    assert stat.S_ISCHR(node.stat().st_mode)


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_standard_output_goes_on_where_it_was(name: str, tmp_path: Path) -> None:
    code = f"import os; os.write(1, b'a'); from robustbench_sdnet.files import write_whole; write_whole({name!r}, b'b')"
    with (tmp_path / "out").open("wb") as out:
        subprocess.run([sys.executable, "-c", f"{code}; os.write(1, b'c')"], stdout=out, check=True)
    assert (tmp_path / "out").read_bytes() == b"abc"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_what_a_killed_process_left_is_removed_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a"
    code = (
        "import sys; from robustbench_sdnet.files import whole\n"
        f"with whole({str(path)!r}) as stream: print('in', flush=True); sys.stdin.read(1)"
    )
    writer = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert writer.stdout is not None
    writer.stdout.readline()
    write_whole(path, b"first")
    assert len(list(tmp_path.iterdir())) == 2
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    for stream in (writer.stdin, writer.stdout):
        assert stream is not None
        stream.close()
    assert len(list(tmp_path.iterdir())) == 2
    write_whole(path, b"second")
    assert list(tmp_path.iterdir()) == [path]


def test_a_lock_is_held_by_one_and_ends_with_its_process(tmp_path: Path) -> None:
    path = tmp_path / "folder" / ".lock"
    code = (
        "import sys; from pathlib import Path; from robustbench_sdnet.files import locked\n"
        f"with locked(Path({str(path)!r})) as held: print(held, flush=True); sys.stdin.read(1)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"True\n"
    with locked(path) as held:
        assert not held
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    for stream in (holder.stdin, holder.stdout):
        assert stream is not None
        stream.close()
    with locked(path, wait="never said") as held:
        assert held


def test_checksums(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000
    path = write_whole(tmp_path / "a", content)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()
    assert checksum_of(path, "md5") == hashlib.md5(content).hexdigest()


def test_a_picture_that_cannot_be_written_ends_with_one(
    tmp_path: Path, full_disk: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        main(["data", "show", "--images", "1", "--corruption", "contrast", "--output", f"{tmp_path}/s.png"])
    assert left.value.code == 1
    assert capsys.readouterr().err == (
        f"Error: Cannot write {tmp_path}/s.png (No space left on device). "
        "Free some space and run the same command again.\n"
    )
    assert not list(tmp_path.iterdir())
