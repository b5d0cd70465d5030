"""A folder with one small thing of each kind, and the server that runs command lines in copies of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ..tiny_data import write_tiny

ROOT = Path(__file__).resolve().parents[2]
MINE = """
import torch
class Mine(torch.nn.Module):
    def forward(self, images):
        return images.mean((2, 3)) * 5
def make():
    return Mine()
def breaks():
    raise EOFError("not today")
"""
SOUND = (
    "train npz:tiny.npz sdnet20 --recipe small.yaml --output runs/sdnet",
    "train npz:tiny.npz resnet20 --recipe small.yaml --output runs/resnet",
    "data generate cifar10c --data npz:tiny.npz --output corrupted --corruption contrast,gaussian_noise --workers 1",
    "corrupt --data npz:tiny.npz --corruption contrast --store sqlite:///s.db --lambda 0.1,label-free",
    "attack fgsm --data npz:tiny.npz --store sqlite:///s.db --limit 6 --verdicts",
)


class Server:
    """The process of `server.py`."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "100"}
        for name in ("SDNET_BENCH_DEBUG", "SDNET_BENCH_DATA"):
            environment.pop(name, None)
        self._process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("server.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self._read()

    def run(self, argv: Sequence[str], folder: Path, cpu: int = 60, wall: int = 240) -> dict[str, Any]:
        """What a command line did in a folder: code, out, err, hung."""
        assert self._process.stdin is not None
        case = {"argv": list(argv), "cwd": str(folder), "cpu": cpu, "wall": wall}
        self._process.stdin.write(json.dumps(case) + "\n")
        self._process.stdin.flush()
        found: dict[str, Any] = self._read()
        return found

    def _read(self) -> Any:
        assert self._process.stdout is not None
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def make(folder: Path, server: Server) -> Path:
    """The folder, its models trained and its store filled by the commands themselves."""
    folder.mkdir()
    write_tiny(folder / "tiny.npz", 30, 15)
    (folder / "mine.py").write_text(MINE)
    (folder / "recipe.yaml").write_text("summary: small\ntrain: {epochs: 1, lr: 0.05}\nmodel: {width: 4}\n")
    (folder / "small.yaml").write_text(
        "train: {epochs: 1, lr: 0.05, batch_size: 15, crop: 1}\nmodel: {width: 4}\n"
    )
    for line in SOUND:
        done = server.run(line.split(), folder)
        assert done["code"] == 0, (line, done)
    shutil.copy(folder / "runs/resnet/best.safetensors", folder / "old.pth")
    return folder


def copy(world: Path, folder: Path) -> Path:
    """A copy to be spoilt."""
    return Path(shutil.copytree(world, folder, symlinks=True))


def complaint(done: dict[str, Any], *, json_asked: bool) -> str:
    """What a run did that none may do; empty for a good one."""
    out, err = done["out"], done["err"]
    if done["hung"]:
        return "hangs"
    if done["code"] not in (0, 1, 2):
        return f"exit code {done['code']}"
    if "This is a bug" in err + out or "Traceback" in err + out:
        return "a bug"
    errors = [line for line in err.splitlines() if line.startswith("Error: ")]
    if len(errors) > 1 or (done["code"] == 2 and len(errors) != 1 and "Usage:" not in err):
        return f"{len(errors)} error lines"
    if any(not (char.isprintable() or char in "\n\t") for char in err + out):
        return "control characters on the terminal"
    if json_asked and done["code"] == 0:
        try:
            json.loads(out)
        except ValueError:
            return "no JSON"
    return ""
