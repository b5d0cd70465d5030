"""Paths and text files from outside."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from robustbench_sdnet.errors import DataError, InputError
from robustbench_sdnet.reading.paths import check_file, path_of, read_text, user_cache

from ..store.test_database import read_only


def test_a_path_has_its_home_replaced(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert path_of("~/a") == tmp_path / "a"
    assert path_of("a/b") == Path("a/b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("~nobody-of-that-name/x", "No user has the name"),
        ("-", "not a path here"),
        ("", r"^A name or path is empty, .* The working folder is '\.'\.$"),
        ("a\0b", "no NUL byte"),
        ("x" * 5000, "is not a path here"),
    ],
)
def test_what_is_no_path_is_refused(text, message):
    with pytest.raises(InputError, match=message):
        path_of(text)


def test_a_folder_that_may_not_be_entered_is_refused_but_a_cache_need_not_be_used(tmp_path, monkeypatch):
    locked = tmp_path / "locked"
    (locked / "run").mkdir(parents=True)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    try:
        with read_only(tmp_path):  # which lets nobody enter what it holds
            for path in (locked, locked / "run", locked / "none"):
                with pytest.raises(
                    InputError, match=rf"There is no access to '{path}' \(Permission denied\)\.$"
                ):
                    path_of(path)
            monkeypatch.setenv("HOME", str(locked))
            assert user_cache() == locked / ".cache" / "robustbench_sdnet"
    finally:
        locked.chmod(0o700)


def test_only_files_are_read(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, what in (
        (tmp_path, "a folder"),
        (tmp_path / "pipe", "a device or a pipe"),
        (Path("/dev/zero"), "device"),
    ):
        with pytest.raises(DataError, match=what):
            check_file(path, DataError)
    with pytest.raises(InputError, match=r"Cannot read '.*none' \(No such file or directory\)\.$"):
        check_file(tmp_path / "none")


def test_a_file_that_one_may_not_read_is_said_to_be_one(tmp_path):
    shut = tmp_path / "shut"
    shut.write_text("")
    shut.chmod(0)
    (tmp_path / "open").mkdir()
    with (
        read_only(tmp_path / "open"),
        pytest.raises(InputError, match=r"Cannot read '.*shut' \(Permission denied\)\.$"),
    ):
        check_file(shut)


def test_texts_are_bounded_and_utf8(tmp_path):
    file = tmp_path / "text"
    file.write_bytes(b"abc\xff")
    with pytest.raises(InputError, match=r"not UTF-8 text \(byte 3\)"):
        read_text(file)
    file.write_text("four")
    assert read_text(file, limit=4) == "four"
    with pytest.raises(InputError, match="4 bytes long; such files have at most 3"):
        read_text(file, limit=3)
