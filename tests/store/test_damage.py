"""What no longer reads as it was written is named, never returned, and can be dropped and computed anew."""

import re
import sqlite3
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from robustbench_sdnet.answers.trust import FAIL, NOT_RUN, PASS, WARN
from robustbench_sdnet.errors import StoreError
from robustbench_sdnet.planning.questions import attack_specs
from robustbench_sdnet.specs import Eps
from robustbench_sdnet.store.counting import counted
from robustbench_sdnet.store.images import ImageFolder
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.repair import check, repair
from robustbench_sdnet.store.store import Shard, Store

from .made import CELL, COST, outcome, shards

PGD = attack_specs("pgd", [Eps.parse("8/255")])[0]
OTHER = replace(CELL, perturbation=PGD, parents=(CELL.id,))
CHECKS = [{"check": "randomised", "verdict": "pass", "value": 0.0, "sentence": "Calls agree."}]


@pytest.fixture
def path(tmp_path):
    """A store of two cells, four shards and one attack's diagnostics."""
    path = tmp_path / "results.db"
    with Store(f"sqlite:///{path}") as store:
        store.add_cells({CELL.id: CELL, OTHER.id: OTHER}, 8)
        for cell in (CELL, OTHER):
            for start in (0, 4):
                store.add_shards([Shard(cell.id, start, start + 4, outcome(start, start + 4), COST)])
        store.add_verdicts(OTHER.id, CHECKS)
    return path


def sound(url, *, repair_it):
    with Store(url, repair=repair_it) as store:
        lost = repair(store) if repair_it else []
        assert check(store) == store.cells()
        return lost


def reading(path):
    with Store(f"sqlite:///{path}", must_exist=True) as store:
        return list(store.answered(lambda stored: stored))


def change(path, statement, *values):
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement, values)
    connection.close()


def without_checksums(path):
    for table in ("cells", "shards", "verdicts"):
        change(path, f"UPDATE {table} SET checksum = NULL")


def flipped(raw, generator):
    at, bit = int(generator.integers(len(raw))), int(generator.integers(8))
    return raw[:at] + bytes([raw[at] ^ (1 << bit)]) + raw[at + 1 :]


@pytest.mark.slow
def test_each_of_a_thousand_flipped_bits_in_outcomes_names_cell_and_range(path):
    generator = np.random.default_rng(0)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous=OFF")
    rows = connection.execute("SELECT cell_id, start, stop, outcome FROM shards").fetchall()
    with Store(f"sqlite:///{path}", must_exist=True) as store:
        assert len(list(store.answered(lambda stored: stored))) == 2
        for _ in range(1000):
            cell_id, start, stop, blob = rows[generator.integers(len(rows))]
            put = "UPDATE shards SET outcome = ? WHERE cell_id = ? AND start = ?"
            connection.execute(put, (flipped(blob, generator), cell_id, start))
            with pytest.raises(StoreError, match=rf"shard {start}-{stop} of cell {cell_id} .*--repair"):
                list(store.answered(lambda stored: stored))
            connection.execute(put, (blob, cell_id, start))
        assert len(list(store.answered(lambda stored: stored))) == 2
    connection.close()


def test_a_flipped_bit_of_a_row_without_checksum_is_named_or_changes_nothing():
    blob, whole, harmless = outcome(0, 4).encode(), outcome(0, 4), 0
    generator = np.random.default_rng(1)
    for _ in range(1000):
        try:
            found = Outcome.decode(flipped(blob, generator))
        except StoreError:
            continue
        harmless += 1
        for name in whole.kept:
            assert getattr(found, name).tobytes() == getattr(whole, name).tobytes()
    assert harmless < 500, "times and attributes of the archive's members"


def test_a_row_that_was_written_damaged_is_repaired_whatever_its_checksum_says(path):
    with Store(f"sqlite:///{path}") as store:
        store.add_shards([Shard(OTHER.id, 8, 12, replace(outcome(8, 12), right=np.ones(3, bool)), COST)])
    with pytest.raises(StoreError, match=r"shard 8-12 of cell .* damaged \(array 'right'\).* --repair"):
        reading(path)
    (lost,) = sound(f"sqlite:///{path}", repair_it=True)
    assert lost.startswith(f"shard 8-12 of cell {OTHER.id}")
    assert [stored.samples for stored in reading(path)] == [8, 8]


def test_each_of_a_thousand_flipped_bits_in_kept_images_is_made_again(tmp_path):
    folder, generator = ImageFolder(tmp_path / "images"), np.random.default_rng(2)
    images = generator.random((4, 3, 4, 4), dtype=np.float32)
    folder.keep("cell", 0, images)
    (file,) = folder.folder.glob("cell/*.npy")
    raw = file.read_bytes()
    for _ in range(1000):
        file.write_bytes(flipped(raw, generator))
        assert folder.fetch("cell", 0, 4) is None
    file.write_bytes(raw)
    assert np.array_equal(folder.fetch("cell", 0, 4), images)


def test_images_of_an_older_version_are_taken_whole_or_not_at_all(tmp_path):
    import hashlib

    folder, generator = ImageFolder(tmp_path / "images"), np.random.default_rng(3)
    images = generator.random((4, 3, 4, 4), dtype=np.float32)
    digest = hashlib.sha256(images.tobytes()).hexdigest()[:16]
    file = folder.folder / "cell" / f"0-4-{digest}.npy"
    file.parent.mkdir(parents=True)
    np.save(file, images)
    assert np.array_equal(folder.fetch("cell", 0, 4), images)
    raw = file.read_bytes()
    file.write_bytes(raw.replace(b"<f4", b">f4"))
    assert folder.fetch("cell", 0, 4) is None, "the byte order is in the header"
    for _ in range(300):
        file.write_bytes(flipped(raw, generator))
        found = folder.fetch("cell", 0, 4)
        assert found is None or np.array_equal(found, images)


SHARD = "UPDATE shards SET {} WHERE start = 4 AND cell_id = '" + CELL.id + "'"
CELLS = "UPDATE cells SET {} WHERE id = '" + OTHER.id + "'"
NAMED_SHARD, NAMED_CELL = f"of cell {CELL.id}", f"damaged: cell {OTHER.id}"
MALFORMED = {
    "cost": (SHARD.format("cost = '{\"forwards\": 4'"), f"shard 4-8 {NAMED_SHARD}"),
    "cost null": (SHARD.format("cost = 'null'"), f"shard 4-8 {NAMED_SHARD}"),
    "cost without a count": (SHARD.format("cost = '{}'"), f"shard 4-8 {NAMED_SHARD}"),
    **{
        f"cost {name}": (
            SHARD.format(f'cost = \'{{"forwards": {count}, "backwards": 0, "seconds": 1{more}}}\''),
            f"shard 4-8 {NAMED_SHARD}",
        )
        for name, count, more in (
            ("negative", -5, ""),
            ("NaN", "NaN", ""),
            ("infinite", "1e999", ""),
            ("beyond numbers", "9" * 400, ""),
            ("of gradients", 5, ', "gradients": []'),
            ("of silent gradients", 5, ', "silent": -1'),
        )
    },
    "outcome text": (SHARD.format("outcome = 'text'"), f"shard 4-8 {NAMED_SHARD}"),
    "outcome number": (SHARD.format("outcome = 99999999999"), f"shard 4-8 {NAMED_SHARD}"),
    "outcome of others": (SHARD.format("stop = 7"), f"shard 4-7 {NAMED_SHARD}"),
    "stop before start": (SHARD.format("stop = 3"), f"shard 4-3 {NAMED_SHARD}"),
    "start text": (SHARD.format("start = 'abc'"), f"shard abc-8 {NAMED_SHARD}"),
    "negative start": (SHARD.format("start = -4"), f"shard -4-8 {NAMED_SHARD}"),
    "time": (SHARD.format("finished_at = x'ff'"), f"shard 4-8 {NAMED_SHARD}"),
    "text that is none": (SHARD.format("cost = CAST(x'ff22' AS TEXT)"), f"shard 4-8 {NAMED_SHARD}"),
    "spec": (CELLS.format("spec = '{}'"), NAMED_CELL),
    "spec no JSON": (CELLS.format("spec = substr(spec, 2)"), NAMED_CELL),
    "spec emptied": (CELLS.format("spec = ''"), NAMED_CELL),
    "spec null": (CELLS.format("spec = 'null'"), NAMED_CELL),
    "spec of another question": (CELLS.format("spec = replace(spec, '8/255', '9/255')"), NAMED_CELL),
    "name": (CELLS.format("spec = json_set(spec, '$.model.name', 5)"), NAMED_CELL),
    "name of data": (CELLS.format("spec = json_set(spec, '$.data.name', 5)"), NAMED_CELL),
    "parents": (CELLS.format("parents = '[]'"), NAMED_CELL),
    "asked text": (CELLS.format("asked = 'many'"), NAMED_CELL),
    "asked negative": (CELLS.format("asked = -1"), NAMED_CELL),
    "verdicts": ("UPDATE verdicts SET checks = '['", f"the diagnostics of cell {OTHER.id}"),
    "verdicts without a number": (
        """UPDATE verdicts SET checks = '[{"check": "randomised", "verdict": "pass"}]'""",
        f"the diagnostics of cell {OTHER.id}",
    ),
    **{
        f"verdicts {said}": (
            f"""UPDATE verdicts SET checks = json_set(checks, '$[0].{key}', {said})""",
            f"the diagnostics of cell {OTHER.id}",
        )
        for key, said in (("check", 1), ("verdict", "'maybe'"), ("images", "'many'"), ("value", "'high'"))
    },
    "verdicts object": ("UPDATE verdicts SET checks = '{}'", f"the diagnostics of cell {OTHER.id}"),
    "verdicts number": ("UPDATE verdicts SET checks = '5'", f"the diagnostics of cell {OTHER.id}"),
}


@pytest.mark.parametrize("with_checksum", [True, False], ids=["checksum", "no checksum"])
@pytest.mark.parametrize(("statement", "named"), MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_row_is_named_and_can_be_repaired(path, statement, named, with_checksum):
    if not with_checksum:
        without_checksums(path)
    change(path, statement)
    url = f"sqlite:///{path}"
    with pytest.raises(StoreError, match=named):
        reading(path)
    with Store(url, must_exist=True) as store, pytest.raises(StoreError, match=named):
        counted(store)
    with pytest.raises(StoreError, match=rf"{named}.* with --repair"):
        sound(url, repair_it=False)
    assert len(sound(url, repair_it=True)) == 1
    assert sound(url, repair_it=False) == []
    with Store(url) as store:
        store.add_cells({CELL.id: CELL, OTHER.id: OTHER}, 8)
        for cell in (CELL, OTHER):
            store.add_shards([Shard(cell.id, 0, 8, outcome(0, 8), {**COST, "forwards": 8})])
        store.add_verdicts(OTHER.id, CHECKS)
    found = reading(path)
    assert [(stored.cell, stored.asked, stored.verdicts) for stored in found] == sorted(
        [(CELL, 8, None), (OTHER, 8, CHECKS)], key=lambda row: row[0].id
    )
    for stored in found:
        assert [(shard.start, shard.stop) for shard in stored.shards] == [(0, 4), (4, 8)]
        assert Outcome.join(shard.outcome for shard in stored.shards).ids.tolist() == list(range(8))


@pytest.mark.parametrize("verdict", [PASS, WARN, FAIL, NOT_RUN])
def test_every_verdict_of_a_diagnostic_is_read(path, verdict):
    found = [CHECKS[0] | {"check": "another", "verdict": verdict}]
    with Store(f"sqlite:///{path}") as store:
        store.add_verdicts(OTHER.id, found)
        assert store.verdicts()[OTHER.id] == [*CHECKS, *found]


def test_rows_of_two_stores_in_one_count_no_image_twice(path, tmp_path):
    with Store(f"sqlite:///{tmp_path}/other.db") as store:
        store.add_cells({CELL.id: CELL, OTHER.id: OTHER}, 6)
        for cell in (CELL, OTHER):
            store.add_shards([Shard(cell.id, 0, 6, outcome(0, 6), COST)])
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ATTACH ? AS other", (str(tmp_path / "other.db"),))
        connection.execute("INSERT OR IGNORE INTO shards SELECT * FROM other.shards")
        connection.commit()
    url, said = f"sqlite:///{path}", r"shard 0-6 of cell .*: another shard holds some of its images"
    for look in (lambda: reading(path), lambda: sound(url, repair_it=False)):
        with pytest.raises(StoreError, match=rf"{said} too \(and 1 more\)"):
            look()
    with Store(url) as store, pytest.raises(StoreError, match=said):
        store.outcome(CELL.id)
    assert len(sound(url, repair_it=True)) == 2
    assert [stored.samples for stored in reading(path)] == [8, 8]


@pytest.mark.parametrize("bit", [0x80, 0x01], ids=["no text", "text"])
@pytest.mark.parametrize("cell", [CELL, OTHER], ids=["clean", "attack"])
def test_an_id_with_a_flipped_bit_goes_with_its_row_alone(path, tmp_path, cell, bit):
    raw, copy, dropped = path.read_bytes(), tmp_path / "copy.db", []
    for place in re.finditer(cell.id.encode(), raw):  # in tables and in indices
        changed = bytearray(raw)
        changed[place.start() + 3] ^= bit
        copy.write_bytes(changed)
        lost = sound(f"sqlite:///{copy}", repair_it=True)
        dropped += [line.partition(" ")[0] for line in lost]
        assert sound(f"sqlite:///{copy}", repair_it=False) == []
        with Store(f"sqlite:///{copy}") as store:
            store.add_cells({CELL.id: CELL, OTHER.id: OTHER}, 8)
            assert sum(map(len, store.ranges().values())) == 4 - sum("shard" in line for line in lost)
        with closing(sqlite3.connect(copy)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
    assert set(dropped) == ({"cell", "shard"} if cell is CELL else {"cell", "shard", "the"})


def test_a_row_that_cannot_be_dropped_is_said_and_all_stay(path):
    raw = bytearray(path.read_bytes())
    at = raw.index(
        b"\x01\x0b\x3d"
    )  # the rowid of the first shard, the length of its header, the type of its id
    raw[at], raw[at + 12] = 65, raw[at + 12] ^ 0x80
    path.write_bytes(raw)
    with pytest.raises(StoreError, match=r"shard 0-4 of cell .*--repair cannot mend it: restore a copy"):
        sound(f"sqlite:///{path}", repair_it=True)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(outcome) FROM shards").fetchone() == (4,)


def test_two_rows_of_one_key_are_said_to_be_beyond_repair(path):
    raw = path.read_bytes()
    id_in_table = raw.rindex(OTHER.id.encode() + b"{")  # before its question, and not in the index
    path.write_bytes(raw[:id_in_table] + CELL.id.encode() + raw[id_in_table + len(CELL.id) :])
    with pytest.raises(StoreError, match=r"two of its rows have one key. --repair cannot mend it: restore"):
        sound(f"sqlite:///{path}", repair_it=True)


def test_the_schema_is_read_where_its_index_is_damaged(path):
    raw = path.read_bytes()
    for place in re.finditer(b"schema", raw):
        changed = bytearray(raw)
        changed[place.start()] ^= 1
        path.write_bytes(changed)
        assert sound(f"sqlite:///{path}", repair_it=True) == []
        assert sound(f"sqlite:///{path}", repair_it=False) == []


def test_answers_outlive_a_question_that_cannot_be_read(path):
    change(path, CELLS.format("spec = '{}'"))
    assert sound(f"sqlite:///{path}", repair_it=True) == [f"cell {OTHER.id}: its checksum differs"]
    assert [stored.cell for stored in reading(path)] == [CELL], "it is nobody's until it is asked again"
    with Store(f"sqlite:///{path}") as store:
        store.add_cells({OTHER.id: OTHER}, 8)
        assert store.ranges()[OTHER.id] == [(0, 4), (4, 8)]


def test_with_a_damaged_cell_nothing_is_forgotten(path):
    change(path, CELLS.format("spec = '{}'"))
    with Store(f"sqlite:///{path}") as store:
        store.add_cells({CELL.id: CELL}, 20)
        with pytest.raises(StoreError, match=NAMED_CELL):
            store.forget_unfinished()
        assert store.asked()[CELL.id] == 20


def test_damaged_diagnostics_are_replaced_by_newer_ones(path):
    change(path, "UPDATE verdicts SET checks = '['")
    with Store(f"sqlite:///{path}") as store:
        store.add_verdicts(OTHER.id, CHECKS)
        assert store.verdicts() == {OTHER.id: CHECKS}


def test_a_changed_name_or_number_is_seen_by_the_checksum_alone(path):
    change(path, CELLS.format('spec = replace(spec, \'"name":"r"\', \'"name":"q"\')'))
    with pytest.raises(StoreError, match="its checksum differs"):
        reading(path)


@pytest.mark.parametrize("text", ["x", "", "0", "-3", "3.0", "9" * 5000])
def test_a_version_that_is_no_number_is_said_and_mended(path, text):
    before = [stored.id for stored in reading(path)]
    change(path, "UPDATE meta SET value = ?", text)
    for must_exist in (True, False):
        with pytest.raises(StoreError, match=r"is damaged: its schema reads .* --repair repairs it"):
            Store(f"sqlite:///{path}", must_exist=must_exist)
    assert sound(f"sqlite:///{path}", repair_it=True) == []
    assert [stored.id for stored in reading(path)] == before


def test_several_damaged_rows_are_counted(path):
    change(path, "UPDATE shards SET cost = '{}'")
    with pytest.raises(StoreError, match=r"shard 0-4 of cell \w+ \(.*\(and 3 more\)"):
        reading(path)


def test_every_reader_refuses_a_damaged_shard(path):
    change(path, SHARD.format("cost = '{}'"))
    with Store(f"sqlite:///{path}") as store:
        for read in (
            lambda: shards(store, CELL.id),
            lambda: store.outcome(CELL.id),
            lambda: check(store),
            lambda: counted(store),
        ):
            with pytest.raises(StoreError, match=f"shard 4-8 of cell {CELL.id}"):
                read()
        assert len(store.outcome(OTHER.id)) == 8
        assert len(repair(store)) == 1
        assert store.ranges()[CELL.id] == [(0, 4)]


@pytest.mark.parametrize("flips", [150, pytest.param(2000, marks=pytest.mark.slow)])
def test_a_flipped_bit_anywhere_in_the_file_never_gives_another_answer(path, tmp_path, flips):
    whole = {
        (stored.id, shard.start): (shard.stop, shard.cost, shard.outcome.encode())
        for stored in reading(path)
        for shard in stored.shards
    }
    raw, generator = path.read_bytes(), np.random.default_rng(4)
    copy, said = tmp_path / "copy.db", []
    for _ in range(flips):
        copy.write_bytes(flipped(raw, generator))
        try:
            found = reading(copy)
        except StoreError as error:
            said.append(str(error))
            continue
        for stored in found:
            assert stored.cell in (CELL, OTHER)
            for shard in stored.shards:
                assert whole[stored.id, shard.start] == (shard.stop, shard.cost, shard.outcome.encode())
    assert len(said) > flips / 10, "most of so small a file is empty"
    assert not any("Finished shards are safe" in line for line in said)


def test_a_file_whose_own_account_of_its_damage_is_no_text_is_damaged(path):
    raw = path.read_bytes()
    at = raw.index(b"CREATE TABLE verdicts")
    path.write_bytes(raw[:at] + b"CREATE T\xcc" + raw[at + 9 :])
    with pytest.raises(StoreError, match=r"(it holds what is no text|DatabaseError)\. The file is damaged"):
        reading(path)
    with pytest.raises(StoreError, match=r"(it holds what is no text|DatabaseError)\. The file is damaged"):
        Store(f"sqlite:///{path}")
