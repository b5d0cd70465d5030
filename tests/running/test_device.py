"""What a run says of its device."""

from __future__ import annotations

import resource
import sys

import pytest

from robustbench_sdnet.running.device import peak_memory


@pytest.mark.parametrize(("system", "unit"), [("linux", 1024), ("darwin", 1)])
def test_memory_is_in_bytes_whatever_the_system_counts_in(system, unit, monkeypatch):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(resource, "getrusage", lambda who: type("Usage", (), {"ru_maxrss": 3000})())
    assert peak_memory("cpu") == 3000 * unit
