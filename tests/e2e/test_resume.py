"""kill -9 in the middle of `corrupt`: finished shards stay, missing ones are made, reports are equal byte for byte."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from ..tiny_data import write_tiny

COMMAND = [sys.executable, "-m", "robustbench_sdnet"]
CORRUPT = ["corrupt", "--corruption", "noise,contrast", "--severity", "1-5", "--lambda", "0.1,0.5"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with a data set of 1,200 images and two small models trained on it by the command."""
    folder = tmp_path_factory.mktemp("project")
    write_tiny(folder / "tiny.npz", 60, 1200)
    for arch in ("sdnet20", "resnet20"):
        settings = ["--set", "model.width=4", "--output", f"runs/tiny-{arch}"]
        _run(["train", "npz:tiny.npz", arch, "--recipe", "smoke", *settings], folder)
    return folder


def _run(arguments, folder):
    done = subprocess.run([*COMMAND, *arguments], cwd=folder, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _shards(path):
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection, connection:
        rows = connection.execute("select cell_id, start, stop, finished_at from shards").fetchall()
    return {tuple(row[:3]): row[3] for row in rows}


def _kill_after(shards, arguments, folder, store):
    process = subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 200
    while process.poll() is None and time.monotonic() < deadline:
        if store.exists() and len(_seen(store)) >= shards:
            os.kill(process.pid, signal.SIGKILL)
            break
        time.sleep(0.02)
    return process.wait()


def _seen(store):
    try:
        return _shards(store)
    except sqlite3.OperationalError:  # the tables are not there yet
        return {}


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(project):
    store = project / "killed.db"
    killed = [*CORRUPT, "--store", f"sqlite:///{store}"]
    assert _kill_after(20, killed, project, store) == -signal.SIGKILL
    before = _shards(store)
    assert len(before) >= 20
    _run(killed, project)
    after = _shards(store)
    assert len(after) > len(before), "the kill came before the end"
    assert {key: after[key] for key in before} == before, "finished shards keep their time stamps"

    undisturbed = f"sqlite:///{project / 'undisturbed.db'}"
    _run([*CORRUPT, "--store", undisturbed], project)
    for kind in ("csv", "json"):
        report = [_run(["report", "to", kind, "--store", url], project) for url in (killed[-1], undisturbed)]
        assert report[0] == report[1]
        assert len(report[0]) > 1000


@pytest.mark.slow
def test_the_four_commands_as_typed_after_training(project):
    _run(["corrupt", "--severity", "1-5", "--corruption", "contrast", "--limit", "20"], project)
    _run(["attack", "pgd", "--eps", "8/255", "--limit", "20"], project)
    written = _run(["report", "to", "markdown"], project)
    assert "runs/report.md" in written
    text = (project / "runs" / "report.md").read_text()
    assert "tiny-sdnet20" in text
    assert "8/255" in text
    rows = json.loads(_run(["report", "to", "json"], project))
    kinds = {row["kind"] for row in rows}
    assert kinds == {"clean", "corruption", "noise", "attack"}
    assert {row["data"] for row in rows} == {"npz:tiny.npz"}
    assert {row["n"] for row in rows} == {20}
    status = json.loads(_run(["status", "--json"], project))
    assert sum(row["cells"] for row in status) == len(rows)
    assert all(row["unfinished"] == 0 for row in status)


def test_bad_checkpoints_are_one_line(project, tmp_path):
    good = (project / "runs" / "tiny-sdnet20" / "last.safetensors").read_bytes()
    truncated = tmp_path / "cut.safetensors"
    truncated.write_bytes(good[:-100])
    hostile = tmp_path / "evil.pth.tar"
    hostile.write_bytes(b"cos\nsystem\n(S'touch hacked'\ntR.")
    for path in (truncated, hostile):
        done = subprocess.run(
            [*COMMAND, "corrupt", "--data", "npz:tiny.npz", "--model", str(path), "--limit", "5"],
            cwd=project,
            capture_output=True,
            text=True,
        )
        assert done.returncode in (1, 2)
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert path.name in done.stderr
    assert not (project / "hacked").exists()
