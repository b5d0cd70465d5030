"""`--devices N`: several training processes on this machine, started and watched by torchrun's own launcher."""

from __future__ import annotations

import logging
import os
import sys
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path

from ...errors import InputError, TrainingError

USAGE = 2  # exit code


def launch(devices: int, arguments: Sequence[str]) -> int:
    """Run `python -m robustbench_sdnet` with these arguments in several processes of this machine.

    The first process alone writes to the terminal. Ctrl-C, SIGTERM and SIGHUP are handed on to all.

    Returns:
        0, or the exit code of the first process where that one failed and has said why.

    Raises:
        InputError: the processes found the command line wrong.
        TrainingError: another process failed, or any was killed.
    """
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # What failed is said below, in a line.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // devices)))
    with tempfile.TemporaryDirectory() as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=devices,
            run_id=uuid.uuid4().hex,  # without one torch draws it too, with a warning
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            logs_specs=DefaultLogsSpecs(logs, redirects={rank: Std.ALL for rank in range(1, devices)}),
        )
        try:
            elastic_launch(config, sys.executable)("-m", "robustbench_sdnet", *arguments)
        except SignalException:
            return 1  # the first process has saved and said so
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            first = error.failures.get(0)
            if first is not None and first.exitcode > 0:
                return int(first.exitcode)
            said = "".join(path.read_text() for path in Path(logs).rglob(f"{rank}/stderr.log"))
            if failure.exitcode == USAGE:
                raise InputError(_last(said)) from None
            code = failure.exitcode
            how = f"ended with exit code {code}" if code > 0 else f"was killed by {failure.signal_name()}"
            raise TrainingError(_account(rank, devices, how, said if code > 0 else "")) from None
    return 0


def _last(written: str) -> str:
    last = next((line for line in reversed(written.splitlines()) if line.strip()), "")
    return last.removeprefix("Error: ")


def _account(rank: int, devices: int, how: str, written: str) -> str:
    said = f" It said: {_last(written)}" if _last(written) else ""
    return (
        f"Training process {rank + 1} of {devices} {how}, so all have ended; what was saved stays. Go on with "
        f"--resume.{said}"
    )
