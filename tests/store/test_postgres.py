"""The store on a real PostgreSQL server: several drivers, a server that goes away, what older versions left."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa

import robustbench_sdnet as rs
from robustbench_sdnet.answers.status import status
from robustbench_sdnet.cli import main
from robustbench_sdnet.errors import StoreError
from robustbench_sdnet.store import database, images, store as module
from robustbench_sdnet.store.images import ImageTable
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.repair import check, repair
from robustbench_sdnet.store.store import Shard, Store

from .made import CELL, COST, MODEL, outcome

pytestmark = pytest.mark.postgres
OTHER = replace(CELL, model=replace(MODEL, weights="c"))


@pytest.fixture
def url(postgres):
    return postgres.database()


def execute(url, statement, **values):
    engine = sa.create_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text(statement), values)
    engine.dispose()


@pytest.mark.parametrize("encoding", ["UTF8", "SQL_ASCII"])
def test_what_is_stored_comes_back(postgres, encoding):
    url = postgres.database(encoding)
    checks = [{"check": "randomised", "verdict": "pass", "value": 0.0, "sentence": "Of calls."}]
    with Store(url) as store:
        store.add_cells({CELL.id: CELL, OTHER.id: OTHER}, 8)
        store.add_shards([Shard(CELL.id, 2, 4, outcome(2, 4), COST)])
        store.add_shards([Shard(CELL.id, 0, 8, outcome(0, 8, right=False), {**COST, "forwards": 8})])
        store.add_verdicts(CELL.id, checks)
        store.add_verdicts(CELL.id, checks)
        assert store.ranges() == {CELL.id: [(0, 2), (2, 4), (4, 8)]}
        assert [row["samples"] for row in status(store)] == [8, 0]  # of two models of one name
        with pytest.raises(StoreError, match=r"foreign key.*Finished shards are safe"):
            store.add_shards([Shard("nobody", 0, 4, outcome(), COST)])
    with Store(url, must_exist=True) as store:
        found = {stored.cell: stored for stored in store.answered(lambda stored: stored)}
        assert found[CELL].verdicts == checks
        assert Outcome.join(shard.outcome for shard in found[CELL].shards).right.tolist() == [
            *[False] * 2, *[True] * 2, *[False] * 4,
        ]  # fmt: skip
        assert [shard.cost["forwards"] for shard in found[CELL].shards] == [2, 4, 4]
        assert found[OTHER].shards == ()


def test_tables_of_others_are_let_be_and_those_of_our_names_never_changed(url):
    execute(url, "CREATE TABLE notes (text TEXT)")
    execute(url, "CREATE TABLE shards (a TEXT)")
    execute(url, "INSERT INTO shards VALUES ('kept')")
    for options in ({"must_exist": True}, {}, {"repair": True}):
        with pytest.raises(StoreError, match="is a database of other tables, not a store"):
            Store(url, **options)
    engine = sa.create_engine(url)
    assert sorted(sa.inspect(engine).get_table_names()) == ["notes", "shards"]
    with engine.connect() as connection:
        assert connection.execute(sa.text("SELECT * FROM shards")).all() == [("kept",)]
    engine.dispose()
    execute(url, "DROP TABLE shards")
    with Store(url) as store:  # a schema may be shared
        store.add_cells({CELL.id: CELL})
        check(store)
    Store(url, must_exist=True).close()


def test_an_empty_or_missing_database_is_one_line(url, capsys):
    with pytest.raises(StoreError, match="No results yet"):
        Store(url, must_exist=True)
    missing = url.replace("@/tests", "@/none")
    for command in (["report", "to", "json"], ["status"]):
        with pytest.raises(SystemExit) as left:
            main([*command, "--store", missing])
        line = capsys.readouterr().err
        assert (left.value.code, line.count("\n")) == (1, 1)
        assert "does not exist" in line
        assert "safe" not in line
    with pytest.raises(StoreError, match=r'Cannot open the store .*database "none\d+" does not exist'):
        Store(missing)


DRIVER = """
import random, sys
from tests.store.made import CELL, COST, outcome
from robustbench_sdnet.store.store import Shard, Store
url, seed = sys.argv[1], int(sys.argv[2])
with Store(url) as store:
    store.add_cells({CELL.id: CELL}, 400)
    ranges = [(start, start + size) for size in (4, 10) for start in range(0, 400, size)]
    random.Random(seed).shuffle(ranges)
    for batch in range(0, len(ranges), 7):
        mine = ranges[batch:batch + 7]
        store.add_shards([Shard(CELL.id, low, high, outcome(low, high), COST) for low, high in mine])
"""


def test_two_drivers_at_once_make_one_store_and_no_overlap(url):
    drivers = [subprocess.Popen([sys.executable, "-c", DRIVER, url, str(seed)]) for seed in range(3)]
    assert [driver.wait(120) for driver in drivers] == [0, 0, 0]
    with Store(url, must_exist=True) as store:
        edges = store.ranges()[CELL.id]
        assert edges[0][0] == 0
        assert edges[-1][1] == 400
        assert all(stop == start for (_, stop), (start, _) in itertools.pairwise(edges))
        assert store.outcome(CELL.id).ids.tolist() == list(range(400))
        check(store)


def test_a_batch_is_stored_whole_or_not_at_all_and_twice_is_once(url):
    batch = [Shard(CELL.id, 0, 4, outcome(0, 4), COST), Shard(CELL.id, 4, 8, outcome(4, 8), COST)]
    with Store(url) as store:
        store.add_cells({CELL.id: CELL})
        with pytest.raises(StoreError, match="foreign key"):
            store.add_shards([*batch, Shard("nobody", 0, 4, outcome(), COST)])
        assert store.ranges() == {}
        for _ in range(2):
            store.add_shards(batch)
        assert store.ranges() == {CELL.id: [(0, 4), (4, 8)]}


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_driver_waits_for_a_server_that_comes_back(postgres, url, mode):
    with Store(url) as store:
        store.add_cells({CELL.id: CELL})
        for start in range(0, 80, 4):
            if start == 40:
                postgres.stop(mode)
                threading.Timer(1, postgres.start).start()
            store.add_shards([Shard(CELL.id, start, start + 4, outcome(start, start + 4), COST)])
        assert store.outcome(CELL.id).ids.tolist() == list(range(80))
        check(store)


def test_a_read_that_a_restart_cuts_off_begins_anew_and_one_that_fails_leaves_nothing_open(postgres, url):
    cells = [replace(CELL, model=replace(MODEL, weights=f"{number}")) for number in range(200)]
    seen = []

    def stopping(stored):
        seen.append(stored.id)
        if len(seen) == 5:
            postgres.stop("immediate")
            threading.Timer(1, postgres.start).start()
        return stored.id, stored.samples

    def failing(stored):
        raise ValueError(stored.id)

    with Store(url) as store:
        store.add_cells({cell.id: cell for cell in cells})
        store.add_shards([Shard(cell.id, 0, 4, outcome(), COST) for cell in cells])
        assert store.answered(stopping) == [(name, 4) for name in sorted(cell.id for cell in cells)]
        assert len(seen) > 200, "some were read twice"
        with pytest.raises(ValueError, match=min(seen)):
            store.answered(failing)
        assert check(store) == store.cells()


def _at_once(monkeypatch, one, other):
    """One function in a thread, and the other while it has read and not written yet."""
    insert_once, read, go_on = module.insert_once, threading.Event(), threading.Event()

    def waiting(*given):
        if threading.current_thread() is first and not read.is_set():
            read.set()
            go_on.wait(1)
        return insert_once(*given)

    monkeypatch.setattr(module, "insert_once", waiting)
    first, second = threading.Thread(target=one), threading.Thread(target=other)
    first.start()
    assert read.wait(10)
    second.start()
    second.join(0.5)
    go_on.set()
    for thread in (first, second):
        thread.join(10)
    monkeypatch.undo()


def test_of_two_drivers_at_once_nothing_that_either_says_is_lost(url, monkeypatch):
    found = {name: {"check": name, "verdict": "pass", "value": 0.0, "sentence": ""} for name in ("a", "b")}
    with Store(url) as one, Store(url) as other:
        _at_once(
            monkeypatch,
            lambda: one.add_cells({CELL.id: CELL}, 200),
            lambda: other.add_cells({CELL.id: CELL, OTHER.id: OTHER}, 100),
        )
        assert one.answered(lambda stored: (stored.cell, stored.asked)) == sorted(
            [(CELL, 200), (OTHER, 100)], key=lambda row: row[0].id
        )
        _at_once(
            monkeypatch,
            lambda: one.add_verdicts(CELL.id, [found["a"]]),
            lambda: other.add_verdicts(CELL.id, [found["b"]]),
        )
        assert one.verdicts() == {CELL.id: [found["a"], found["b"]]}


def test_a_driver_that_is_stopped_while_it_writes_holds_nobody_up_and_goes_on_when_it_wakes(url, monkeypatch):
    monkeypatch.setattr(database, "IDLE", database.IDLE.replace("60s", "1s"))
    with Store(url, patience=0.1) as one, Store(url) as other:
        one.add_cells({CELL.id: CELL}, 8)
        insert_once, stops, wakes = module.insert_once, threading.Event(), threading.Event()

        def stopped(*given):
            insert_once(*given)
            if threading.current_thread() is driver and not stops.is_set():
                stops.set()
                assert wakes.wait(30)

        monkeypatch.setattr(module, "insert_once", stopped)
        shard = Shard(CELL.id, 0, 4, outcome(0, 4), COST)
        driver = threading.Thread(target=lambda: one.add_shards([shard]))
        driver.start()
        assert stops.wait(10)
        other.add_shards([Shard(CELL.id, 4, 8, outcome(4, 8), COST)])
        assert other.ranges() == {CELL.id: [(4, 8)]}
        wakes.set()
        driver.join(10)
        assert other.ranges() == {CELL.id: [(0, 4), (4, 8)]}, "it is written again"


def test_a_driver_waits_only_so_long_and_then_says_so(postgres, url):
    with Store(url, patience=1.5) as store:
        store.add_cells({CELL.id: CELL})
        store.add_shards([Shard(CELL.id, 0, 4, outcome(0, 4), COST)])
        postgres.stop()
        began = time.monotonic()
        with pytest.raises(StoreError, match=r"Waited 2 s for the server\. Finished shards are safe"):
            store.add_shards([Shard(CELL.id, 4, 8, outcome(4, 8), COST)])
        assert time.monotonic() - began >= 1.5, "the one time that is asserted: it did wait"
        with pytest.raises(StoreError, match="Cannot open the store"):
            Store(url)
        postgres.start()
        store.add_shards([Shard(CELL.id, 4, 8, outcome(4, 8), COST)])
        assert store.ranges() == {CELL.id: [(0, 4), (4, 8)]}


def test_a_store_of_the_first_schema_is_migrated_and_goes_on(url):
    for statement in (
        "CREATE TABLE meta (key VARCHAR(32) PRIMARY KEY, value TEXT NOT NULL)",
        "CREATE TABLE cells (id VARCHAR(64) PRIMARY KEY, spec TEXT NOT NULL, parents TEXT NOT NULL)",
        "CREATE TABLE shards (cell_id VARCHAR(64) REFERENCES cells (id), start INTEGER, stop INTEGER, "
        "finished_at VARCHAR(32) NOT NULL, outcome BYTEA NOT NULL, cost TEXT NOT NULL, "
        "PRIMARY KEY (cell_id, start, stop))",
        "CREATE TABLE verdicts (cell_id VARCHAR(64) PRIMARY KEY REFERENCES cells (id), checks TEXT NOT NULL)",
        "INSERT INTO meta VALUES ('schema', '1')",
    ):
        execute(url, statement)
    execute(url, "INSERT INTO cells VALUES (:id, :spec, '[]')", id=CELL.id, spec=CELL.to_json())
    cost = '{"forwards":4,"backwards":0,"seconds":0.1}'
    execute(
        url,
        "INSERT INTO shards VALUES (:id, 0, 4, 'then', :outcome, :cost)",
        id=CELL.id, outcome=outcome().encode(), cost=cost,
    )  # fmt: skip
    with Store(url, must_exist=True) as old:
        assert [len(stored.shards) for stored in old.answered(lambda stored: stored)] == [1]
    with Store(url) as store:
        store.add_cells({CELL.id: CELL}, 8)
        store.add_shards([Shard(CELL.id, 0, 8, outcome(0, 8), COST)])
        assert store.ranges() == {CELL.id: [(0, 4), (4, 8)]}
        assert [stored.asked for stored in store.answered(lambda stored: stored)] == [8]
        store.add_cells({CELL.id: CELL}, 20)
        assert store.forget_unfinished() == 1
        assert [stored.asked for stored in store.answered(lambda stored: stored)] == [8]
        check(store)


def test_a_damaged_row_is_named_and_repaired(url):
    with Store(url) as store:
        store.add_cells({CELL.id: CELL})
        for start in (0, 4):
            store.add_shards([Shard(CELL.id, start, start + 4, outcome(start, start + 4), COST)])
        execute(
            url, "UPDATE shards SET outcome = set_bit(outcome, 99, 1 - get_bit(outcome, 99)) WHERE start = 4"
        )
        with pytest.raises(StoreError, match=rf"shard 4-8 of cell {CELL.id} .*its checksum differs"):
            list(store.answered(lambda stored: stored))
        assert len(repair(store)) == 1
        assert store.ranges() == {CELL.id: [(0, 4)]}


def test_images_are_kept_in_the_database_where_every_driver_sees_them(url, monkeypatch):
    pixels = np.random.default_rng(0).random((6, 3, 4, 4), dtype=np.float32)
    monkeypatch.setattr(images, "_PIECE", 2 * pixels[:1].nbytes)
    with Store(url) as one, Store(url) as other:
        assert isinstance(one.images, ImageTable)
        one.add_cells({CELL.id: CELL})
        one.images.keep(CELL.id, 0, pixels[:5])
        other.images.keep(CELL.id, 0, pixels[:5])
        other.images.keep(CELL.id, 5, pixels[5:])
        assert np.array_equal(other.images.fetch(CELL.id, 1, 6), pixels[1:])
        assert [len(part) for part in one.images.parts(CELL.id, 1, 6)] == [1, 2, 1, 1]
        assert one.images.fetch(CELL.id, 1, 7) is None
        execute(
            url, "UPDATE images SET images = set_bit(images, 999, 1 - get_bit(images, 999)) WHERE start = 2"
        )
        assert one.images.fetch(CELL.id, 0, 6) is None
        assert np.array_equal(one.images.fetch(CELL.id, 0, 2), pixels[:2])
        one.images.keep(CELL.id, 0, pixels[:5])
        assert np.array_equal(one.images.fetch(CELL.id, 0, 6), pixels), "made again"


def report(capsys, url):
    with pytest.raises(SystemExit) as left:
        main(["report", "to", "json", "--store", url])
    assert left.value.code == 0
    return capsys.readouterr().out


@pytest.fixture
def project(tmp_path, tiny_npz, monkeypatch):
    """A folder with one tiny model, and what is asked of it."""
    monkeypatch.chdir(tmp_path)
    data = f"npz:{tiny_npz}"
    model = rs.build_model("sdnet20", width=4, num_classes=3, input_size=8)
    rs.save_model(model, "runs/tiny/last.safetensors", data=data, data_hash="", recipe={}, accuracy=None)
    return data


@pytest.mark.slow
def test_two_commands_at_once_give_the_report_of_one(url, project, capsys):
    asked = ["attack", "pgd", "--steps", "2", "--attack-lambda", "0.1,0.5", "--lambda", "0.1:0.5:0.2"]
    asked += ["--model", "runs/tiny", "--data", project]
    command = [sys.executable, "-m", "robustbench_sdnet", *asked]
    drivers = [subprocess.Popen([*command, "--store", url], stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [driver.wait(250) for driver in drivers] == [0, 0]
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    assert report(capsys, url) == report(capsys, "sqlite:///runs/results.db")
    with Store(url) as store:
        check(store)


def test_a_run_through_a_restart_of_the_server_gives_the_undisturbed_report(
    postgres, url, project, tmp_path, monkeypatch, capsys
):
    asked = {
        "models": ["runs/tiny"],
        "data": project,
        "attacks": [{"name": "pgd", "steps": 2}],
        "lambdas": [0.1, 0.5],
        "attack_lambdas": [0.1, 0.5],
    }
    rs.evaluate(**asked)
    stops = []

    def restart(progress):
        if progress.done_shards >= 2 and not stops:
            stops.append(progress.done_shards)
            postgres.stop()
            threading.Timer(1, postgres.start).start()

    rs.evaluate(**asked, store=url, on_progress=restart)
    assert stops
    assert report(capsys, url) == report(capsys, "sqlite:///runs/results.db")
    # Another driver elsewhere finds the attacks' images, so that it makes none again.
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    seen = []
    rs.evaluate(
        **{**asked, "models": [str(tmp_path / "runs/tiny")], "lambdas": [0.1, 0.5, 0.9]},
        store=url,
        on_progress=seen.append,
    )
    assert seen[-1].shards == 4, "clean images, noise and two transfers at the new lambda, and no attack"
