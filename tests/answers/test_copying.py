"""A copied store says what the first says, in few transactions however many cells it has."""

from __future__ import annotations

import pytest

from robustbench_sdnet.answers import copying
from robustbench_sdnet.store.database import Database
from robustbench_sdnet.store.store import Store
from tests.reports import large_store


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


def _all(stored):
    shards = [(one.start, one.stop, one.outcome.encode(), one.cost) for one in stored.shards]
    return stored.id, stored.cell, stored.asked, shards, stored.verdicts
