"""Write a whole corrupted data set in the published layout: in parallel, resumable, every file complete or absent."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.hashes import read_hashes, stamp, write_hashes
from ..files import cannot_write, sha256_of, whole
from .journal import Journal, Task
from .parameters import check_size
from .registry import expand

SEVERITIES = (1, 2, 3, 4, 5)
STEP = 1000


@dataclass(frozen=True, slots=True)
class Done:
    """Progress: images written before this run, by now, and in all; and the corruption at hand."""

    before: int
    written: int
    total: int
    corruption: str


def generate(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    output: Path,
    *,
    content_hash: str,
    corruptions: str | Iterable[str] = "all",
    seed: int = 0,
    workers: int | None = None,
    report: Callable[[Done], None] = lambda done: None,
) -> tuple[str, ...]:
    """Write `<corruption>.npy` (5 n, h, w, 3) for all severities, `labels.npy` (5 n,) and `clean.npy`.

    Finished pieces are noted in a journal, so that a run that was killed goes on where it was. A file has its name only
    when it is complete.

    Args:
        images: (n, h, w, 3) uint8; sample ids are positions.
        labels: (n,) integers.
        output: the folder; made where it is missing.
        content_hash: what identifies the images, so that a folder never mixes two data sets.
        corruptions: names and groups.
        seed: of the draws.
        workers: processes; None takes every core.
        report: told of every piece.

    Returns:
        The corruptions in the folder after this call.

    Raises:
        InputError: unknown names, sizes without parameters, a folder that holds something else.
        WriteError: the folder cannot be written.
    """
    names = expand(corruptions)
    check_size(images.shape[1], images.shape[2])
    tasks = [
        Task(name, severity, start, min(start + STEP, len(images)))
        for name in names
        for severity in SEVERITIES
        for start in range(0, len(images), STEP)
    ]
    try:
        output.mkdir(parents=True, exist_ok=True)
        journal = Journal(output, {"content": content_hash, "seed": seed, "shape": list(images.shape)})
        _write(output / "labels.npy", np.tile(labels.astype(np.int64), len(SEVERITIES)))
        _write(output / "clean.npy", images)
        _run(tasks, journal, seed, workers or os.cpu_count() or 1, report)
    except OSError as error:
        raise cannot_write(output, error) from error
    return names


def _run(
    tasks: list[Task], journal: Journal, seed: int, workers: int, report: Callable[[Done], None]
) -> None:
    """Do what is missing, a few pieces ahead of the workers, and give a corruption its name when it is complete."""
    missing = [task for task in tasks if not journal.has(task)]
    left = {task.corruption: 0 for task in tasks}
    for task in missing:
        left[task.corruption] += 1
    total = sum(task.stop - task.start for task in tasks)
    before = written = total - sum(task.stop - task.start for task in missing)
    report(Done(before, written, total, ""))
    for name in left:
        if left[name]:
            _grow(journal, name)
        elif not journal.file(name).exists():
            _complete(journal, name)
    if not missing:
        return
    context = multiprocessing.get_context("spawn")
    start = (str(journal.folder), seed)
    with ProcessPoolExecutor(min(workers, len(missing)), context, _start_worker, start) as pool:
        try:
            for task in _in_order(pool, missing, 2 * workers):
                journal.add(task)
                left[task.corruption] -= 1
                if not left[task.corruption]:
                    _complete(journal, task.corruption)
                written += task.stop - task.start
                report(Done(before, written, total, task.corruption))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _in_order(pool: Executor, tasks: list[Task], ahead: int) -> Iterator[Task]:
    """Tasks as they finish, never more than `ahead` handed out."""
    waiting = iter(tasks)
    running: set[Future[Task]] = {pool.submit(_work, task) for task in islice(waiting, ahead)}
    while running:
        finished, running = wait(running, return_when=FIRST_COMPLETED)
        running |= {pool.submit(_work, task) for task in islice(waiting, len(finished))}
        for future in finished:
            yield future.result()


def _grow(journal: Journal, name: str) -> None:
    """An empty array to write into, or the one that was begun; never over a finished file's name."""
    part, file = journal.part(name), journal.file(name)
    if file.exists():  # pieces of it are of another version: they are made anew
        file.replace(part)
    if not part.exists():
        n, *shape = journal.shape
        np.lib.format.open_memmap(part, "w+", np.uint8, (len(SEVERITIES) * n, *shape)).flush()


def _complete(journal: Journal, name: str) -> None:
    """Give a corruption its name once its bytes are on disk, and note its hash."""
    part, file = journal.part(name), journal.file(name)
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())
    part.replace(file)
    noted = read_hashes(journal.folder)
    noted[name] = {"sha256": sha256_of(file), "stamp": stamp(file)}
    write_hashes(journal.folder, noted)


def _write(path: Path, array: NDArray[Any]) -> None:
    """Write an array whole, unless it is there."""
    if not path.exists():
        with whole(path) as file:
            np.save(file, array)


_worker: tuple[Path, int, NDArray[np.uint8]]


def _start_worker(folder: str, seed: int) -> None:
    global _worker
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _worker = Path(folder), seed, np.load(Path(folder) / "clean.npy", mmap_mode="r")


def _work(task: Task) -> Task:
    """Corrupt a piece into its place. Runs in a worker."""
    from .pipeline import corrupt

    folder, seed, images = _worker
    ids = range(task.start, task.stop)
    found = corrupt(images[task.start : task.stop], task.corruption, task.severity, seed, ids)
    array = np.lib.format.open_memmap(folder / f".{task.corruption}.npy.part", "r+")
    first = (task.severity - 1) * len(images) + task.start
    array[first : first + len(found)] = found
    array.flush()
    return task
