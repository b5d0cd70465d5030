"""A copy says what its stores say as one, in few transactions however many cells they have."""

from __future__ import annotations

import contextlib
import random
import sqlite3
from dataclasses import replace

import pytest

from robustbench_sdnet.answers import copying
from robustbench_sdnet.answers.snapshot import Snapshot
from robustbench_sdnet.errors import StoreError
from robustbench_sdnet.specs import CorruptionSpec
from robustbench_sdnet.store.database import Database
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.store import Shard, Store
from tests.reports import large_store
from tests.store.made import CELL, COST, outcome


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
    copying.copy_stores([url], path)
    batches = -(-cells * 100 // at_once)
    assert writes.count("write") <= 3 * batches + len(answered)
    with Store(url) as store, Store(f"sqlite:///{path}") as copy:
        assert copy.answered(_all) == store.answered(_all)
        assert len(copy.answered(_all)) == cells == 96


def test_of_two_stores_an_answer_is_decoded_once(tmp_path, monkeypatch) -> None:
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in ("a", "b")]
    for url in urls:
        with Store(url) as store:
            store.add_cells({CELL.id: CELL}, 4)
            store.add_shards([Shard(CELL.id, 0, 4, outcome(), COST)])
    decoded, decode = [], Outcome.decode
    monkeypatch.setattr(Outcome, "decode", lambda blob: decoded.append(blob) or decode(blob))
    copying.copy_stores(urls, tmp_path / "copy.db")
    assert len(decoded) == 1


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
            copying.copy_stores([url], path)


@pytest.mark.parametrize("seed", [0, 1, 2, 3, 6])
def test_several_stores_become_the_one_that_reports_take_them_for(tmp_path, seed) -> None:
    draw = random.Random(seed)
    cells = [replace(CELL, perturbation=CorruptionSpec(name="fog", severity=s)) for s in range(1, 6)]
    urls = [f"sqlite:///{tmp_path}/{name}.db" for name in "abc"]
    for url in urls:
        with Store(url) as store:
            for cell in draw.sample(cells, 4):
                store.add_cells({cell.id: cell}, draw.choice([None, 4, 8]))
                starts = draw.choice([(), (0,), (0, 4)])
                for start in starts:
                    answer = outcome(start, start + 4, right=draw.random() < 0.5)
                    store.add_shards([Shard(cell.id, start, start + 4, answer, COST)])
                if starts and draw.random() < 0.7:
                    finding = {"check": draw.choice(["noise_wins", "losses_disagree"]), "sentence": url}
                    seen = {"verdict": draw.choice(["fail", "not_run"]), "images": draw.choice([2, 4])}
                    store.add_verdicts(cell.id, [{**finding, **seen, "value": 1.0}])
    copying.copy_stores(urls, tmp_path / "copy.db")
    both, copy = Snapshot.read(urls), Snapshot.read(f"sqlite:///{tmp_path}/copy.db")
    assert len({finding.sentence for one in both.answered for finding in one.verdicts}) > 1
    assert [_answer(one) for one in copy.answered] == [_answer(one) for one in both.answered]
    assert (copy.unfinished, copy.waiting) == (both.unfinished, both.waiting)


def _answer(one):
    return one.id, one.cell, one.outcome.encode(), one.cost, sorted(one.verdicts, key=str)


def _all(stored):
    shards = [(one.start, one.stop, one.outcome.encode(), one.cost, one.finished_at) for one in stored.shards]
    return stored.id, stored.cell, stored.asked, shards, stored.verdicts
