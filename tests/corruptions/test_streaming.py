"""A folder of pictures streams: what a run needs does not grow with their number."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.memory import PRINT_PEAK
from tests.net_files import write_net

FEW, MANY = 600, 3200  # the fewer are enough for shards of the largest size
# Freed blocks of so many bytes go back at once; left to itself, glibc keeps up to 300 MiB of them, as it happens.
GIVEN_BACK = {"MALLOC_MMAP_THRESHOLD_": str(2**20)}
MORE = (MANY - FEW) * 3 * 224 * 224 / 2**20  # MiB, were they all kept as bytes
RUN = f"""
import sys
from robustbench_sdnet.cli import cli
cli.main(sys.argv[1:], standalone_mode=False)
{PRINT_PEAK}"""


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """3,200 small files of 240 x 260 pixels in two classes, and a model that costs nothing."""
    write_net(tmp_path, "cheap_net", "return images[:, :2, 0, 0]")
    generator = np.random.default_rng(0)
    for number in range(MANY):
        folder = tmp_path / "imagenet" / "val" / f"n0{number % 2}"
        folder.mkdir(parents=True, exist_ok=True)
        level = np.full((240, 260, 3), generator.integers(0, 256, 3), np.uint8)
        Image.fromarray(level).save(folder / f"p{number}.JPEG", quality=30)
    return tmp_path


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_pictures(pictures: Path) -> None:
    """Keeping the further images would take all of MORE as bytes and four times that as float32."""
    peaks = []
    for limit in (FEW, MANY):
        done = subprocess.run(
            [
                *(sys.executable, "-c", RUN, "corrupt", "--data", "imagenet", "--data-root", str(pictures)),
                *("--model", "cheap_net:net", "--corruption", "contrast", "--severity", "3", "--json"),
                *("--limit", str(limit), "--store", f"sqlite:///{pictures}/{limit}.db"),
            ],
            cwd=pictures,
            env=os.environ | GIVEN_BACK,
            capture_output=True,
            text=True,
            check=True,
        )
        assert {row["n"] for row in json.loads(done.stdout)} == {limit}
        peaks.append(int(done.stderr.split()[-1]) / 1024)
    assert peaks[1] - peaks[0] < MORE / 4, f"{peaks[0]:.0f} MiB for {FEW} images, {peaks[1]:.0f} for {MANY}"
