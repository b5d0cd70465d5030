"""Whatever is typed and whatever a file holds: one clear line, exit code 0, 1 or 2, and an end.

Every line and every file is drawn from a fixed seed. What fails prints its command line, which can be run by itself in
the folder that `world.make` makes. FUZZ_SEED draws others.
"""

from __future__ import annotations

import os
import shlex
import shutil
import time
from collections.abc import Iterator
from itertools import islice

import pytest

from .files import cases
from .lines import lines
from .world import Server, complaint, copy, make

SEED = int(os.environ.get("FUZZ_SEED", "0"))
LINES, FILES, CHUNK = 600, 260, 20
SECONDS, LEAST = 60, 20  # of the slice that every run of the tests takes, and how many cases it has at least

RUN = "--data npz:tiny.npz --model runs/sdnet --limit 2"
MEANINGLESS = (
    f"attack pgd --eps 1e999999999 {RUN}",
    f"attack pgd --eps 1e-999999999 {RUN}",
    f"attack pgd --norm l2 --eps 1e400 {RUN}",
    f"attack pgd --restarts {10**30} {RUN}",
    f"corrupt --lambda 1e999999999 {RUN}",
    f"corrupt --lambda 0:1e999999:1e-999999 {RUN}",
    f"corrupt --level 1e999999999 {RUN}",
    f"corrupt --device auto:1 {RUN}",
    f"corrupt --store postgresql://h:abc/d {RUN}",
    f"corrupt --store sqlite:///x.db?timeout=abc {RUN}",
    "corrupt --data npz:tiny.npz --model __main__:x",
    "corrupt --data npz:tiny.npz --model robustbench_sdnet.cli:main",
    "corrupt --data npz:~nouser/x",
    "corrupt --data npz:tiny.npz --data-root ~nouser/x",
    "report to html --output ~nouser/x --store sqlite:///s.db",
    "train npz:tiny.npz sdnet20 --recipe ~nouser/x",
    "train npz:tiny.npz sdnet20 --output ~nouser/x",
    "train npz:tiny.npz sdnet20 --set train.epochs=.inf",
    f"data generate cifar10c --data npz:tiny.npz --output o --workers {2**63 - 1}",
    "zoo fetch http://[",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """The process that has imported everything."""
    found = Server()
    yield found
    found.close()


@pytest.fixture(scope="module")
def world(server, tmp_path_factory):
    """One small thing of each kind."""
    return make(tmp_path_factory.mktemp("fuzz") / "world", server)


def tried_line(argv, server, world, folder):
    """What is wrong with a command line, or nothing."""
    return _tried(argv, server, copy(world, folder), shlex.join(argv)[:500])


def tried_file(case, server, world, folder):
    """What is wrong with a command that meets a spoilt file, or nothing."""
    name, draw, spoil = case
    argv = spoil(draw, copy(world, folder))
    return _tried(argv, server, folder, f"{name}: {shlex.join(argv)[:500]}")


def _tried(argv, server, folder, what):
    done = server.run(argv, folder)
    shutil.rmtree(folder)
    wrong = complaint(done, json_asked="--json" in argv)
    return f"{wrong}: {what}\n    {(done['err'] or done['out'])[-500:].strip()}" if wrong else ""


@pytest.mark.timeout(600)
@pytest.mark.slow
def test_a_slice(server, world, tmp_path):
    begun, wrong, tried = time.monotonic(), [], 0
    for argv, case in zip(lines(LINES, SEED), cases(LINES, SEED), strict=True):
        if time.monotonic() - begun > SECONDS and tried >= LEAST:
            break
        wrong += [
            tried_line(argv, server, world, tmp_path / "case"),
            tried_file(case, server, world, tmp_path / "case"),
        ]
        tried += 2
    assert not any(wrong), "\n".join(filter(None, wrong))


def test_what_cannot_be_meant_is_exit_code_2(server, world, tmp_path):
    found = {
        line: server.run(line.split(), copy(world, tmp_path / str(k))) for k, line in enumerate(MEANINGLESS)
    }
    assert {line: done["code"] for line, done in found.items()} == dict.fromkeys(MEANINGLESS, 2)
    assert not any(complaint(done, json_asked=False) for done in found.values())


def test_a_damaged_clean_file_of_a_folder_is_said(server, world, tmp_path):
    folder = copy(world, tmp_path / "case")
    line = "corrupt --data cifar10c:corrupted --corruption contrast --model runs/resnet --limit 2 --store sqlite:///c.db"
    assert "left out" not in server.run(line.split(), folder)["err"]
    (folder / "corrupted/clean.npy").write_bytes(b"\x93NUMPY")
    done = server.run(line.replace("c.db", "d.db").split(), folder)
    assert done["code"] == 0
    assert "clean.npy is not a readable .npy file" in done["err"]
    assert "The clean images are left out." in done["err"]


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("start", range(0, LINES, CHUNK))
def test_command_lines(server, world, tmp_path, start):
    chosen = islice(lines(LINES, SEED), start, start + CHUNK)
    wrong = [tried_line(argv, server, world, tmp_path / "case") for argv in chosen]
    assert not any(wrong), "\n".join(filter(None, wrong))


@pytest.mark.slow
@pytest.mark.timeout(3000)
@pytest.mark.parametrize("start", range(0, FILES, CHUNK))
def test_hostile_files(server, world, tmp_path, start):
    chosen = islice(cases(FILES, SEED), start, start + CHUNK)
    wrong = [tried_file(case, server, world, tmp_path / "case") for case in chosen]
    assert not any(wrong), "\n".join(filter(None, wrong))


@pytest.mark.parametrize(
    ("done", "wrong"),
    [
        ({"code": 0, "out": "{}", "err": "", "hung": False}, ""),
        ({"code": 2, "out": "", "err": "Error: no\n", "hung": False}, ""),
        ({"code": 0, "out": "[", "err": "", "hung": False}, "no JSON"),
        ({"code": 3, "out": "", "err": "", "hung": False}, "exit code 3"),
        ({"code": -11, "out": "", "err": "", "hung": False}, "exit code -11"),
        ({"code": 1, "out": "", "err": "Error: x This is a bug: y", "hung": False}, "a bug"),
        ({"code": 1, "out": "", "err": "Traceback (most", "hung": False}, "a bug"),
        (
            {"code": 1, "out": "", "err": "Error: \x1b[2J", "hung": False},
            "control characters on the terminal",
        ),
        ({"code": 2, "out": "", "err": "", "hung": False}, "0 error lines"),
        ({"code": 0, "out": "", "err": "", "hung": True}, "hangs"),
    ],
)
def test_complaints(done, wrong):
    assert complaint(done, json_asked=True) == wrong
