"""What tests share: small data sets, small models, and where golden files lie."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
from pathlib import Path

import numpy as np
import pytest

from .tiny_data import write_tiny

pytest_plugins = ("tests.tiny_setting", "tests.database_server", "pytester")

# Tiny networks gain nothing from threads, which spin when cores are shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What nohup and a shell's & leave ignored, tests raise themselves, in this process and in those that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
if hasattr(signal, "SIGHUP"):
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.environ["WANDB_MODE"] = "offline"  # no test talks to a server
GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Every test draws the same numbers, alone or among others."""
    random.seed(0)
    np.random.seed(0)
    if "torch" in sys.modules:  # one that a test imports itself begins at a fixed seed
        sys.modules["torch"].manual_seed(0)


@pytest.fixture(scope="session")
def golden() -> Path:
    """The folder of reference outputs, described in its README."""
    return GOLDEN


@pytest.fixture
def tiny_npz(tmp_path: Path) -> Path:
    """The data set of `write_tiny`, 60 images to train on, 30 to test."""
    path = tmp_path / "tiny.npz"
    write_tiny(path, 60, 30)
    return path


@pytest.fixture(scope="session")
def browser():
    """The system's Chromium, headless."""
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("No Chromium is installed. Run 'apt-get install chromium'.")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture
def attack_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No look whether a model draws random numbers, for tests that follow what an attack asks it."""
    monkeypatch.setattr("robustbench_sdnet.attacks.native.wrapper.warn_of_draws", lambda *asked: None)
