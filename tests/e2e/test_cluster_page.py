"""The page on clusters: what its Slurm script starts and where, and that Ray and we take the options it gives."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from pathlib import Path

import click
import pytest

from robustbench_sdnet.cli import cli

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")
SCRIPT = re.findall(r"^```bash\n(#!/bin/bash\n.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
STAND_INS = {
    "scontrol": '[ "$*" = "show hostnames n[1-$SLURM_NNODES]" ] && seq -f n%g $SLURM_NNODES',
    "srun": 'echo "$SRUN_CPUS_PER_TASK $*" >> "$SAID"',
    "sleep": "exit 0",
}
OURS = "sdnet-bench study cifar10/sdnet20 --engine ray --ray-address"


def started(folder: Path, nodes: int) -> list[str]:
    """What the script asks Slurm to start on so many nodes, in order of the text."""
    (script,) = SCRIPT
    for name, body in STAND_INS.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    (folder / "job").write_text(script)
    environment = os.environ | {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "SAID": str(folder / "said"),
        "SLURM_JOB_NODELIST": f"n[1-{nodes}]",
        "SLURM_NNODES": str(nodes),
        "SLURM_CPUS_PER_TASK": "64",
    }
    done = subprocess.run(
        ["bash", "job"], cwd=folder, env=environment, capture_output=True, text=True, timeout=60
    )  # its pipes are open until all that it started in the background has ended
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return sorted((folder / "said").read_text().splitlines())


def test_the_slurm_script_is_bash_and_starts_ray_on_every_node_and_one_driver(tmp_path):
    (script,) = SCRIPT
    checked = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True)
    assert (checked.returncode, checked.stderr) == (0, "")
    head = "64 --nodes=1 --ntasks=1 -w n1 ray start --head --port 6379 --block"
    driver = f"64 --overlap --nodes=1 --ntasks=1 -w n1 {OURS} n1:6379"
    others = "64 --nodes=3 --ntasks=3 -x n1 ray start --address n1:6379 --block"
    for nodes, expected in ((4, [head, driver, others]), (1, [head, driver])):
        (folder := tmp_path / str(nodes)).mkdir()
        assert started(folder, nodes) == sorted(expected)


def takes(command: click.Command, words: list[str]) -> dict[str, object]:
    """The parameters that a command reads from words; a click.UsageError where it does not take them."""
    while isinstance(command, click.Group):
        found = command.get_command(click.Context(command), words[0])
        assert found is not None, words
        command, words = found, words[1:]
    return command.make_context("x", list(words)).params


def test_ray_and_we_take_what_the_page_gives_them():
    scripts = pytest.importorskip("ray.scripts.scripts")
    from ray.dashboard.modules.job.cli import job_cli_group

    lines = re.findall(r"\bray (start [^&\n]*)", PAGE)
    given = [takes(scripts.cli, shlex.split(line)) for line in lines]
    assert [(bool(one["head"]), bool(one["address"])) for one in given] == [(True, False), (False, True)] * 2
    (line,) = re.findall(r"^ray job (submit .*)$", PAGE, re.MULTILINE)
    job = takes(job_cli_group, shlex.split(line))
    assert shlex.join(job["entrypoint"]) == f"{OURS} auto"
    assert (job["working_dir"], job["entrypoint_num_gpus"]) == (".", 0.1)
    asked = takes(cli, list(job["entrypoint"])[1:])
    assert (asked["models"], asked["engine"], asked["ray_address"]) == (("cifar10/sdnet20",), "ray", "auto")
    with pytest.raises(click.UsageError):
        takes(scripts.cli, ["start", "--heed"])
