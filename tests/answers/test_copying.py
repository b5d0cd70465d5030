"""A copied store says what the first says, in few transactions however many cells it has."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from robustbench_sdnet.answers import copying
from robustbench_sdnet.errors import StoreError
from robustbench_sdnet.store.database import Database
from robustbench_sdnet.store.store import Store
from tests.reports import large_store
from tests.store.made import CELL


@pytest.mark.parametrize("at_once", [100_000, 2_000])
def test_cells_are_copied_many_at_a_time(tmp_path, monkeypatch, at_once) -> None:
    url, path = f"sqlite:///{tmp_path}/results.db", tmp_path / "copy.db"
    monkeypatch.setattr(large_store, "LAMBDAS", large_store.LAMBDAS[:1])
    cells = large_store.fill(url, models=1)
    with Store(url) as store:
        answered = list(store.cells())[::20]
        finding = {"check": "noise_wins", "verdict": "fail", "value": 3.0, "sentence": "x", "images": 20}
        for cell_id in answered:
            store.add_verdicts(cell_id, [finding])
        # Of cells one may be asked on more images than the others, and not be answered yet.
        store.add_cells({answered[0]: store.cells()[answered[0]]}, asked=500)
    writes, run = [], Database.run

    def counted(self, what, *args, **kwargs):
        writes.append(what)
        return run(self, what, *args, **kwargs)

    monkeypatch.setattr(Database, "run", counted)
    monkeypatch.setattr(copying, "AT_ONCE", at_once)
    copying.copy_store(url, path)
    batches = -(-cells * 100 // at_once)
    assert writes.count("write") <= 3 * batches + len(answered)
    with Store(url) as store, Store(f"sqlite:///{path}") as copy:
        assert copy.answered(_all) == store.answered(_all)
        assert len(copy.answered(_all)) == cells == 96


def test_a_copy_that_did_not_get_into_its_file_is_no_copy(tmp_path, monkeypatch) -> None:
    """As on a full disk: SQLite closes without a word, and what was written last stays in a file beside."""
    url, path = f"sqlite:///{tmp_path}/results.db", tmp_path / "copy.db"
    with Store(url) as store, contextlib.ExitStack() as readers:
        store.add_cells({CELL.id: CELL}, 4)
        add_cells = Store.add_cells

        def read_meanwhile(self, *args, **kwargs):
            add_cells(self, *args, **kwargs)
            other = readers.enter_context(contextlib.closing(sqlite3.connect(path, isolation_level=None)))
            other.execute("BEGIN")
            other.execute("SELECT * FROM cells").fetchall()

        monkeypatch.setattr(Store, "add_cells", read_meanwhile)
        with pytest.raises(
            StoreError, match=r"copy\.db: what was written last is still in copy\.db-wal\. Free"
        ):
            copying.copy_store(url, path)


def _all(stored):
    shards = [(one.start, one.stop, one.outcome.encode(), one.cost) for one in stored.shards]
    return stored.id, stored.cell, stored.asked, shards, stored.verdicts
