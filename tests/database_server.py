"""A PostgreSQL server of the tests' own: the machine's binaries in a temporary folder, reached by a Unix socket."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

REMEDY = "no PostgreSQL server is installed. Run: sudo apt-get install --yes postgresql"


class Postgres:
    """One server; it starts and stops as often as a test likes, and keeps its databases."""

    def __init__(self, binaries: Path, folder: Path, fsync: str = "off") -> None:
        self._binaries, self.folder, self._fsync, self._names = binaries, folder, fsync, count()
        # PostgreSQL refuses to run as root.
        self._account = None
        if os.geteuid() == 0:
            names = {entry.pw_name for entry in pwd.getpwall()}
            self._account = "postgres" if "postgres" in names else "nobody"
            shutil.chown(folder, self._account)
        folder.chmod(0o700)
        self._run(
            "initdb",
            "--username=tests",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--pgdata",
            folder / "data",
        )

    def start(self) -> None:
        """Returns once it answers."""
        options = f"-k {self.folder} -c listen_addresses='' -c fsync={self._fsync}"
        self._run(
            "pg_ctl", "-w", "-D", self.folder / "data", "-l", self.folder / "log", "-o", options, "start"
        )

    def stop(self, mode: str = "immediate") -> None:
        """Connections are cut; "immediate" is as if the machine died."""
        self._run("pg_ctl", "-w", "-D", self.folder / "data", "-m", mode, "stop")

    def is_running(self) -> bool:
        """Whether it answers."""
        return (self.folder / "data" / "postmaster.pid").exists()

    def database(self, encoding: str = "UTF8") -> str:
        """The URL of a new, empty database."""
        name = f"tests{next(self._names)}"
        self._run("createdb", "-h", self.folder, "-U", "tests", "-T", "template0", "-E", encoding, name)
        return f"postgresql+psycopg://tests@/{name}?host={self.folder}"

    def _run(self, program: str, *arguments: str | Path) -> None:
        # A server that inherits a pipe would hold it open, and who reads it would wait for ever.
        with (self.folder.parent / f"{self.folder.name}.{program}.log").open("w+") as said:
            done = subprocess.run(
                [self._binaries / program, *arguments],
                stdout=said,
                stderr=said,
                stdin=subprocess.DEVNULL,
                cwd="/",
                user=self._account,
                env={**os.environ, "LC_ALL": "C"},
                timeout=60,
            )
            said.seek(0)
            assert done.returncode == 0, f"{program}: {said.read()}"
        Path(said.name).unlink()


def _binaries() -> Path | None:
    """Where initdb lies; distributions keep it off the path, under a version's number."""
    found = [Path(path).resolve() for path in (shutil.which("initdb"),) if path]
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    return found[0].parent if found else None


@contextmanager
def serving(fsync: str = "off") -> Iterator[Postgres | None]:
    """A running server; None where none is installed.

    Args:
        fsync: "on" writes through to the disk, which tests need not wait for.
    """
    binaries = _binaries()
    if binaries is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="sdnet-pg-"))
    try:
        server = Postgres(binaries, folder, fsync)
        server.start()
        try:
            yield server
        finally:
            if server.is_running():
                server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Postgres]:
    """A running server; skipped where none is installed, a failure in continuous integration."""
    with serving() as server:
        if server is None:
            (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(REMEDY)
        yield server


@pytest.fixture
def postgres(postgres_server: Postgres) -> Iterator[Postgres]:
    """The same, running again after a test that stopped it."""
    yield postgres_server
    if not postgres_server.is_running():
        postgres_server.start()
