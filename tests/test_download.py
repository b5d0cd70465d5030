"""The downloader against a server on this machine: whole, broken off, slow, endless, redirected, damaged."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from robustbench_sdnet import download as module
from robustbench_sdnet.cli import main
from robustbench_sdnet.download import download, fetch_text
from robustbench_sdnet.download_progress import heard
from robustbench_sdnet.errors import DataError, InputError, WriteError
from robustbench_sdnet.files import write_whole

from .file_server import Handler, Server, dripping, endless, failing, never_answering, redirecting, serving

CONTENT = np.random.default_rng(0).bytes(20_000)
SHA256 = f"sha256:{hashlib.sha256(CONTENT).hexdigest()}"
KNOWN = {"checksum": SHA256}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "a").write_bytes(CONTENT)
    with serving(tmp_path / "served") as found:
        yield found


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "here" / "a"


def left(target: Path) -> list[str]:
    return sorted(path.name for path in target.parent.iterdir())


def test_a_file_comes_whole_and_checked(server: Server, target: Path) -> None:
    seen: list[tuple[str, int, int | None]] = []
    with heard(lambda *told: seen.append(told)):
        download(f"{server.url}/a", target, **KNOWN)
    assert target.read_bytes() == CONTENT
    assert seen[-1] == ("a", 20_000, 20_000)
    assert left(target) == ["a"]


def test_it_goes_on_after_broken_connections(server: Server, target: Path) -> None:
    server.break_after = [5000, 3000]
    download(f"{server.url}/a", target, **KNOWN)
    assert server.log == [None, "bytes=5000-", "bytes=8000-"]
    assert target.read_bytes() == CONTENT


def test_it_goes_on_in_a_later_call_where_a_checksum_tells_the_file(server: Server, target: Path) -> None:
    server.break_after = [1000] * module.TRIES
    with pytest.raises(
        DataError,
        match=r"ended after 5,000 of 20,000 bytes\). 5,000 bytes are kept; the same command continues.",
    ):
        download(f"{server.url}/a", target, **KNOWN)
    assert left(target) == ["a.part"]
    download(f"{server.url}/a", target, **KNOWN)
    assert server.log[-1] == "bytes=5000-"
    assert target.read_bytes() == CONTENT


def test_without_a_checksum_nothing_is_kept_and_said_so(server: Server, target: Path) -> None:
    server.break_after = [1000, 1000]
    with pytest.raises(DataError, match=r"ended after 1,000 of 20,000 bytes\). Nothing is kept."):
        download(f"{server.url}/a", target, check=lambda path: None)
    assert left(target) == []


def test_a_file_that_changes_between_two_connections_is_not_glued_together(
    server: Server, target: Path
) -> None:
    server.break_after, server.tags["/a"] = [5000], '"one"'
    other = bytes(20_000)

    def change(file: str, done: int, total: int | None) -> None:
        write_whole(server.folder / "a", other)
        server.tags["/a"] = '"two"'

    with heard(change):
        download(f"{server.url}/a", target)
    assert target.read_bytes() == other


@pytest.mark.parametrize("known", [{}, KNOWN])
def test_a_server_that_sends_less_than_the_range_is_asked_again(
    known: dict[str, Any], server: Server, target: Path
) -> None:
    third = len(CONTENT) // 3

    def stingy(handler: Handler) -> None:
        start = int((handler.headers.get("Range") or "bytes=0-")[6:-1])
        stop = min(start + third, len(CONTENT))
        handler.send_response(206 if start else 200)
        handler.send_header("ETag", '"1"')
        handler.send_header("Content-Length", str(stop - start if start else len(CONTENT)))
        if start:
            handler.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(CONTENT)}")
        handler.end_headers()
        handler.wfile.write(CONTENT[start:stop])

    server.odd["/a"] = stingy
    download(f"{server.url}/a", target, **known)
    assert target.read_bytes() == CONTENT


def test_another_part_than_was_asked_for_is_not_taken_for_the_file(server: Server, target: Path) -> None:
    def wrong(handler: Handler) -> None:
        server.odd.pop("/a")
        handler.send_response(206)
        handler.send_header("Content-Range", f"bytes 5-{len(CONTENT) - 1}/{len(CONTENT)}")
        handler.send_header("Content-Length", str(len(CONTENT) - 5))
        handler.end_headers()
        handler.wfile.write(CONTENT[5:])

    server.odd["/a"] = wrong
    with pytest.raises(DataError, match="another part than it was asked for"):
        download(f"{server.url}/a", target)
    server.odd["/a"] = wrong
    target.with_name("a.part").write_bytes(CONTENT[:100])
    download(f"{server.url}/a", target, size=len(CONTENT), **KNOWN)
    assert server.log == [None, "bytes=100-", None]
    assert target.read_bytes() == CONTENT


def test_parts_of_another_file_are_thrown_away(server: Server, target: Path) -> None:
    for stale in (b"x" * 100, b"x" * 20_000, b"x" * 30_000):
        write_whole(target.with_name("a.part"), stale)
        download(f"{server.url}/a", target, **KNOWN)
        assert target.read_bytes() == CONTENT
        target.unlink()


def test_a_complete_part_is_only_checked(server: Server, target: Path) -> None:
    for size in (None, 20_000):
        write_whole(target.with_name("a.part"), CONTENT)
        download(f"{server.url}/a", target, size=size, **KNOWN)
        assert target.read_bytes() == CONTENT
        target.unlink()
    assert server.log == ["bytes=20000-"]


def test_a_server_without_ranges_sends_it_all_again(server: Server, target: Path) -> None:
    server.resumes, server.break_after = False, [5000]
    download(f"{server.url}/a", target, **KNOWN)
    assert target.read_bytes() == CONTENT


def test_another_file_is_refused_and_forgotten(server: Server, target: Path) -> None:
    (server.folder / "a").write_bytes(b"other")
    with pytest.raises(
        DataError, match=rf"checksum [0-9a-f]{{64}} instead of {SHA256[7:]}: a damaged or another file"
    ):
        download(f"{server.url}/a", target, **KNOWN)
    assert left(target) == []

    def refuse(path: Path) -> None:
        raise DataError("no")

    with pytest.raises(DataError, match="no"):
        download(f"{server.url}/a", target, check=refuse)
    assert left(target) == []


def test_an_endless_body_stops_at_the_size_or_at_the_bound(server: Server, target: Path) -> None:
    server.odd["/a"] = endless
    with pytest.raises(DataError, match=r"it sends more than 20,000 bytes\). Nothing is kept."):
        download(f"{server.url}/a", target, size=20_000, **KNOWN)
    assert left(target) == []
    with pytest.raises(DataError, match="it sends more than 300,000 bytes"):
        download(f"{server.url}/a", target, most=300_000)
    assert left(target) == []


def test_another_length_than_the_known_size_is_refused_before_it_comes(server: Server, target: Path) -> None:
    seen: list[int] = []
    refused = pytest.raises(DataError, match="it has 20,000 bytes instead of 19,999")
    with refused, heard(lambda file, done, total: seen.append(done)):
        download(f"{server.url}/a", target, **KNOWN, size=19_999)
    assert not seen
    assert left(target) == []


def test_a_dripping_body_ends(server: Server, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GRACE", 0.2)
    server.odd["/a"] = dripping
    with pytest.raises(DataError, match="it is slower than 4,096 bytes a second"):
        download(f"{server.url}/a", target)


def test_dripping_headers_and_silence_end(
    server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "OPEN_WITHIN", 0.3)
    server.odd["/a"] = never_answering
    with pytest.raises(DataError, match=r"no answer within 0\.3 s"):
        download(f"{server.url}/a", target)
    monkeypatch.setattr(module, "READ_WITHIN", 0.1)
    done = threading.Event()
    server.odd["/a"] = lambda handler: done.wait(5)
    with pytest.raises(DataError, match="timed out"):
        download(f"{server.url}/a", target)
    done.set()


@pytest.mark.parametrize("code", [404, 500])
def test_an_error_of_the_server_is_named(code: int, server: Server, target: Path) -> None:
    server.odd["/a"] = failing(code)
    with pytest.raises(DataError, match=rf"the server answers {code} .*\). Nothing is kept.") as caught:
        download(f"{server.url}/a", target, **KNOWN)
    assert caught.value.exit_code == 1
    write_whole(target.with_name("a.part"), CONTENT[:100])
    with pytest.raises(DataError, match=r"100 bytes are kept"):
        download(f"{server.url}/a", target, **KNOWN)


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("ftp://127.0.0.1/a", "redirects to an address that is not http or https: ftp:"),
        ("file:///etc/passwd", "redirects to an address that is not http or https: file:"),
        ("http://[", "redirects to an address that is not http or https"),
        ("http://127.0.0.1:x/a", "nonnumeric port"),
        ("/\xe9 b", "the server answers 404"),  # percent-encoded, as browsers do
    ],
)
def test_redirects_lead_to_http_alone(address: str, message: str, server: Server, target: Path) -> None:
    server.odd["/r"] = redirecting(address)
    with pytest.raises(DataError, match=message) as caught:
        download(f"{server.url}/r", target)
    assert "\n" not in str(caught.value)
    assert left(target) == []


def test_a_redirect_is_followed(server: Server, target: Path) -> None:
    server.odd["/r"] = redirecting(f"{server.url}/a")
    download(f"{server.url}/r", target, **KNOWN)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize(
    "address",
    [
        "http://[",
        "https://",
        "http://a:b/c",
        "ftp://a/b",
        "file:///etc/passwd",
        "http://a/\xe9",
        "http://a/ b",
    ],
)
def test_malformed_addresses_are_one_line(
    address: str, target: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(InputError, match="A download needs an http or https address in plain ASCII"):
        download(address, target)
    with pytest.raises(SystemExit) as end:
        main(["zoo", "fetch", address])
    assert end.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_nobody_there(target: Path) -> None:
    with pytest.raises(DataError, match=r"Cannot download .*refused.*Nothing is kept"):
        download("http://127.0.0.1:9/a", target, **KNOWN)


def test_a_proxy_whose_address_is_none(target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http:/proxy:3128")
    with pytest.raises(DataError, match=r"Cannot download .*proxy URL with no authority.*Nothing is kept"):
        download("http://nowhere.example/a", target, **KNOWN)


def test_a_disk_that_refuses(
    server: Server, tmp_path: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match=r"Cannot write .*File exists.*It is a file: name a folder"):
        download(f"{server.url}/a", tmp_path / "file" / "a")

    def refuse(path: Path, mode: str = "r") -> object:
        raise OSError(28, "No space left on device")

    target.parent.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", refuse)
        with pytest.raises(WriteError, match="No space left on device"):
            download(f"{server.url}/a", target, **KNOWN)


def test_a_disk_that_is_full_in_the_middle(server: Server, target: Path) -> None:
    def in_pieces(handler: Handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for start in range(0, len(CONTENT), 1000):  # fewer bytes than a stream holds before it writes
            handler.wfile.write(CONTENT[start : start + 1000])
            time.sleep(0.005)

    server.odd["/a"] = in_pieces
    code = (
        "import resource, sys; from pathlib import Path; from robustbench_sdnet.download import download; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5500, 5500)); "
        "download(sys.argv[1], Path(sys.argv[2]), checksum=sys.argv[3])"
    )
    command = [sys.executable, "-c", code, f"{server.url}/a", str(target), SHA256]
    done = subprocess.run(command, capture_output=True, text=True)
    assert re.search(r"WriteError: Cannot write .*\(File too large\)\. Free some space", done.stderr)
    assert server.log == [None]
    assert target.with_name("a.part").read_bytes() == CONTENT[:5500]


@pytest.mark.parametrize("known", [{}, KNOWN])
def test_a_disk_that_refuses_at_the_end(
    known: dict[str, Any], server: Server, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", refuse)
    with pytest.raises(WriteError, match="No space left on device"):
        download(f"{server.url}/a", target, **known)
    assert len(server.log) == 1
    assert not target.exists()


@pytest.mark.filterwarnings("ignore::robustbench_sdnet.errors.WaitWarning")  # who waits is chance
def test_two_at_once_bring_one_file(server: Server, target: Path) -> None:
    errors: list[BaseException] = []

    def bring() -> None:
        try:
            download(f"{server.url}/a", target, **KNOWN)
        except BaseException as error:  # noqa: BLE001  a thread's is seen by nobody
            errors.append(error)

    threads = [threading.Thread(target=bring) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert target.read_bytes() == CONTENT
    assert left(target) == ["a"]
    assert len(server.log) == 1


def test_small_texts(server: Server) -> None:
    (server.folder / "a.md5").write_text("0123  a\n")
    assert fetch_text(f"{server.url}/a.md5") == "0123  a\n"
    assert fetch_text(f"{server.url}/none") is None
    server.odd["/endless"] = endless
    assert fetch_text(f"{server.url}/endless", most=10) == "\0" * 10
    with pytest.raises(DataError, match="Cannot download"):
        fetch_text("http://127.0.0.1:9/a")
