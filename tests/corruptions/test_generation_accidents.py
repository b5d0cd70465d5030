"""`data generate` when processes are killed, disks are full, signals come, and two write to one folder."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import numpy as np
import pytest

from robustbench_sdnet.corruptions import generation
from robustbench_sdnet.errors import SdnetBenchError, WriteError
from robustbench_sdnet.files import alone_in

IMAGES = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3)).astype(np.uint8)
LABELS = np.arange(12) % 10


def write(output: Path, **options: object) -> tuple[str, ...]:
    return generation.generate(
        IMAGES, LABELS, output, content_hash="h", corruptions="contrast", workers=1, **options
    )


def until(condition: Callable[[], bool], seconds: float = 60.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


def children(parent: int) -> list[int]:
    found = subprocess.run(["ps", "--ppid", str(parent), "-o", "pid="], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def alive(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False


@pytest.fixture
def generating(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """`data generate` with two workers, at work on the second corruption."""
    images = np.random.default_rng(1).integers(0, 256, (4000, 32, 32, 3)).astype(np.uint8)
    labels = np.arange(4000) % 5
    np.savez(tmp_path / "d.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    arguments = ["data", "generate", "cifar10c", "--data", f"npz:{tmp_path / 'd.npz'}", "--workers", "2"]
    arguments += ["--corruption", "contrast,glass_blur", "--output", str(tmp_path / "out"), "--json"]
    process = subprocess.Popen(
        [sys.executable, "-m", "robustbench_sdnet", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert until((tmp_path / "out" / "contrast.npy").exists)
    yield process
    process.kill()
    process.communicate()


@pytest.mark.slow
def test_workers_end_with_a_parent_that_is_killed(generating: subprocess.Popen[str]) -> None:
    workers = children(generating.pid)
    assert len(workers) >= 2
    generating.send_signal(signal.SIGKILL)
    generating.wait()
    assert until(lambda: not any(alive(pid) for pid in workers))


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, *(pytest.param(n, marks=pytest.mark.slow) for n in (signal.SIGHUP, signal.SIGINT))],
)
def test_signals_end_it_in_one_line(
    number: signal.Signals, generating: subprocess.Popen[str], tmp_path: Path
) -> None:
    workers = children(generating.pid)
    os.killpg(generating.pid, number)  # as a terminal does, or a service manager
    _, said = generating.communicate(timeout=60)
    by = "" if number == signal.SIGINT else f" by {number.name}"
    assert said.split("\n", 1)[-1 if said.startswith("\n") else 0].strip() == (
        f"Error: Stopped{by}. What was finished is stored; run the same command again to go on."
    )
    assert generating.returncode == 1
    assert until(lambda: not any(alive(pid) for pid in workers))
    assert not (tmp_path / "out" / ".lock").exists()


@pytest.mark.slow
def test_a_lost_worker_is_one_line(generating: subprocess.Popen[str]) -> None:
    workers = [
        pid for pid in children(generating.pid) if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
    ]
    os.kill(workers[0], signal.SIGKILL)
    _, said = generating.communicate(timeout=60)
    assert said.startswith(
        "Error: A worker process was lost: killed, or out of memory. What is finished is kept"
    )
    assert said.count("\n") == 1
    assert generating.returncode == 1


@pytest.mark.slow
def test_a_broken_pool_is_a_lost_worker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise BrokenProcessPool("a child process terminated abruptly")

    monkeypatch.setattr(generation, "_finished", broken)
    with pytest.raises(SdnetBenchError, match="A worker process was lost"):
        write(tmp_path / "out")


@pytest.mark.slow
def test_a_full_disk_is_seen_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, offset: int, size: int) -> None:
        assert size == 128 + 5 * IMAGES.size
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with pytest.raises(
        WriteError, match=r"Cannot write .*out \(No space left on device\). Free some space"
    ) as caught:
        write(tmp_path / "out")
    assert caught.value.exit_code == 1
    assert not list((tmp_path / "out").glob(".*.part"))
    assert not (tmp_path / "out" / "contrast.npy").exists()


def test_a_disk_that_is_full_before_the_first_line_is_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(generation, "Journal", refuse)
    with pytest.raises(WriteError, match=r"Cannot write .*out \(No space left on device\). Free some space"):
        write(tmp_path / "out")


@pytest.mark.slow
def test_a_small_disk_is_one_line(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    size = "size=100k"  # the clean images fit, their corruptions do not
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no disk can be mounted here; the test above says the same")
    try:
        images = np.zeros((20, 32, 32, 3), np.uint8)
        with pytest.raises(WriteError, match="No space left on device"):
            generation.generate(
                images, LABELS[:1].repeat(20), disk / "out", content_hash="h", corruptions="fog"
            )
        assert sorted(path.name for path in (disk / "out").iterdir()) == [
            ".generation.jsonl",
            "clean.npy",
            "labels.npy",
        ]
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.slow
def test_a_second_process_is_refused(tmp_path: Path) -> None:
    with (
        alone_in(tmp_path / "out"),
        pytest.raises(
            WriteError, match=r"Another process is writing to .*out. Wait until it ends, or choose another"
        ),
    ):
        write(tmp_path / "out")
    assert not (tmp_path / "out").exists()
