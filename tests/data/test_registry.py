"""Names, roots and what a command may check before it imports anything heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from robustbench_sdnet import data
from robustbench_sdnet.errors import InputError


def test_near_miss_is_named():
    with pytest.raises(InputError, match=r"Unknown data set 'cifar11'. Did you mean 'cifar10'"):
        data.check_name("cifar11")


@pytest.mark.parametrize(
    ("name", "match"),
    [
        ("npz:", "needs a path"),
        ("npz:/nowhere/at/all.npz", "no file or folder '/nowhere/at/all.npz'"),
        ("digits:5", "Unknown data set"),
        ("", r"Unknown data set ''\. Known: cifar10, "),
        ("mine.npz", "write npz:mine.npz"),
        ("pictures", r"is a folder\. Of classes, write imagenet in its place, and --data-root pictures\."),
        ("imagenet:my pictures", r"write imagenet in its place, and --data-root 'my pictures'\."),
    ],
)
def test_bad_names(name, match, tmp_path, monkeypatch):
    for folder in ("pictures", "my pictures"):
        (tmp_path / folder).mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=match):
        data.check_name(name)


def test_unknown_split():
    with pytest.raises(InputError, match=r"Unknown split 'tset'. Did you mean 'test'"):
        data.load("digits", "tset")


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("cifar10", "cifar10"),
        ("npz:/tmp/my data.npz", "my-data"),
        ("npz:../x/cifar10.npz", "cifar10"),
        ("npz:a b.v2.npz", "a-b.v2"),
    ],
)
def test_short_name(name, short):
    assert data.short_name(name) == short


def test_root_order(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SDNET_BENCH_DATA", raising=False)
    assert data.data_root() == tmp_path / "cache" / "robustbench_sdnet"
    monkeypatch.setenv("SDNET_BENCH_DATA", str(tmp_path / "shared"))
    assert data.data_root() == tmp_path / "shared"
    assert data.data_root(tmp_path / "given") == tmp_path / "given"


def test_checking_a_name_imports_nothing_heavy():
    code = "import sys; from robustbench_sdnet import data; data.check_name('digits'); print([*sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "'robustbench_sdnet.data.registry'" in done.stdout
    assert "'numpy'" not in done.stdout
