"""Fits of lambda policies on disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from robustbench_sdnet.errors import StoreError, WriteError
from robustbench_sdnet.store.fits import Fits
from robustbench_sdnet.store.store import Store


def test_a_fit_is_read_back_with_its_picture_beside_it(tmp_path):
    fits = Fits(tmp_path / "fits")
    assert fits.read("a") is None
    fits.keep("a", '{"lam": 0.1}', lambda path: path.write_bytes(b"picture"))
    assert fits.read("a") == '{"lam": 0.1}'
    assert sorted(path.name for path in fits.folder.iterdir()) == ["a.json", "a.png", "a.sha256"]


def test_fits_lie_beside_a_file_and_of_a_server_in_the_folder_of_runs(tmp_path):
    with Store(f"sqlite:///{tmp_path}/a.db") as store:
        assert store.fits(Path("mine")).folder == tmp_path / "a.fits"
        store.path = None  # as of a server
        assert store.fits(Path("mine")).folder == Path("mine/results.fits")


def test_what_cannot_be_read_or_kept_is_named(tmp_path):
    (tmp_path / "a.json").mkdir()
    with pytest.raises(StoreError, match=r"Cannot read the lambda fit .*a\.json"):
        Fits(tmp_path).read("a")
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="Cannot write"):
        Fits(tmp_path / "file" / "under").keep("b", "{}", lambda path: None)


def test_a_damaged_fit_is_made_again_and_one_of_an_older_version_is_taken(tmp_path):
    fits = Fits(tmp_path)
    text = '{"slope": 0.125}'
    fits.keep("a", text, lambda path: None)
    path = tmp_path / "a.json"
    for at in range(len(text)):
        for bit in range(8):
            raw = bytearray(text.encode())
            raw[at] ^= 1 << bit
            path.write_bytes(raw)
            assert fits.read("a") is None
    path.write_text(text)
    assert fits.read("a") == text
    (tmp_path / "a.sha256").unlink()
    assert fits.read("a") == text
