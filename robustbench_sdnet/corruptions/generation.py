"""Write a whole corrupted data set in the published layout: in parallel, resumable, every file complete or absent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..data.hashes import note_hashes
from ..errors import DataError, SdnetBenchError
from ..files import alone_in, cannot_write, whole
from ..interrupts import SIGNALS, handled
from ..reading.arrays import open_npy
from ..reading.numbers import seed_of
from ..specs import SEVERITIES
from .journal import Journal, Task
from .registry import check_size, expand, table_for

STEP = 1000
Report = Callable[[int, int, str], object]
"""Told of progress: images written, earlier runs included, and in all; and the corruption at hand."""


def generate(
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    output: Path,
    *,
    content_hash: str,
    data: str = "",
    corruptions: str | Iterable[str] = "all",
    seed: int = 0,
    table: str | None = None,
    workers: int | None = None,
    report: Report = lambda written, total, corruption: None,
) -> tuple[str, ...]:
    """Write `<corruption>.npy` (5 n, h, w, 3) for all severities, `labels.npy` (5 n,) and `clean.npy`.

    Finished pieces are noted in a journal, so that a run that was killed goes on where it was. A file has its name only
    when it is complete.

    Args:
        images: (n, h, w, 3) uint8; sample ids are positions.
        output: the folder; made where it is missing.
        content_hash: what identifies the images, so that a folder never mixes two data sets.
        data: the data set whose training split goes with them, noted for those who ask models about the folder.
        table: parameter set; None takes that of the images' size.
        workers: processes; None takes every core.
        report: told of every piece, see `Report`.

    Returns:
        The corruptions in the folder after this call.

    Raises:
        InputError: unknown names, sizes without parameters, a folder that holds something else.
        WriteError: the folder cannot be written, or another process writes there.
        SdnetBenchError: a worker was lost.
    """
    check_size(images.shape[1], images.shape[2])
    table = table or table_for(*images.shape[1:3])
    names = expand(corruptions, table)
    seed = seed_of(seed)
    identity = {"content": content_hash, "seed": seed, "shape": list(images.shape)}
    if table != "cifar":
        identity["table"] = table
    pieces = [(start, min(start + STEP, len(images))) for start in range(0, len(images), STEP)]
    tasks = [Task(name, severity, *piece) for name in names for severity in SEVERITIES for piece in pieces]
    with alone_in(output):
        try:
            journal = Journal(output, identity, data)
            _write(output / "labels.npy", np.tile(labels.astype(np.int64), len(SEVERITIES)))
            _write(output / "clean.npy", images)
            _run(tasks, journal, (seed, table), workers or os.cpu_count() or 1, report)
        except BrokenProcessPool:
            raise SdnetBenchError(
                "A worker process was lost: killed, or out of memory. What is finished is kept: run the same "
                "command again, with fewer --workers if it was memory."
            ) from None
        except OSError as error:
            raise cannot_write(output, error) from error
    return names


def _run(tasks: list[Task], journal: Journal, drawn: tuple[int, str], workers: int, report: Report) -> None:
    """Do what is missing, and give a corruption its name when it is complete."""
    missing = [task for task in tasks if not journal.has(task)]
    left = Counter(task.corruption for task in missing)
    total = sum(task.stop - task.start for task in tasks)
    written = total - sum(task.stop - task.start for task in missing)
    report(written, total, "")
    _reserve(journal, list(left))
    for name in dict.fromkeys(task.corruption for task in tasks):
        if not left[name] and not journal.file(name).exists():
            _complete(journal, name)
    if not missing:
        return
    with _workers(min(workers, len(missing)), journal.folder, drawn) as pool:
        for task in _finished(pool, missing):
            journal.add(task)
            left[task.corruption] -= 1
            if not left[task.corruption]:
                _complete(journal, task.corruption)
            written += task.stop - task.start
            report(written, total, task.corruption)


@contextmanager
def _workers(count: int, folder: Path, drawn: tuple[int, str]) -> Iterator[Executor]:
    """Processes that end with the block, at once where it fails: what they were at is made again."""
    others = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with handled(signal.SIG_IGN):  # a terminal that hangs up would end it, and Python warn of that
        resource_tracker.ensure_running()
    with ProcessPoolExecutor(count, context, _start_worker, (str(folder), *drawn)) as pool:
        try:
            yield pool
        except BaseException:  # an interrupt leaves no process behind either
            # Before the pool is told, which holds a lock while it waits for the others, once one was lost.
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _finished(pool: Executor, tasks: list[Task]) -> Iterator[Task]:
    """Tasks as they finish."""
    for future in as_completed([pool.submit(_work, task) for task in tasks]):
        yield future.result()


def _reserve(journal: Journal, names: Sequence[str]) -> None:
    """Arrays to write into, or those that were begun, with their space on the disk: a worker that found it full would
    die of it. Never under a finished file's name.

    Raises:
        OSError: there is no space for all of them; then none that was not begun stays.
    """
    n, *shape = journal.shape
    made = []
    try:
        for name in names:
            part, file = journal.part(name), journal.file(name)
            if file.exists():  # pieces of it are of another version, or it was cut off: they are made anew
                file.replace(part)
            if not journal.is_whole(part):
                journal.begin(name)
                made += [part, begun := part.with_suffix(".new")]
                np.lib.format.open_memmap(begun, "w+", np.uint8, (len(SEVERITIES) * n, *shape)).flush()
                begun.replace(part)  # with its header, whenever we are killed
            if hasattr(os, "posix_fallocate"):
                with part.open("r+b") as stream:
                    os.posix_fallocate(stream.fileno(), 0, part.stat().st_size)
    except OSError:
        for part in made:
            part.unlink(missing_ok=True)
        raise


def _complete(journal: Journal, name: str) -> None:
    """Give a corruption its name once its bytes are on disk, and note its hash."""
    part, file = journal.part(name), journal.file(name)
    with part.open("rb+") as stream:
        os.fsync(stream.fileno())
    note_hashes(journal.folder, {name: part})  # first: a note of an older file would refuse this one
    part.replace(file)


def _write(path: Path, array: NDArray[Any]) -> None:
    """Write an array whole, unless it is there and was not cut off."""
    with suppress(DataError):
        if open_npy(path).shape == array.shape:
            return
    with whole(path) as file:
        np.save(file, array)


_worker: tuple[Path, int, str, NDArray[np.uint8]]


def _start_worker(folder: str, seed: int, table: str) -> None:
    global _worker
    if (parent := multiprocessing.parent_process()) is not None:
        for number in SIGNALS:  # the parent's to answer: it ends the workers
            signal.signal(number, signal.SIG_IGN)
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    _worker = Path(folder), seed, table, np.load(Path(folder) / "clean.npy", mmap_mode="r")


def _end_with(parent: BaseProcess) -> None:
    """A parent that was killed cannot end its workers."""
    parent.join()
    os._exit(1)


def _work(task: Task) -> Task:
    """Corrupt a piece into its place. Runs in a worker."""
    from .pipeline import corrupt

    folder, seed, table, images = _worker
    ids = range(task.start, task.stop)
    found = corrupt(images[task.start : task.stop], task.corruption, task.severity, seed, ids, table=table)
    array = np.lib.format.open_memmap(folder / f".{task.corruption}.npy.part", "r+")
    first = (task.severity - 1) * len(images) + task.start
    array[first : first + len(found)] = found
    array.flush()
    return task
