"""A process that has imported everything once, and answers each command line in a fork of itself.

One JSON object a line on standard input: `argv`, `cwd`, `cpu` and `wall` seconds. One a line back: `code` (negative:
the signal that ended it), `out`, `err`, `hung`. The network is closed in the forks: whatever connects gets an error.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import pkgutil
import resource
import signal
import socket
import sys
import time
import warnings
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, NoReturn


def _no_network(*_: Any, **__: Any) -> NoReturn:
    raise OSError(101, "Network is unreachable")


def _import_everything() -> None:
    import matplotlib.backends.backend_agg
    import pandas
    import torch

    import robustbench_sdnet

    torch.set_num_threads(1)
    for module in pkgutil.walk_packages(robustbench_sdnet.__path__, "robustbench_sdnet."):
        if not module.name.endswith("__main__"):
            with contextlib.suppress(ImportError):
                importlib.import_module(module.name)
    assert pandas, matplotlib


def _child(case: dict[str, Any], out: int, err: int) -> NoReturn:
    os.setsid()
    os.chdir(case["cwd"])
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (out, 1), (err, 2)):
        os.dup2(source, target)
    sys.stdout = os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = os.fdopen(2, "w", encoding="utf-8", errors="backslashreplace", closefd=False)
    resource.setrlimit(resource.RLIMIT_CPU, (case["cpu"], case["cpu"] + 1))
    resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))
    os.environ.update(HOME=case["cwd"], XDG_CACHE_HOME=case["cwd"], SDNET_BENCH_CACHE=f"{case['cwd']}/zoo")
    sys.path.insert(0, "")
    socket.socket.connect = _no_network
    socket.getaddrinfo = _no_network
    sys.argv = ["sdnet-bench", *case["argv"]]
    from robustbench_sdnet.cli import main

    code = 70
    try:
        main(case["argv"])
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 71
    except BaseException:  # noqa: BLE001  whatever passes main is what the test looks for
        import traceback

        traceback.print_exc()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _answer(case: dict[str, Any]) -> dict[str, Any]:
    with TemporaryFile() as out, TemporaryFile() as err:
        child = os.fork()
        if not child:
            _child(case, out.fileno(), err.fileno())
        end, status, hung = time.monotonic() + case["wall"], None, False
        while status is None:
            done, found = os.waitpid(child, os.WNOHANG)
            if done:
                status = found
            elif time.monotonic() > end:
                hung = True
                os.kill(child, signal.SIGKILL)
                status = os.waitpid(child, 0)[1]
            else:
                time.sleep(0.005)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child, signal.SIGKILL)
        texts = []
        for stream in (out, err):
            stream.seek(0)
            texts.append(stream.read(1 << 20).decode("utf-8", "backslashreplace"))
    code = os.waitstatus_to_exitcode(status)
    hung = hung or code in (-signal.SIGXCPU, -signal.SIGKILL)
    return {"code": code, "out": texts[0], "err": texts[1], "hung": hung}


def main() -> None:
    """Serve until standard input ends."""
    warnings.simplefilter("ignore")  # a complaint shows the end of what is printed: the command's own words
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    os.chdir(Path(__file__).parent)
    _import_everything()
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
