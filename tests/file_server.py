"""A file server on loopback that can resume, refuse to, break off, redirect, announce or send what is wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server(ThreadingHTTPServer):
    """Serves one folder.

    Attributes:
        log: the Range header of every request.
        resumes: whether ranges are honoured.
        break_after: bytes after which the next responses end early, one entry a response.
        odd: path -> what answers it in place of a file, given the handler.
        tags: path -> ETag.
    """

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.folder = folder
        self.resumes = True
        self.break_after: list[int] = []
        self.log: list[str | None] = []
        self.odd: dict[str, Callable[[Handler], None]] = {}
        self.tags: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        return  # clients hang up


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        span = self.headers.get("Range")
        self.server.log.append(span)
        if self.path in self.server.odd:
            self.server.odd[self.path](self)
            return
        path = self.server.folder / self.path.lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        content, tag = path.read_bytes(), self.server.tags.get(self.path)
        wanted = self.server.resumes and self.headers.get("If-Range", tag) == tag
        start = int(span.removeprefix("bytes=").rstrip("-")) if span and wanted else 0
        if start >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        if tag:
            self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        stop = self.server.break_after.pop(0) if self.server.break_after else len(content)
        self.wfile.write(content[start : start + stop])

    def log_message(self, *_: object) -> None:
        return


def failing(code: int) -> Callable[[Handler], None]:
    """An answer that is an error."""
    return lambda handler: handler.send_error(code)


def redirecting(address: str) -> Callable[[Handler], None]:
    """A redirect, its address sent as it is."""

    def answer(handler: Handler) -> None:
        handler.send_response(302)
        handler.send_header("Location", address)
        handler.end_headers()

    return answer


def endless(handler: Handler) -> None:
    """Bytes for ever, with no length."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(bytes(1 << 16))


def dripping(handler: Handler) -> None:
    """A byte now and then, for ever."""
    handler.send_response(200)
    handler.end_headers()
    while True:
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.02)


def never_answering(handler: Handler) -> None:
    """Headers byte by byte, for ever."""
    handler.wfile.write(b"HTTP/1.0 200 OK\r\nX-A: ")
    while True:
        handler.wfile.write(b"x")
        handler.wfile.flush()
        time.sleep(0.02)


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A running server on a free port."""
    with Server(folder) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
