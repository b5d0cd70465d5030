"""What a store is opened at: addresses, read-only and full disks, files that are no store; and no password shown."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import sqlite3
import subprocess
import tempfile
import threading
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url

from robustbench_sdnet.cli import main
from robustbench_sdnet.errors import InputError, StoreError
from robustbench_sdnet.store import database
from robustbench_sdnet.store.database import shown_url, sqlite_file
from robustbench_sdnet.store.outcome import Outcome
from robustbench_sdnet.store.store import Shard, Store

from .made import CELL, COST, outcome

NOBODY = 65534


@contextlib.contextmanager
def unprivileged():
    """Permissions mean nothing to root."""
    root = os.geteuid() == 0
    Outcome.decode(outcome().encode())  # imports what another user may not read
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


@contextlib.contextmanager
def read_only(folder: Path):
    """A folder that nobody may write into, and every folder above it open to all who run the test."""
    opened = [
        one for one in (folder, *folder.parents) if one.stat().st_uid == os.getuid() and one != Path("/")
    ]
    before = [(one, one.stat().st_mode) for one in opened]
    for one, mode in before[1:]:
        one.chmod(mode | 0o055)
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)
    try:
        with unprivileged():
            yield
    finally:
        for one, mode in before:
            one.chmod(mode)


def filled(folder: Path) -> Store:
    store = Store(f"sqlite:///{folder}/results.db")
    store.add_cells({CELL.id: CELL}, 4)
    store.add_shards([Shard(CELL.id, 0, 4, outcome(), COST)])
    return store


def answers(folder: Path) -> int:
    with Store(f"sqlite:///{folder}/results.db", must_exist=True) as store:
        return sum(
            len(shard.outcome) for stored in store.answered(lambda stored: stored) for shard in stored.shards
        )


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "store"
    filled(folder).close()
    return folder


@pytest.fixture
def killed(tmp_path):
    """A store as a driver leaves it that is killed: its newest answers lie in the log."""
    live, folder = tmp_path / "live", tmp_path / "store"
    store = filled(live)
    folder.mkdir()
    for name in ("results.db", "results.db-wal"):
        shutil.copyfile(live / name, folder / name)
    store.close()
    assert (folder / "results.db-wal").stat().st_size
    return folder


def test_a_read_only_store_is_read(folder):
    with read_only(folder):
        assert answers(folder) == 4
        assert [path.name for path in folder.iterdir()] == ["results.db"]
        with pytest.raises(StoreError, match=r"Cannot open the store .*readonly"):
            Store(f"sqlite:///{folder}/results.db")


def test_a_read_only_store_is_read_with_its_newest_answers(killed):
    with read_only(killed):
        assert answers(killed) == 4
        assert sorted(path.name for path in killed.iterdir()) == ["results.db", "results.db-wal"]


def test_a_copy_that_cannot_be_made_leaves_nothing(killed, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    temporary = tmp_path / "temporary"
    temporary.mkdir()
    temporary.chmod(0o777)
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    with read_only(killed), monkeypatch.context() as patched:
        patched.setattr(shutil, "copyfile", full)
        with pytest.raises(StoreError, match="Cannot read the store"):
            answers(killed)
        assert not list(temporary.iterdir())


@pytest.mark.parametrize("state", ["folder", "killed"])
def test_a_store_on_a_full_disk_is_read(state, request, tmp_path):
    source, disk = request.getfixturevalue(state), tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True
    ).returncode:
        pytest.skip("a small disk can be mounted by root alone")
    try:
        for file in source.iterdir():
            shutil.copyfile(file, disk / file.name)
        with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        assert answers(disk) == 4
        with pytest.raises(StoreError, match=r"Cannot open the store"):
            Store(f"sqlite:///{disk}/results.db")
    finally:
        subprocess.run(["umount", disk], check=True)


def test_reading_changes_nothing_and_leaves_nothing(folder):
    before = (folder / "results.db").read_bytes()
    assert answers(folder) == 4
    assert (folder / "results.db").read_bytes() == before
    assert [path.name for path in folder.iterdir()] == ["results.db"]


def test_what_is_read_while_another_writes_is_up_to_date(tmp_path):
    with filled(tmp_path) as writer, Store(f"sqlite:///{tmp_path}/results.db", must_exist=True) as reader:
        writer.add_shards([Shard(CELL.id, 4, 8, outcome(4, 8), COST)])
        assert reader.ranges() == {CELL.id: [(0, 4), (4, 8)]}
        with pytest.raises(StoreError, match="readonly"):
            reader.add_shards([Shard(CELL.id, 8, 12, outcome(8, 12), COST)])


def test_the_first_writer_of_a_new_store_waits_for_another(tmp_path):
    with contextlib.closing(Store(f"sqlite:///{tmp_path}/results.db")) as store:
        other = sqlite3.connect(store.path, isolation_level=None, check_same_thread=False)
        with contextlib.closing(other):
            other.execute("BEGIN IMMEDIATE")
            ends = threading.Timer(0.5, other.execute, ["COMMIT"])
            ends.start()
            store.add_cells({CELL.id: CELL}, 4)
            assert not other.in_transaction
            ends.join()
        assert CELL.id in store.cells()


def test_a_store_that_another_process_holds_is_said_to_be_held(tmp_path, monkeypatch):
    monkeypatch.setattr(database, "PATIENCE", 0.1)
    with contextlib.closing(filled(tmp_path)) as store:
        with contextlib.closing(sqlite3.connect(store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(
                StoreError, match=r"is locked\. Another process holds it: wait for it, or end it"
            ):
                Store(f"sqlite:///{store.path}", patience=0.1)
        store.add_shards([Shard(CELL.id, 4, 8, outcome(4, 8), COST)])


def garbage(path):
    path.write_text("this is no database, " * 100)


def truncated(path):
    filled(path.parent).close()
    path.write_bytes(path.read_bytes()[:6000])


def another(path):
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE notes (text)")


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (garbage, "not a database. The file is damaged, or no store: restore a copy"),
        (truncated, "malformed. The file is damaged, or no store: restore a copy"),
        (Path.mkdir, "is a folder. Name a file in it"),
        (Path.touch, "No results yet"),
        (another, "is a database of other tables, not a store"),
        (lambda path: None, "No results yet"),
    ],
)
def test_what_is_no_store_is_never_called_safe(tmp_path, make, said, capsys):
    make(tmp_path / "results.db")
    for command in (["report", "to", "json"], ["status"]):
        with pytest.raises(SystemExit) as left:
            main([*command, "--store", f"sqlite:///{tmp_path}/results.db"])
        line = capsys.readouterr().err
        assert (left.value.code, line.count("\n")) == (1, 1)
        assert said in line
        assert "safe" not in line


OTHERS = {
    "none of our names": ("CREATE TABLE notes (text)", "is a database of other tables, not a store"),
    "one of our names": ("CREATE TABLE shards (a)", "is a database of other tables, not a store"),
    "our meta": (
        "CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL)",
        "is a database of other tables",
    ),
    "all": (
        "CREATE TABLE meta (id INTEGER PRIMARY KEY, x); CREATE TABLE cells (id TEXT PRIMARY KEY); "
        "CREATE TABLE verdicts (cell_id TEXT PRIMARY KEY); CREATE TABLE images (name); CREATE TABLE shards (a)",
        "is a database of other tables, not a store",
    ),
    "beside a store": (
        "DROP TABLE shards; CREATE TABLE shards (a)",
        "shares its database with a table 'shards' of another program. Restore a copy, or name another",
    ),
}


@pytest.mark.parametrize(("script", "said"), OTHERS.values(), ids=OTHERS)
def test_tables_of_another_program_are_never_changed(tmp_path, script, said):
    path = tmp_path / "results.db"
    if "DROP" in script:
        filled(tmp_path).close()
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(script)
        if "shards" in script:
            connection.execute("INSERT INTO shards VALUES ('kept')")
    before = path.read_bytes()
    for options in ({"must_exist": True}, {}, {"repair": True}):
        with pytest.raises(StoreError, match=said):
            Store(f"sqlite:///{path}", **options)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("postgresql://h:abc/d", "postgresql://h:***/d' has a part that is not a number"),
        ("sqlite:///x.db?timeout=9", "takes no options, and no ? in its name. Write 'sqlite:///x.db'"),
        ("sqlite:///a?b.db", "Write 'sqlite:///a', or rename the file"),
        *(
            [("sqlite:///a%00b.db", "no SQLite or PostgreSQL database")]
            if "\0" in str(make_url("sqlite:///a%00b.db").database)  # SQLAlchemy reads it so from 2.1 on
            else []
        ),
        ("sqlite:///a\0b.db", "no SQLite or PostgreSQL database"),
        ("sqlite://", "must be a file"),
        ("sqlite:///?a", "must be a file"),
        ("nonsense", "Not a store: 'nonsense'"),
        ("", "Not a store: ''"),
        ("mysql://me:secret@h/d", "Not a store: 'mysql://me:***@h/d'"),
        ("postgresql://me:secret@h:1:2/d", "Not a store: 'postgresql://***@h:1:2/d'"),
        ("postgresql+nodriver://me:secret@h/d?password=secret", "nodriver"),
        ("postgresql:/me:secret@h/d", "Not a store: 'postgresql:/***@h/d'"),
        ("postgresql:me:secret@h/d", "Not a store: '***@h/d'"),
        ("me:secret@h/d", "Not a store: '***@h/d'"),
        ("secret/secret@h/d", "Not a store: '***@h/d'"),
        ("postgresql://me:secret/d", "Not a store: 'postgresql://me:***/d'"),
        ("postgresql://me:sec/secret@h:5x/d", "Not a store: 'postgresql://***@h:5x/d'"),
        ("postgresql://me:sec?r@secret@h:5x/d", "Not a store: 'postgresql://***@h:5x/d'"),
        ("user=me password=secret host=h", "Not a store: 'user=me password=*** host=h'"),
        ("user=me PASSWORD = 'a secret' host=h", "Not a store: 'user=me PASSWORD = *** host=h'"),
        ("user=me password=a@secret host=h", "Not a store: 'user=me password=*** host=h'"),
    ],
)
def test_a_wrong_address_is_one_line_and_exit_2(url, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for command in (["report", "to", "json"], ["status"]):
        with pytest.raises(SystemExit) as left:
            main([*command, "--store", url])
        line = capsys.readouterr().err
        assert (left.value.code, line.count("\n")) == (2, 1)
        assert said in line
        assert "secret" not in line
    with pytest.raises(InputError):
        Store(url)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_no_system_takes_is_one_line(tmp_path):
    for must_exist in (True, False):
        with pytest.raises(
            StoreError, match=r"Cannot (read|create) the folder .* of the store: File name too long"
        ):
            Store(f"sqlite:///{tmp_path}/{'x' * 5000}/results.db", must_exist=must_exist)


def test_a_store_in_the_home_folder_is_not_one_in_a_folder_called_tilde(tmp_path, monkeypatch):
    """A shell leaves the ~ of sqlite:///~/results.db as it is."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    filled(Path("~")).close()
    assert answers(Path("~")) == answers(tmp_path / "home") == 4
    assert sqlite_file("sqlite:///~/results.db") == tmp_path / "home" / "results.db"
    assert list((tmp_path / "work").iterdir()) == []
    with pytest.raises(InputError, match=r"No user has the name in the path '~nobody-here/results.db'"):
        Store("sqlite:///~nobody-here/results.db")


def test_a_path_that_is_no_text_holds_a_store(tmp_path, capsys):
    """As folders of other systems are called."""
    folder = tmp_path / os.fsdecode(b"\xff")
    folder.mkdir()
    filled(folder).close()
    assert answers(folder) == 4
    with pytest.raises(SystemExit) as left:
        main(["status", "--store", f"sqlite:///{folder}/none.db"])
    assert left.value.code == 1
    assert "\\udcff/none.db does not exist" in capsys.readouterr().err


def test_passwords_are_never_shown():
    for url in (
        "postgresql+psycopg://me:secret@h:5432/d",
        "postgresql+psycopg://me@h/d?password=secret&sslmode=require",
        "postgresql://me:secret@h:abc/d?password=secret",
        "//me:secret@h/d",
        "postgresql:/me:secret@h/d",
        "postgresql://me:sec/secret@h:5432x/d",
        "postgresql:me:secret@h/d",
        "me:secret@h/d",
        "postgresql+psycopg://host=127.0.0.1 password=secret",
        "user=me password='secret' host=h",
        "postgresql://me:se?secret@secret@h:5x/d",
    ):
        assert "secret" not in shown_url(url)
    for path in ("sqlite:///runs/results.db", "sqlite:///runs/me@here.db"):
        assert shown_url(path) == path


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("host=127.0.0.1 password=secret", "host=127.0.0.1 password=***"),
        ("me:a@secret@127.0.0.1:1/d", "***@127.0.0.1"),
    ],
)
def test_a_password_that_a_driver_repeats_is_not_shown(address, host):
    with pytest.raises(StoreError, match=re.escape(f"host '{host}'")) as raised:
        Store(f"postgresql+psycopg://{address}")
    assert "secret" not in str(raised.value)


def test_a_server_that_is_not_there_is_one_line_at_once():
    with pytest.raises(
        StoreError, match=r"Cannot open the store postgresql\+psycopg://me:\*\*\*@127.0.0.1:1/d"
    ):
        Store("postgresql+psycopg://me:secret@127.0.0.1:1/d")
    with pytest.raises(
        StoreError, match=r"^Cannot read the store .*refused\. Check the disk, the permissions"
    ):
        Store("postgresql+psycopg://me:secret@127.0.0.1:1/d", must_exist=True)
