"""The store: whole shards, once each, and clear words when the file is not one."""

import contextlib
import itertools
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
import sqlalchemy as sa

from robustbench_sdnet.answers.status import status
from robustbench_sdnet.errors import InputError, StoreError
from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.specs import Eps, LambdaSpec
from robustbench_sdnet.store.images import ImageFolder
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.store import Shard, Store

from .made import CELL, COST, MODEL, outcome, shards


@pytest.fixture
def store(tmp_path):
    with Store(f"sqlite:///{tmp_path}/new/results.db") as opened:
        opened.add_cells({CELL.id: CELL})
        yield opened


def test_what_is_stored_comes_back(store):
    store.add_shards([Shard(CELL.id, 0, 4, outcome(), COST)])
    (shard,) = shards(store, CELL.id)
    assert (shard.start, shard.stop, shard.cost) == (0, 4, COST)
    assert np.array_equal(shard.outcome.margin, outcome().margin)
    assert shard.outcome.margin.dtype == np.float32
    assert store.cells() == {CELL.id: CELL}
    assert store.ranges() == {CELL.id: [(0, 4)]}


def test_the_first_writer_of_a_shard_wins(store):
    store.add_shards([Shard(CELL.id, 0, 4, outcome(right=True), COST)])
    store.add_shards([Shard(CELL.id, 0, 4, outcome(right=False), COST)])
    (shard,) = shards(store, CELL.id)
    assert shard.outcome.right.all()


@pytest.mark.parametrize("spec", [CELL.perturbation, attack_specs("autoattack", [Eps.parse("8/255")])[0]])
def test_a_renamed_model_keeps_its_answers(store, spec):
    cell = replace(CELL, perturbation=spec)
    store.add_cells({cell.id: cell})
    store.add_shards([Shard(cell.id, 0, 4, outcome(), COST)])
    renamed = replace(cell, model=replace(MODEL, name="other"))
    assert renamed.id == cell.id
    store.add_cells({renamed.id: renamed})
    assert store.cells()[cell.id] == renamed
    assert store.ranges() == {cell.id: [(0, 4)]}


def test_shards_never_overlap(store):
    store.add_shards([Shard(CELL.id, 2, 4, outcome(2, 4, right=True), COST)])
    store.add_shards([Shard(CELL.id, 0, 8, outcome(0, 8, right=False), {**COST, "forwards": 8})])
    assert store.ranges() == {CELL.id: [(0, 2), (2, 4), (4, 8)]}
    found = store.outcome(CELL.id)
    assert found.ids.tolist() == list(range(8))
    assert found.right.tolist() == [False, False, True, True, False, False, False, False]
    assert [shard.cost["forwards"] for shard in shards(store, CELL.id)] == [2, 4, 4]


def test_a_cell_of_which_nothing_is_answered_can_be_forgotten(store):
    store.add_cells({CELL.id: CELL}, 8)
    assert store.forget_unfinished() == 1
    assert store.asked() == {CELL.id: 0}
    assert store.cells() == {CELL.id: CELL}
    assert store.forget_unfinished() == 0


def test_shards_that_share_a_transaction_are_stored_all_or_none(store):
    other = replace(CELL, model=replace(MODEL, weights="c"))
    store.add_cells({other.id: other})
    store.add_shards(
        [
            Shard(CELL.id, 0, 4, outcome(0, 4), COST),
            Shard(other.id, 0, 4, outcome(0, 4), COST),
            Shard(CELL.id, 2, 8, outcome(2, 8, right=False), {**COST, "forwards": 6}),
        ]
    )
    assert store.ranges() == {CELL.id: [(0, 4), (4, 8)], other.id: [(0, 4)]}
    assert store.outcome(CELL.id).right.tolist() == [True] * 4 + [False] * 4
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        store.add_shards(
            [Shard(CELL.id, 8, 12, outcome(8, 12), COST), Shard("nobody", 0, 4, outcome(0, 4), COST)]
        )
    assert store.ranges()[CELL.id] == [(0, 4), (4, 8)]


def test_shards_of_which_nothing_was_there_are_told_from_the_others(store):
    store.add_shards([Shard(CELL.id, 2, 4, outcome(2, 4), COST)])
    mine = [Shard(CELL.id, low, high, outcome(low, high), COST) for low, high in ((0, 4), (4, 8), (4, 8))]
    assert store.add_shards(mine) == mine[1:2]
    assert store.add_shards(mine) == []
    assert store.add_shards([]) == []


def test_outcomes_of_shards_join_and_can_be_cut(store):
    store.add_shards([Shard(CELL.id, 4, 8, outcome(4, 8), COST)])
    store.add_shards([Shard(CELL.id, 0, 4, outcome(0, 4), COST)])
    assert store.outcome(CELL.id, 2, 6).ids.tolist() == [2, 3, 4, 5]
    assert store.outcome("nothing") is None


def test_one_pass_yields_every_cell_with_all_that_is_stored_of_it(store, monkeypatch):
    other = replace(CELL, model=replace(MODEL, weights="c"))
    store.add_cells({other.id: other, CELL.id: CELL}, 8)
    store.add_shards([Shard(CELL.id, 4, 8, outcome(4, 8, right=False), COST)])
    store.add_shards([Shard(CELL.id, 0, 4, outcome(0, 4), COST)])
    checks = [{"check": "randomised", "verdict": "fail", "value": 1.0, "sentence": "Of calls."}]
    store.add_verdicts(CELL.id, checks)
    decoded, decode = [], Outcome.decode
    monkeypatch.setattr(Outcome, "decode", lambda blob: decoded.append(blob) or decode(blob))
    found = {stored.cell: stored for stored in store.answered(lambda stored: stored)}
    assert list(found) == sorted((CELL, other), key=lambda cell: cell.id)
    assert [(shard.start, shard.stop, shard.cost) for shard in found[CELL].shards] == [
        (0, 4, COST),
        (4, 8, COST),
    ]
    assert (
        np.concatenate([shard.outcome.right for shard in found[CELL].shards]).tolist()
        == [True] * 4 + [False] * 4
    )
    assert (found[CELL].verdicts, found[CELL].asked) == (checks, 8)
    assert (found[other].shards, found[other].verdicts) == ((), None)
    assert len(decoded) == 2


def test_a_shard_of_an_unknown_cell_is_refused(store):
    with pytest.raises(StoreError, match="FOREIGN KEY"):
        store.add_shards([Shard("nobody", 0, 4, outcome(), COST)])


def test_a_damaged_shard_is_named(store):
    store.add_shards([Shard(CELL.id, 0, 4, outcome(), COST)])
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("update shards set outcome = substr(outcome, 1, 100)")
    with pytest.raises(StoreError, match="damaged"):
        shards(store, CELL.id)


@pytest.mark.parametrize(
    ("ids", "said"), [(np.array([len] * 4), "ValueError"), (np.arange(4.0), "array 'ids'")]
)
def test_arrays_of_another_type_are_refused_and_pickles_never_loaded(tmp_path, ids, said):
    whole, evil = outcome(), tmp_path / "evil.npz"
    np.savez_compressed(evil, **{name: getattr(whole, name) for name in whole.kept} | {"ids": ids})
    with pytest.raises(StoreError, match=rf"its answers are damaged \({said}\)"):
        Outcome.decode(evil.read_bytes())


def test_what_was_decoded_is_not_compressed_again():
    blob = outcome().encode()
    assert Outcome.decode(blob).encode() is blob


def test_equal_arrays_and_specs_of_a_store_lie_in_memory_once(store):
    other = replace(CELL, lam=LambdaSpec("0.7"))
    store.add_cells({one.id: one for one in (CELL, other)})
    store.add_shards(
        [Shard(CELL.id, 0, 4, outcome(), COST), Shard(other.id, 0, 4, outcome(right=False), COST)]
    )
    first, second = store.answered(lambda stored: stored)
    assert first.cell.model is second.cell.model
    assert first.cell.data is second.cell.data
    assert first.cell.perturbation is second.cell.perturbation
    assert first.shards[0].outcome.ids is second.shards[0].outcome.ids
    assert first.shards[0].outcome.right is not second.shards[0].outcome.right


def test_what_is_no_store_is_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="Not a store: 'nonsense'"):
        Store("nonsense")
    with pytest.raises(InputError, match="must be a file"):
        Store("sqlite://")
    with pytest.raises(StoreError, match="does not exist"):
        Store(f"sqlite:///{tmp_path}/none.db", must_exist=True)
    broken = tmp_path / "text.db"
    broken.write_text("this is no database, " * 100)
    with pytest.raises(StoreError, match="not a database"):
        Store(f"sqlite:///{broken}")
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(StoreError, match="Cannot create the folder"):
        Store(f"sqlite:///{blocked}/results.db")


def test_a_newer_schema_is_refused(store):
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("update meta set value = '99'")
    with pytest.raises(StoreError, match=r"schema 99.*Upgrade"):
        Store(store.shown)
    with closing(sqlite3.connect(store.path)) as connection, connection:
        connection.execute("alter table shards rename column cost to price")
    for read_only in (False, True):
        with pytest.raises(StoreError, match=r"schema 99.*Upgrade"):
            Store(store.shown, must_exist=read_only)


def test_a_full_disk_is_one_line_and_keeps_what_is_there(store):
    store.add_shards([Shard(CELL.id, 0, 4, outcome(), COST)])
    store.close()
    sa.event.listen(store.database._engine, "connect", lambda raw, _: raw.execute("pragma max_page_count=1"))
    huge = {**COST, "device": "x" * 1_000_000}
    with pytest.raises(StoreError, match=r"Cannot write the store .*full.*Finished shards are safe"):
        store.add_shards([Shard(CELL.id, 4, 8, outcome(4, 8), huge)])
    assert store.ranges() == {CELL.id: [(0, 4)]}


def test_verdicts_replace_older_ones(store):
    store.add_verdicts(
        CELL.id, [{"check": "randomised", "verdict": "fail", "value": 1.0, "sentence": "Of calls."}]
    )
    store.add_verdicts(
        CELL.id, [{"check": "randomised", "verdict": "pass", "value": 0.0, "sentence": "Of calls."}]
    )
    assert store.verdicts() == {
        CELL.id: [{"check": "randomised", "verdict": "pass", "value": 0.0, "sentence": "Of calls."}]
    }


def test_a_check_that_was_not_run_or_saw_fewer_images_replaces_nothing(store):
    def finding(check, verdict, images=None):
        return {"check": check, "verdict": verdict, "value": 0.0, "sentence": "Said.", "images": images}

    # Older versions did not say on how many images.
    full = [
        finding("noise_wins", "pass", 100),
        finding("gradient_free_wins", "fail", 100),
        finding("rough_loss", "fail"),
    ]
    cheap = [
        finding("noise_wins", "fail", 10),
        finding("gradient_free_wins", "not_run"),
        finding("rough_loss", "not_run"),
        finding("randomised", "pass", 10),
    ]
    store.add_verdicts(CELL.id, full)
    store.add_verdicts(CELL.id, cheap)
    assert store.verdicts() == {CELL.id: [*full, cheap[-1]]}
    again = [finding("noise_wins", "warn", 100)]
    store.add_verdicts(CELL.id, again)
    assert store.verdicts() == {CELL.id: [*again, *full[1:], cheap[-1]]}


def test_perturbed_images_are_kept_exactly_and_checked(tmp_path):
    folder = ImageFolder(tmp_path / "images")
    images = np.random.default_rng(0).random((6, 3, 4, 4), dtype=np.float32)
    folder.keep("cell", 0, images[:4])
    folder.keep("cell", 4, images[4:])
    assert np.array_equal(folder.fetch("cell", 1, 6), images[1:])
    assert folder.fetch("cell", 1, 7) is None
    assert folder.fetch("other", 0, 1) is None
    (damaged,) = folder.folder.glob("cell/4-*.npy")
    damaged.write_bytes(damaged.read_bytes()[:-4] + b"\0\0\0\0")
    assert folder.fetch("cell", 0, 6) is None
    assert folder.fetch("cell", 0, 4) is not None


def test_a_damaged_image_file_does_not_hide_a_good_one(tmp_path):
    folder = ImageFolder(tmp_path / "images")
    images = np.random.default_rng(0).random((2, 3, 4, 4), dtype=np.float32)
    folder.keep("cell", 0, images)
    (folder.folder / "cell" / f"0-2-{'0' * 16}.npy").write_bytes(b"damaged")
    assert np.array_equal(folder.fetch("cell", 0, 2), images)


def test_of_more_images_than_memory_holds_one_piece_is_read_at_a_time(tmp_path):
    folder = ImageFolder(tmp_path / "images")
    images = np.random.default_rng(0).random((6, 3, 4, 4), dtype=np.float32)
    for start in (0, 2, 4):
        folder.keep("cell", start, images[start : start + 2])
    parts = folder.parts("cell", 1, 6)
    assert np.array_equal(next(parts), images[1:2])
    next((tmp_path / "images" / "cell").glob("2-4-*.npy")).unlink()
    assert list(parts) == [], "not read before, and nothing after what is missing"


def test_images_are_kept_in_pieces_that_hold_the_same_positions(tmp_path):
    folder = ImageFolder(tmp_path / "images")
    images = np.random.default_rng(0).random((8, 3, 4, 4), dtype=np.float32)
    for start, stop in ((0, 6), (2, 4), (3, 8)):
        folder.keep("cell", start, images[start:stop])
    for start, stop in ((0, 8), (1, 6), (3, 7)):
        assert np.array_equal(folder.fetch("cell", start, stop), images[start:stop])


def test_a_store_of_the_first_schema_is_read_and_goes_on(tmp_path):
    path = tmp_path / "old.db"
    with Store(f"sqlite:///{path}") as made:
        made.add_cells({CELL.id: CELL})
        made.add_shards([Shard(CELL.id, 0, 4, outcome(), COST)])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE cells DROP COLUMN asked")
        for table in ("cells", "shards", "verdicts"):
            connection.execute(f"ALTER TABLE {table} DROP COLUMN checksum")
        connection.execute("DROP TABLE images")
        connection.execute("UPDATE meta SET value = '1' WHERE key = 'schema'")
    with Store(f"sqlite:///{path}", must_exist=True) as old:
        assert old.cells() == {CELL.id: CELL}
        assert len(old.outcome(CELL.id)) == 4
        assert [stored.asked for stored in old.answered(lambda stored: stored)] == [None]
        assert [row["unfinished"] for row in status(old)] == [0], "what it was asked for is not known"
        assert [len(stored.shards) for stored in old.answered(lambda stored: stored)] == [1]
    before = path.read_bytes()
    with Store(f"sqlite:///{path}", must_exist=True):
        assert path.read_bytes() == before, "reading does not migrate"
    with Store(f"sqlite:///{path}") as old:
        old.add_cells({CELL.id: CELL}, 6)
        assert [row["unfinished"] for row in status(old)] == [1]


def test_only_what_was_asked_for_and_is_not_done_is_unfinished(store):
    def unfinished():
        return sum(row["unfinished"] for row in status(store))

    other = replace(CELL, model=replace(MODEL, weights="c"))
    store.add_cells({CELL.id: CELL}, 4)
    store.add_cells({other.id: other}, 2)
    assert unfinished() == 2
    store.add_shards([Shard(CELL.id, 0, 4, outcome(), COST)])
    store.add_shards([Shard(other.id, 0, 2, outcome(stop=2), COST)])
    assert unfinished() == 0, "the second was asked for on two images only"
    store.add_cells({other.id: other}, 1)
    assert unfinished() == 0, "a smaller question is answered already"
    store.add_cells({other.id: other}, 4)
    assert unfinished() == 1
    store.add_cells({other.id: other}, 2)
    store.add_cells({other.id: other})
    assert unfinished() == 1, "what a larger run asked for stays"


def test_a_shard_is_cut_where_fewer_samples_are_wanted(store):
    store.add_shards([Shard(CELL.id, 0, 2, outcome(0, 2), COST)])
    store.add_shards([Shard(CELL.id, 2, 6, outcome(2, 6), COST)])
    found = [shard.part(shard.start, min(shard.stop, 3)) for shard in shards(store, CELL.id)]
    assert [(shard.start, shard.stop, len(shard.outcome)) for shard in found] == [(0, 2, 2), (2, 3, 1)]
    assert [shard.cost["forwards"] for shard in found] == [4, 1]


def test_the_cost_of_parts_adds_up_to_the_whole():
    cost = {**COST, "forwards": 100, "backwards": 7, "gradients": 5, "silent": 1, "seconds": 0.5}
    whole = Shard(CELL.id, 10, 17, outcome(0, 7), cost)
    for edges in ((10, 13, 17), (10, 11, 16, 17), tuple(range(10, 18))):
        parts = [whole.part(low, high) for low, high in itertools.pairwise(edges)]
        for key in ("forwards", "backwards", "gradients", "silent"):
            assert sum(part.cost[key] for part in parts) == cost[key]
            assert {type(part.cost[key]) for part in parts} == {int}
        assert sum(part.cost["seconds"] for part in parts) == pytest.approx(0.5)
        forwards = [part.cost["forwards"] * 7 / (100 * len(part.outcome)) for part in parts]
        assert forwards == pytest.approx([1] * len(parts), abs=0.07), "each its share"
    whole = Shard(CELL.id, 0, 100, outcome(0, 100), {**COST, "gradients": 14, "silent": 11})
    for low, high in itertools.combinations(range(101), 2):
        cost = whole.part(low, high).cost
        assert 0 <= cost["silent"] <= cost["gradients"]


def test_a_store_without_its_tables_is_said_to_be_empty_or_damaged(store, tmp_path):
    with store.database._engine.begin() as connection:
        connection.execute(sa.text("drop table verdicts"))
    with pytest.raises(StoreError, match="damaged: its table 'verdicts' is missing"):
        Store(store.shown, must_exist=True)
    Store(store.shown).close()  # as a command that computes
    Store(store.shown, must_exist=True).close()
    with contextlib.closing(sqlite3.connect(tmp_path / "others.db")) as others:
        others.execute("create table meta (a int)")
        others.execute("create table images (name text)")
    with pytest.raises(StoreError, match=r"others\.db is a database of other tables, not a store"):
        Store(f"sqlite:///{tmp_path}/others.db", must_exist=True)
    (tmp_path / "empty.db").write_bytes(b"")
    with pytest.raises(StoreError, match=r"No results yet: .*empty\.db is empty"):
        Store(f"sqlite:///{tmp_path}/empty.db", must_exist=True)
