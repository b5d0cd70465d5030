"""Threads wait briefly, unless the user has said how long."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from robustbench_sdnet.waiting import BRIEF, wait_briefly

SHOW = "import robustbench_sdnet, os, sys; assert 'torch' not in sys.modules; print(os.environ['GOMP_SPINCOUNT'])"


def test_it_is_set_by_the_package_before_torch_is_imported():
    bare = {name: text for name, text in os.environ.items() if name not in ("OMP_WAIT_POLICY", *BRIEF)}
    run = subprocess.run([sys.executable, "-c", SHOW], env=bare, capture_output=True, text=True)
    assert run.stdout == "1000\n", run.stderr


@pytest.mark.parametrize("name", ["OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "KMP_BLOCKTIME"])
def test_what_the_user_has_set_stands(name):
    environment = {name: "active"}
    wait_briefly(environment)
    assert environment == {name: "active"}
