"""Downloads from a server on this machine: whole, broken off, damaged."""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from robustbench_sdnet.data import resumable
from robustbench_sdnet.data.hashes import read_hashes
from robustbench_sdnet.data.published import Published
from robustbench_sdnet.errors import DataError, InputError
from robustbench_sdnet.files import sha256_of


def tar_of(arrays: dict[str, np.ndarray]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for name, array in arrays.items():
            content = io.BytesIO()
            np.save(content, array)
            entry = tarfile.TarInfo(name)
            entry.size = len(content.getvalue())
            tar.addfile(entry, io.BytesIO(content.getvalue()))
        link = tarfile.TarInfo("CIFAR-10-C/link.npy")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return stream.getvalue()


IMAGES = np.random.default_rng(0).integers(0, 256, (10, 32, 32, 3)).astype(np.uint8)
TAR = tar_of(
    {"CIFAR-10-C/fog.npy": IMAGES, "CIFAR-10-C/labels.npy": np.zeros(10, np.int64), "../../evil.npy": IMAGES}
)


class Server:
    """Serves one file; `cut` bytes a response at most, `ranges` whether it knows them."""

    def __init__(self) -> None:
        self.content, self.cut, self.ranges, self.starts = TAR, None, True, []  # type: ignore[var-annotated]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked = re.match(r"bytes=(\d+)-", self.headers.get("Range", ""))
                start = int(asked[1]) if asked and outer.ranges else 0
                outer.starts.append(int(asked[1]) if asked else 0)
                if self.path != "/CIFAR-10-C.tar":
                    self.send_error(404)
                elif start >= len(outer.content):
                    self.send_error(416)
                else:
                    body = outer.content[start:]
                    self.send_response(206 if asked and outer.ranges else 200)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body if outer.cut is None else body[: outer.cut])

            def log_message(self, *_: object) -> None:
                return

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()

    def entry(self, **changes: object) -> resumable.Archive:
        url = f"http://127.0.0.1:{self.http.server_address[1]}/CIFAR-10-C.tar"
        values = {"url": url, "size": len(TAR), "md5": hashlib.md5(TAR).hexdigest()} | changes
        return resumable.Archive(**values)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.http.shutdown()
    found.http.server_close()


def test_fetches_checks_and_unpacks(server: Server, tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    folder = tmp_path / "a" / "b"
    names = resumable.prepare(server.entry(), folder, lambda done, total: reports.append((done, total)))
    assert names == ["fog.npy", "labels.npy", "evil.npy"]
    assert reports[-1] == (len(TAR), len(TAR))
    # By their last names alone, links left out, the archive gone.
    assert sorted(path.name for path in folder.iterdir()) == [
        "evil.npy",
        "fog.npy",
        "hashes.json",
        "labels.npy",
    ]
    assert not list(tmp_path.glob("*.npy"))
    np.testing.assert_array_equal(Published(folder).images("fog", 2), IMAGES[2:4])
    assert read_hashes(folder)["fog"]["sha256"] == sha256_of(folder / "fog.npy")


def test_goes_on_after_a_broken_connection(server: Server, tmp_path: Path) -> None:
    server.cut = len(TAR) // 3 + 1
    resumable.fetch(server.entry(), tmp_path / "t.tar")
    assert (tmp_path / "t.tar").read_bytes() == TAR
    assert server.starts == [0, server.cut, 2 * server.cut]


def test_goes_on_in_the_next_run(server: Server, tmp_path: Path) -> None:
    (tmp_path / "t.tar.part").write_bytes(TAR[:1000])
    resumable.fetch(server.entry(), tmp_path / "t.tar")
    assert server.starts == [1000]
    assert (tmp_path / "t.tar").read_bytes() == TAR


@pytest.mark.parametrize("size", [0, len(TAR)])
def test_a_complete_part_is_only_checked(server: Server, tmp_path: Path, size: int) -> None:
    (tmp_path / "t.tar.part").write_bytes(TAR)
    resumable.fetch(server.entry(size=size), tmp_path / "t.tar")
    assert (tmp_path / "t.tar").read_bytes() == TAR


def test_a_server_without_ranges_and_a_part_too_long(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    for part in (TAR[:1000], TAR + b"more"):
        (tmp_path / "t.tar.part").write_bytes(part)
        resumable.fetch(server.entry(), tmp_path / "t.tar")
        assert (tmp_path / "t.tar").read_bytes() == TAR


def test_another_file_is_refused_and_forgotten(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"checksum .* instead of 0000"):
        resumable.prepare(server.entry(md5="0000"), tmp_path)
    assert not list(tmp_path.iterdir())


def test_failures_keep_what_came(server: Server, tmp_path: Path) -> None:
    server.cut = 100
    with pytest.raises(DataError, match="500 bytes are kept; the same command continues"):
        resumable.fetch(server.entry(), tmp_path / "t.tar")
    server.cut = 0
    with pytest.raises(DataError, match="closed after 500 of"):
        resumable.fetch(server.entry(), tmp_path / "t.tar")
    with pytest.raises(DataError, match="Not Found"):
        resumable.fetch(server.entry(url=server.entry().url + "x"), tmp_path / "u.tar")
    with pytest.raises(DataError, match="needs an http or https address"):
        resumable.fetch(server.entry(url="file:///etc/passwd"), tmp_path / "v.tar")
    server.http.shutdown()
    server.http.server_close()
    with pytest.raises(DataError, match="Could not download"):
        resumable.fetch(server.entry(), tmp_path / "w.tar")


def test_damaged_archives_and_unwritable_folders(server: Server, tmp_path: Path) -> None:
    server.content = b"no tar at all" * 100
    entry = server.entry(size=0, md5=hashlib.md5(server.content).hexdigest())
    with pytest.raises(DataError, match="is damaged"):
        resumable.prepare(entry, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="Cannot write to"):
        resumable.prepare(server.entry(), tmp_path / "file" / "x")


def test_the_published_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SDNET_BENCH_MIRROR", raising=False)
    assert resumable.archive("cifar10c").size == 2_918_471_680
    assert resumable.archive("cifar100c").url.startswith("https://zenodo.org/records/3555552/")
    monkeypatch.setenv("SDNET_BENCH_MIRROR", "http://mirror/x/")
    assert resumable.archive("cifar10c").url == "http://mirror/x/CIFAR-10-C.tar"
    with pytest.raises(InputError, match="Did you mean 'cifar10c'"):
        resumable.archive("cifar10")
