"""One database by its URL: connections, transactions, and what goes wrong with either, in one line each."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError

from ..errors import InputError, StoreError, first_line
from ..reading.paths import expanded

T = TypeVar("T")
PATIENCE = 60.0  # seconds
# A process that is stopped in the middle of a write would hold up all others: the server ends its transaction.
IDLE = "SET LOCAL idle_in_transaction_session_timeout = '60s'"
# In a database of no encoding (SQL_ASCII) text would come back as bytes; a machine that is gone would never answer.
_POSTGRES = {"client_encoding": "utf8", "connect_timeout": "10", "tcp_user_timeout": "60000"}
# As libpq takes it, in a connection string or in an address.
_PASSWORD = re.compile(
    r"""(password(?:\s|%20)*(?:=|%3D)(?:\s|%20)*)('(?:[^'\\]|\\.)*'|[^\s'"]+)""", re.IGNORECASE
)
_EXTRA = "pip install 'robustbench-sdnet[postgres]'"


class Database:
    """Transactions on the database of a `Store`, which says what the arguments are and what is raised.

    Args:
        read_only: nothing is created or written, so that a folder that cannot be written, or is full, can be read.
    """

    def __init__(self, url: str, *, read_only: bool, patience: float) -> None:
        self.shown, self.patience = shown_url(url), patience
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self.url, self._engine = self._parse(url)
        self.path = Path(self.url.database or "") if self._engine.dialect.name == "sqlite" else None
        if self.path is None:
            return
        try:
            if self.path.is_dir():
                raise StoreError(f"The store {self.shown} is a folder. Name a file in it.")
            if read_only and not self.path.exists():
                raise StoreError(nothing_at(self.path))
            if not read_only:
                self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            verb = "read" if read_only else "create"
            raise StoreError(
                f"Cannot {verb} the folder {self.path.parent} of the store: {error.strerror}."
            ) from None
        if read_only:
            self._engine = self._reader(self.path)
            return
        sa.event.listen(self._engine, "connect", _prepare)
        sa.event.listen(self._engine, "begin", _begin)

    @property
    def is_postgresql(self) -> bool:
        """Whether others may write from other machines."""
        return self.path is None

    def close(self) -> None:
        """Release the connections."""
        self._engine.dispose()
        if self._copy is not None:
            self._copy.cleanup()

    def run(self, verb: str, work: Callable[[sa.Connection], T], *, patience: float | None = None) -> T:
        """Do something in one transaction, again where the server went away in between or another process is at work.

        Args:
            verb: for messages: open, read or write. What writes holds the write lock from the start, so that what it
                reads stays true.
            work: is safe to do twice: a server may go away after a commit and before it says so.

        Raises:
            StoreError: the database cannot be opened, read or written.
        """
        patience = self.patience if patience is None else patience
        # SQLite has waited as long by itself when it fails.
        until = None if self.is_postgresql else time.monotonic() + patience
        while True:
            try:
                options: dict[str, Any] = {"immediate": verb != "read", "logged": verb == "write"}
                if self.is_postgresql and verb == "read":
                    options["isolation_level"] = "REPEATABLE READ"  # so that several queries see one state
                with self._engine.connect().execution_options(**options) as connection, connection.begin():
                    if self.is_postgresql and verb != "read":
                        connection.exec_driver_sql(IDLE)
                    return work(connection)
            except DBAPIError as error:
                # Counted from the first failure: before it, this process may have been stopped for hours.
                until = until or time.monotonic() + patience
                if not self._may_pass(error) or time.monotonic() >= until:
                    raise StoreError(self._account(verb, error, patience)) from None
                self._engine.dispose()
                time.sleep(0.5)
            except UnicodeDecodeError:  # SQLite's account of what is damaged quotes it
                raise StoreError(self._damaged(verb, "it holds what is no text")) from None
            except SQLAlchemyError as error:
                raise StoreError(f"Cannot {verb} the store {self.shown}: {_reason(error)}.") from None

    def _parse(self, text: str) -> tuple[sa.URL, sa.Engine]:
        try:
            url = make_url(text)
            if url.drivername == "postgresql":
                url = url.set(drivername="postgresql+psycopg")
            if url.get_backend_name() not in ("sqlite", "postgresql") or "\0" in (url.database or ""):
                raise ArgumentError("no SQLite or PostgreSQL database")
            if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
                raise InputError("A store must be a file: write sqlite:///runs/results.db.")
            if url.get_backend_name() == "sqlite" and "?" in text:
                raise InputError(
                    "A store in a file takes no options, and no ? in its name. "
                    f"Write '{self.shown}', or rename the file."
                )
            if url.get_backend_name() == "sqlite":  # a shell leaves a ~ behind slashes as it is
                url = url.set(database=str(expanded(url.database or "")))
            settings = {} if url.get_backend_name() == "sqlite" else {**_POSTGRES, **url.query}
            engine = sa.create_engine(url, connect_args=settings)
            engine.dialect.create_connect_args(url)
        except ModuleNotFoundError as error:
            remedy = f"Run {_EXTRA}." if error.name == "psycopg" else "Write sqlite:///FILE."
            raise InputError(f"Not a store: '{self.shown}' ({_reason(error)}). {remedy}") from None
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise InputError(
                f"Not a store: '{self.shown}' ({_reason(error)}). Write sqlite:///FILE."
            ) from None
        except (ValueError, TypeError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"Not a store: '{self.shown}' has a part that is not a number. Write sqlite:///FILE or "
                "postgresql+psycopg://USER@HOST:PORT/NAME."
            ) from None
        return url, engine

    def _reader(self, path: Path) -> sa.Engine:
        """Connections that never write: as they are, or else of a file that nobody can write now, or else of a copy.

        SQLite's log (-wal) holds the newest answers and is read through an index that it makes beside the file, which
        a folder that is read-only or full does not allow. Without a log the file alone is whole.
        """
        log = path.with_name(f"{path.name}-wal")
        engine = _read_only_engine(self.url, path, "mode=rw")
        try:
            with engine.connect() as connection:
                connection.exec_driver_sql("SELECT count(*) FROM sqlite_master")
            return engine
        except DBAPIError as error:
            engine.dispose()
            refused = StoreError(self._account("read", error))
            if not isinstance(error.orig, sqlite3.OperationalError) or "locked" in str(error.orig):
                raise refused from None
        except UnicodeDecodeError:
            engine.dispose()
            raise StoreError(self._damaged("read", "it holds what is no text")) from None
        try:
            if not log.exists() or not log.stat().st_size:
                return _read_only_engine(self.url, path, "mode=ro&immutable=1")
            self._copy = tempfile.TemporaryDirectory(prefix="sdnet-bench-")
            for file in (path, log):
                shutil.copyfile(file, Path(self._copy.name, file.name))
        except OSError:
            self.close()  # what was copied may be large
            raise refused from None
        return _read_only_engine(self.url, Path(self._copy.name, path.name), "mode=rw")

    def _account(self, verb: str, error: DBAPIError, patience: float = 0) -> str:
        """What went wrong and what to do about it; "safe" is said only where the store itself is sound."""
        reason = _reason(error.orig or error)
        if type(error.orig) is sqlite3.DatabaseError:  # malformed, or not a database at all
            return self._damaged(verb, reason)
        start = f"Cannot {verb} the store {self.shown}: {reason}."
        if not self.is_postgresql and self._may_pass(error):
            return (
                f"{start} Another process holds it: wait for it, or end it if it was stopped in the middle. "
                "On a network drive that cannot lock files, take a store on a local disk. "
                "What is stored is safe; then run the same command again."
            )
        if verb == "open":
            return f"{start} Check the address, the disk and the permissions."
        served = patience and self.is_postgresql and self._may_pass(error)
        waited = f" Waited {patience:.0f} s for the server." if served else ""
        safe = " Finished shards are safe; check" if verb == "write" else " Check"
        return f"{start}{waited}{safe} the disk, the permissions and the server, then run the same command again."

    def _damaged(self, verb: str, reason: str) -> str:
        return (
            f"Cannot {verb} the store {self.shown}: {reason}. "
            "The file is damaged, or no store: restore a copy, or name another --store."
        )

    def _may_pass(self, error: DBAPIError) -> bool:
        """Whether a PostgreSQL server is stopping, starting, full, or not there, or undid the transaction by itself; or
        others are at work in an SQLite file, for which it does not wait by itself to switch to WAL."""
        if not self.is_postgresql:
            return "locked" in str(error.orig)
        state: str | None = getattr(error.orig, "sqlstate", None)
        if state is None:
            return error.connection_invalidated or type(error.orig).__name__ == "OperationalError"
        return state.startswith(("08", "57P", "40")) or state in ("53300", "25P03")


def nothing_at(where: object, what: str = "does not exist") -> str:
    """That there is no store yet, and how to get one."""
    return f"No results yet: {where} {what}. Run 'sdnet-bench corrupt' or 'sdnet-bench attack' first."


def shown_url(url: str) -> str:
    """A URL as messages print it: no password, also where it is mistyped, and no query, which may hold one."""
    try:
        parsed = make_url(url)
        if parsed.get_backend_name() == "sqlite" and not parsed.host:
            return url.partition("?")[0]
        if "@" not in f"{parsed.host}{parsed.database}":
            return _hidden(parsed.set(query={}).render_as_string(hide_password=True))
    except (ArgumentError, ValueError):
        pass
    text = re.sub(r"^((?:\w[\w+.-]*:)?[/\\]+)?.*@", r"\1***@", _hidden(url), flags=re.DOTALL)
    # What stands where a port should may be a password.
    return re.sub(r"(?<=//)([^/?:@]*):(?!\d+(?:[/?]|$))[^/?]*", r"\1:***", text).partition("?")[0]


def _hidden(text: str) -> str:
    """A text without the password of a connection string, as libpq takes it."""
    return _PASSWORD.sub(r"\1***", text)


def _reason(error: BaseException) -> str:
    """What a library says was wrong; it repeats what it took for a host."""
    return re.sub(r"[^\s'\"]*@", "***@", _hidden(first_line(error))).rstrip(".")


def sqlite_file(url: str) -> Path | None:
    """The file that an SQLite URL names; None for other databases, and for what is no URL."""
    try:
        parsed = make_url(url)
        is_file = parsed.get_backend_name() == "sqlite" and parsed.database
        return expanded(parsed.database or "") if is_file else None
    except (ArgumentError, InputError):
        return None


def _read_only_engine(url: sa.URL, path: Path, mode: str) -> sa.Engine:
    address = f"file:{quote(os.fsencode(path.absolute()))}?{mode}"  # bytes, which may be no text

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(address, uri=True, isolation_level=None, check_same_thread=False)
        connection.text_factory = _text
        connection.execute(f"PRAGMA busy_timeout={1000 * PATIENCE:.0f}")
        connection.execute("PRAGMA query_only=ON")
        return connection

    engine = sa.create_engine(url.set(query={}), creator=connect)
    sa.event.listen(engine, "begin", _begin)
    return engine


def _text(raw: bytes) -> str:
    """Text that is damaged too, so that its row can be named."""
    return raw.decode(errors="replace")


def _prepare(connection: Any, _: object) -> None:
    """FULL makes a finished shard survive a power cut."""
    connection.isolation_level = None  # transactions begin where `_begin` says, not where the driver guesses
    connection.text_factory = _text
    try:
        for setting in (f"busy_timeout={1000 * PATIENCE:.0f}", "synchronous=FULL", "foreign_keys=ON"):
            connection.execute(f"PRAGMA {setting}")
    except sqlite3.Error:  # it is no database
        connection.close()  # which the pool does with what it has, but it has not got this one yet
        raise


def _begin(connection: sa.Connection) -> None:
    """WAL lets reports read while shards are written; the file notes it, so not before it is known to be a store."""
    options = connection.get_execution_options()
    if options.get("logged"):
        connection.exec_driver_sql("PRAGMA journal_mode=WAL")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if options.get("immediate") else "BEGIN")
