"""Fits of lambda policies on disk."""

from __future__ import annotations

import pytest

from robustbench_sdnet.errors import StoreError, WriteError
from robustbench_sdnet.store.fits import Fits


def test_a_fit_is_read_back_with_its_picture_beside_it(tmp_path):
    fits = Fits(tmp_path / "fits")
    assert fits.read("a") is None
    fits.keep("a", '{"lam": 0.1}', lambda path: path.write_bytes(b"picture"))
    assert fits.read("a") == '{"lam": 0.1}'
    assert sorted(path.name for path in fits.folder.iterdir()) == ["a.json", "a.png"]


def test_what_cannot_be_read_or_kept_is_named(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(StoreError, match=r"Cannot read the lambda fit .*a\.json"):
        Fits(tmp_path).read("a")
    with pytest.raises(WriteError, match="Cannot write"):
        Fits(tmp_path / "a.json" / "under").keep("b", "{}", lambda path: None)
