"""Writing a corrupted set in the published layout, killed and resumed, and reading it back."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robustbench_sdnet import corruptions
from robustbench_sdnet.corruptions import generation, journal
from robustbench_sdnet.data import load
from robustbench_sdnet.data.published import Published
from robustbench_sdnet.errors import InputError, WriteError

N = 12
IMAGES = np.random.default_rng(0).integers(0, 256, (N, 16, 16, 3)).astype(np.uint8)
LABELS = np.arange(N) % 10
NAMES = "gaussian_noise,contrast,glass_blur"


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> list[generation.Task]:
    """Run pieces in this process, and list them: starting processes that import torch is slow."""
    done: list[generation.Task] = []

    def finished(pool: object, tasks: list[generation.Task]) -> object:
        generation._start_worker(str(pool.folder), *pool.drawn)
        for task in tasks:
            yield generation._work(task)
            done.append(task)

    class Pool:
        def __init__(
            self, workers: int, context: object, start: object, arguments: tuple[str, int, str]
        ) -> None:
            self.folder, *self.drawn = arguments

        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *error: object) -> None:
            return

        def shutdown(self, **options: bool) -> None:
            return

    monkeypatch.setattr(generation, "_finished", finished)
    monkeypatch.setattr(generation, "ProcessPoolExecutor", Pool)
    monkeypatch.setattr(generation, "STEP", 5)
    return done


def write(output: Path, names: str = NAMES, **options: object) -> tuple[str, ...]:
    return generation.generate(IMAGES, LABELS, output, content_hash="h", corruptions=names, **options)


def test_layout_and_contents(tmp_path: Path, in_process: list[generation.Task]) -> None:
    assert write(tmp_path, seed=4) == ("gaussian_noise", "contrast", "glass_blur")
    assert len(in_process) == 3 * 5 * 3
    labels = np.load(tmp_path / "labels.npy")
    np.testing.assert_array_equal(labels, np.tile(LABELS, 5))
    for name in NAMES.split(","):
        array = np.load(tmp_path / f"{name}.npy")
        assert (array.shape, array.dtype) == ((5 * N, 16, 16, 3), np.uint8)
        for severity in range(1, 6):
            expected = corruptions.corrupt(IMAGES, name, severity, seed=4)
            np.testing.assert_array_equal(array[(severity - 1) * N : severity * N], expected)
    published = Published(tmp_path)
    assert published.corruptions == ("contrast", "gaussian_noise", "glass_blur")
    np.testing.assert_array_equal(
        published.images("contrast", 2, 3, 7), corruptions.corrupt(IMAGES[3:7], "contrast", 2)
    )
    assert not list(tmp_path.glob(".*.part"))


class Stopped(Exception):
    pass


def stop(written: int, total: int, corruption: str) -> None:
    if written >= 100:
        raise Stopped


def test_goes_on_where_it_was(tmp_path: Path, in_process: list[generation.Task]) -> None:
    with pytest.raises(Stopped):
        write(tmp_path / "a", report=stop)
    before = list(in_process)
    assert (tmp_path / "a" / "gaussian_noise.npy").exists()  # its 60 images were complete
    assert not (tmp_path / "a" / "contrast.npy").exists()
    with (tmp_path / "a" / journal.JOURNAL).open("a") as file:
        file.write('["contrast", 1, 5, ')  # killed while writing a line
    seen: list[tuple[int, int, str]] = []
    write(tmp_path / "a", report=lambda *done: seen.append(done))
    after = in_process[len(before) :]
    # The piece whose report raised had been noted already.
    assert not set(after) & set(before)
    assert len(set(after) | set(before)) in (44, 45)
    assert seen[0][0] >= 100
    assert seen[-1][0] == seen[-1][1] == 3 * 5 * N
    write(tmp_path / "b")
    for name in NAMES.split(","):
        assert (tmp_path / "a" / f"{name}.npy").read_bytes() == (tmp_path / "b" / f"{name}.npy").read_bytes()
    del in_process[:]
    write(tmp_path / "a")
    assert not in_process


def test_a_folder_says_whose_training_images_go_with_it(
    tmp_path: Path, in_process: list[generation.Task]
) -> None:
    """Wherever that data set lies when the folder is completed."""
    write(tmp_path / "own", "contrast", data="npz:/mine/own.npz")
    write(tmp_path / "own", data="npz:/theirs/own.npz")
    assert len(in_process) == 3 * 5 * 3
    assert load(f"cifar10c:{tmp_path / 'own'}").training_set == "npz:/mine/own.npz"
    write(tmp_path / "unsaid")
    assert load(f"cifar10c:{tmp_path / 'unsaid'}").training_set == "cifar10"


def test_a_folder_of_a_large_seed_says_so(tmp_path: Path, in_process: list[generation.Task]) -> None:
    """A seed above 10^9 was not read back: its folder counted as published, drawn by nobody knows what."""
    made = {"content_hash": "h", "corruptions": "contrast", "seed": 2**40}
    generation.generate(IMAGES, LABELS, tmp_path, **made)
    found = Published(tmp_path).generated
    assert found is not None
    assert (found.seed, found.versions) == (2**40, {"contrast": 1})


def test_what_was_deleted_is_made_again(tmp_path: Path, in_process: list[generation.Task]) -> None:
    write(tmp_path, "contrast")
    content = (tmp_path / "contrast.npy").read_bytes()
    (tmp_path / "contrast.npy").unlink()
    write(tmp_path, "contrast")
    assert (tmp_path / "contrast.npy").read_bytes() == content


def test_what_was_deleted_is_made_again_by_several_runs(
    tmp_path: Path, in_process: list[generation.Task]
) -> None:
    """What the journal says of the file that is gone says nothing of the one that has begun."""
    names = "contrast,glass_blur"
    write(tmp_path, names)
    content = (tmp_path / "glass_blur.npy").read_bytes()
    (tmp_path / "glass_blur.npy").unlink()
    with pytest.raises(Stopped):
        write(tmp_path, names, report=stop)
    assert not (tmp_path / "glass_blur.npy").exists()
    write(tmp_path, names)
    assert (tmp_path / "glass_blur.npy").read_bytes() == content


def test_a_new_version_is_made_again(
    tmp_path: Path, in_process: list[generation.Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, "contrast")
    newer = replace(corruptions.CORRUPTIONS["contrast"], version=99)
    monkeypatch.setattr(journal, "corruption_info", lambda name: newer)
    del in_process[:]
    with pytest.raises(Stopped):
        write(tmp_path, "contrast", report=lambda written, *rest: stop(2 * written, *rest))
    assert not (tmp_path / "contrast.npy").exists()  # neither the older version nor a part of the newer one
    write(tmp_path, "contrast")
    assert len(in_process) == 14  # and the one whose report stopped the run
    assert (tmp_path / "contrast.npy").exists()


def test_an_older_version_is_made_again_where_a_newer_one_wrote(
    tmp_path: Path, in_process: list[generation.Task], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal knows its pieces from before, and took what the newer version wrote for them."""
    write(tmp_path, "contrast")
    newer = replace(corruptions.CORRUPTIONS["contrast"], version=99)
    with monkeypatch.context() as once:
        once.setattr(journal, "corruption_info", lambda name: newer)
        write(tmp_path, "contrast")
    del in_process[:]
    write(tmp_path, "contrast")
    assert len(in_process) == 15
    made = Published(tmp_path).generated
    assert made
    assert made.versions == {"contrast": corruptions.CORRUPTIONS["contrast"].version}


@pytest.mark.parametrize("name", ["clean", "labels"])
def test_images_and_labels_that_were_cut_off_are_written_again(
    tmp_path: Path, in_process: list[generation.Task], name: str
) -> None:
    """Workers could not read the images, and labels that were cut off passed for a finished folder."""
    write(tmp_path, "contrast")
    file = tmp_path / f"{name}.npy"
    content = file.read_bytes()
    for kept in (0, len(content) - 1):
        file.write_bytes(content[:kept])
        write(tmp_path, "contrast,glass_blur")
        assert file.read_bytes() == content
    assert Published(tmp_path).corruptions == ("contrast", "glass_blur")


def test_a_file_that_was_cut_off_is_made_again(tmp_path: Path, in_process: list[generation.Task]) -> None:
    write(tmp_path, "contrast")
    whole = (tmp_path / "contrast.npy").read_bytes()
    for kept in (0, 60, 1000, len(whole) - 1):
        (tmp_path / "contrast.npy").write_bytes(whole[:kept])
        del in_process[:]
        write(tmp_path, "contrast")
        assert len(in_process) == 15
        assert (tmp_path / "contrast.npy").read_bytes() == whole


@pytest.mark.parametrize("moment", ["made", "noted"])
def test_a_kill_at_any_moment_leaves_what_goes_on(
    tmp_path: Path, in_process: list[generation.Task], monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    """While the array is made, before it has its header; and between its hash and its name, of a newer version."""

    def killed(*given: object, **options: object) -> None:
        raise KeyboardInterrupt

    def begun(path: Path, *given: object) -> None:
        path.touch()
        raise KeyboardInterrupt

    write(tmp_path, "contrast")
    newer = replace(corruptions.CORRUPTIONS["contrast"], version=99)
    monkeypatch.setattr(journal, "corruption_info", lambda name: newer)
    with monkeypatch.context() as once:
        if moment == "made":
            (tmp_path / "contrast.npy").unlink()
            once.setattr(np.lib.format, "open_memmap", begun)
        else:
            once.setattr(
                Path,
                "replace",
                lambda own, to: killed() if to.name == "contrast.npy" else os.replace(own, to),
            )
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path, "contrast")
    write(tmp_path, "contrast")
    assert Published(tmp_path).check_files(["contrast"])


def test_folders_are_not_mixed(tmp_path: Path, in_process: list[generation.Task]) -> None:
    write(tmp_path, "contrast")
    with pytest.raises(InputError, match="other images, or with another limit, seed or table"):
        write(tmp_path, "contrast", seed=1)
    other = tmp_path / "other"
    other.mkdir()
    np.save(other / "labels.npy", LABELS)
    with pytest.raises(InputError, match="not generated here"):
        write(other, "contrast")
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="Cannot write"):
        write(tmp_path / "file" / "folder", "contrast")
    with pytest.raises(InputError, match="Unknown corruption"):
        write(tmp_path, "contras")


@pytest.mark.parametrize("count", [0, 1, 23])
def test_every_piece_is_handed_out_once(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "_work", lambda task: task)
    tasks = [generation.Task("fog", 1, start, start + 1) for start in range(count)]
    with ThreadPoolExecutor(3) as pool:
        done = list(generation._finished(pool, tasks))
    assert sorted(done, key=lambda task: task.start) == tasks


def test_worker_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generation, "STEP", 5)
    seen: list[tuple[int, int, str]] = []
    write(tmp_path, "impulse_noise", workers=1, seed=3, report=lambda *done: seen.append(done))
    assert seen[-1][0] == seen[0][1] == 5 * N
    found = Published(tmp_path).images("impulse_noise", 5)
    np.testing.assert_array_equal(found, corruptions.corrupt(IMAGES, "impulse_noise", 5, seed=3))


@pytest.mark.slow
def test_killed_in_the_middle(tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (3000, 16, 16, 3)).astype(np.uint8)
    labels = np.arange(3000) % 5
    np.savez(tmp_path / "d.npz", x_train=images, y_train=labels, x_test=images, y_test=labels)
    arguments = ["data", "generate", "cifar10c", "--data", f"npz:{tmp_path / 'd.npz'}"]
    arguments += ["--corruption", "noise", "--output", str(tmp_path / "out"), "--json"]
    code = f"from robustbench_sdnet.cli import main; main({arguments!r})"
    process = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    notes = tmp_path / "out" / journal.JOURNAL
    while not (notes.exists() and notes.read_text().count("shot_noise") >= 2):
        assert process.poll() is None
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = (tmp_path / "out" / "gaussian_noise.npy").stat().st_mtime_ns
    answer = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert json.loads(answer.stdout)["images"] == 4 * 5 * 3000
    assert (tmp_path / "out" / "gaussian_noise.npy").stat().st_mtime_ns == kept
    found = Published(tmp_path / "out").images("shot_noise", 5, 2990)
    np.testing.assert_array_equal(
        found, corruptions.corrupt(images[2990:], "shot_noise", 5, 0, range(2990, 3000))
    )
