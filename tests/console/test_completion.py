"""What a shell completes with the tab key: commands, options and choices, and silence where there is nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


def complete(line: str) -> tuple[list[str], str]:
    """The words offered for the last word of a line, and what was said."""
    words = line.split(" ")
    environment = {
        **os.environ,
        "_SDNET_BENCH_COMPLETE": "bash_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    code = "import sys; sys.argv[0] = 'sdnet-bench'; from robustbench_sdnet.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    return [line.partition(",")[2] for line in done.stdout.split()], done.stderr


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("sdnet-bench cor", ["corrupt"]),
        ("sdnet-bench zoo ca", ["card"]),
        ("sdnet-bench attack --nor", ["--norm"]),
        ("sdnet-bench attack pgd --norm l", ["linf", "l2", "l1", "l0"]),
        ("sdnet-bench nonsense --x", []),
    ],
)
def test_words_are_completed(line, offered):
    assert complete(line) == (offered, "")
