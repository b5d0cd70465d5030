"""`--devices N`: several training processes on this machine, watched until they end. Does not import torch."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from typing import Any

from ...errors import InputError, TrainingError
from .interrupts import handled

POLL = 0.1  # seconds
PATIENCE = 30.0  # seconds in which the others may end by themselves once one process has failed
USAGE = 2  # exit code

Process = subprocess.Popen[str]


def launch(devices: int, arguments: Sequence[str]) -> int:
    """Run `python -m robustbench_sdnet` with these arguments in several processes of this machine.

    The first process alone writes to the terminal. Ctrl-C, SIGTERM and SIGHUP are handed on to all; the processes have
    sessions of their own, so that a terminal's Ctrl-C does not reach them a second time.

    Returns:
        0, or the exit code of the first process where that one failed and has said why.

    Raises:
        InputError: fewer than one device.
        TrainingError: another process failed, or any was killed.
    """
    if devices < 1:
        raise InputError(f"--devices must be at least 1, got {devices}.")
    port = _free_port()
    came: list[int] = []
    with tempfile.TemporaryFile("w+") as unseen, handled(lambda number, frame: came.append(number)):
        processes = [_start(rank, devices, port, arguments, unseen) for rank in range(devices)]
        try:
            failed = _watch(processes, came)
        finally:
            for process in processes:
                process.kill()
                process.wait()
        first = processes[0].returncode
        if failed is None or (failed == 0 and first > 0) or first == USAGE:
            return first  # what the command line lacks, every process finds
        unseen.seek(0)
        raise TrainingError(_account(failed, devices, processes[failed].returncode, unseen.read()))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(rank: int, devices: int, port: int, arguments: Sequence[str], unseen: Any) -> Process:
    environment = {"OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // devices)), **os.environ}
    environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(devices)}
    return subprocess.Popen(
        [sys.executable, "-m", "robustbench_sdnet", *arguments],
        env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
        stdout=subprocess.DEVNULL if rank else None,
        stderr=unseen if rank else None,
        text=True,
        start_new_session=True,
    )


def _watch(processes: Sequence[Process], came: list[int]) -> int | None:
    """Wait until all have ended; the rank of the first that failed, or None."""
    failed, deadline, handed_on = None, float("inf"), 0
    while any(process.poll() is None for process in processes) and time.monotonic() < deadline:
        for number in came[handed_on:]:
            handed_on += 1
            for process in processes:
                process.send_signal(number)
        if failed is None and (failed := _first_failed(processes)) is not None:
            deadline = time.monotonic() + PATIENCE
        time.sleep(POLL)
    return _first_failed(processes) if failed is None else failed


def _first_failed(processes: Sequence[Process]) -> int | None:
    """Killed ones count first: others fail because of them."""
    codes = [process.poll() or 0 for process in processes]
    worst = sorted((code > 0, rank) for rank, code in enumerate(codes) if code)
    return worst[0][1] if worst else None


def _account(rank: int, devices: int, code: int, written: str) -> str:
    how = f"ended with exit code {code}" if code > 0 else f"was killed by {_signal_name(-code)}"
    last = next((line for line in reversed(written.splitlines()) if line.strip()), "")
    said = f" It said: {last.removeprefix('Error: ')}" if last and code > 0 else ""
    return (
        f"Training process {rank + 1} of {devices} {how}, so all have ended; what was saved stays. Go on with "
        f"--resume.{said}"
    )


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
