"""The one downloader: continued where it broke off, bounded in bytes and time, checked before it has its name."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from .download_progress import tell
from .errors import DataError, InputError, SdnetBenchError
from .files import cannot_write, checksum_of, locked
from .wording import shown

READ_WITHIN = 30.0  # seconds without a byte
OPEN_WITHIN = 60.0  # seconds until an address has answered, redirects included
GRACE = 60.0  # seconds in which nothing need come
SLOWEST = 4096  # bytes a second, on average, that must come after that: the limit for the whole
MOST = 64 << 30  # bytes of a file whose size nobody knows
TRIES = 5  # connections; one that brings nothing is the last
_BLOCK = 1 << 16


def download(
    url: str,
    target: Path,
    *,
    checksum: str | None = None,
    size: int | None = None,
    most: int = MOST,
    check: Callable[[Path], object] = lambda path: None,
) -> None:
    """Bring a file to this machine; it has its name when it is whole and checked.

    Until then it is `<target>.part`. With a checksum a later call goes on from there, without one nothing is kept.
    Two processes that want the same file wait for each other.

    Args:
        url: http or https.
        target: the file; its folder is made.
        checksum: "sha256:HEX" or "md5:HEX".
        size: bytes in all, where they are known.
        most: bytes of a file whose size is not known.
        check: what else must hold of the file; raises where it does not.

    Raises:
        InputError: no http or https address.
        DataError: the server cannot be reached, answers with an error, sends too much, too little or too slowly, or
            another file.
        WriteError: the disk refuses.
    """
    check_address(url)
    partial = target.with_name(f"{target.name}.part")
    with locked(partial, wait=f"Another process is fetching {target}. Waiting for it."):
        if checksum is not None and target.is_file() and not _difference(target, checksum):
            partial.unlink()  # another process has brought it meanwhile
            return
        transfer = _Transfer(url, partial, checksum is not None, size, most)
        # A part of an older file, continued with the new one, is neither: then all is fetched again, once.
        for afresh in (False, True) if checksum is not None and transfer.done else (True,):
            if afresh:
                os.truncate(partial, 0)
            transfer.run()
            try:
                if checksum is not None and (difference := _difference(partial, checksum)):
                    raise DataError(f"{url}: {difference}: a damaged or another file.")
                check(partial)
            except SdnetBenchError:
                if afresh:
                    partial.unlink()
                    raise
            else:
                break
        os.replace(partial, target)


def fetch_text(url: str, most: int = 4096) -> str | None:
    """A small text, or None where the server has none; InputError for no address, DataError for no server."""
    check_address(url)
    try:
        with _open(urllib.request.Request(url)) as response:
            return response.read(most).decode("ascii", "replace")
    except urllib.error.HTTPError as error:
        error.close()
        return None
    except (OSError, HTTPException, ValueError) as error:
        raise DataError(f"Cannot download {url} ({_reason(error)}).") from error


def check_address(url: str) -> None:
    """Refuse what is no plain http or https address, with an InputError."""
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port or 1) > 0
    except ValueError:
        good = False
    if not good or not all("!" <= letter <= "~" for letter in url):
        raise InputError(f"A download needs an http or https address in plain ASCII, got '{shown(url)}'.")


class _Transfer:
    """One file on its way into its part."""

    def __init__(self, url: str, partial: Path, kept: bool, size: int | None, most: int) -> None:
        self.url, self.partial, self.kept = url, partial, kept
        self.size, self.most = size, most
        self._validator: str | None = None  # of the file that the first connection began

    @property
    def done(self) -> int:
        """Bytes there."""
        return self.partial.stat().st_size

    def run(self) -> None:
        """Connect until all is there; DataError where it does not come, WriteError where the disk refuses."""
        if self.size is not None and self.done > self.size:
            os.truncate(self.partial, 0)
        self._started, self._first = time.monotonic(), self.done
        try:
            for attempt in range(1, TRIES + 1):
                before = self.done
                if self.size is not None and before == self.size:
                    return
                try:
                    self._connect()
                    return
                except urllib.error.HTTPError as error:
                    error.close()
                    raise self._failed(f"the server answers {error.code} {_reason(error)}") from None
                except (OSError, HTTPException, ValueError) as error:  # the last of a proxy's address
                    if attempt == TRIES or self.done == before:
                        raise self._failed(_reason(error)) from None
        except BaseException:  # an interrupt leaves no useless part either
            if not self.kept or not self.done:
                self.partial.unlink(missing_ok=True)
            raise

    def _connect(self) -> None:
        """Ask for what is missing; a server that does not know ranges sends all, and the part starts anew."""
        there, headers = self.done, {}
        if there and (self.kept or self._validator):
            headers = {"Range": f"bytes={there}-"}
            if not self.kept and self._validator:
                headers["If-Range"] = self._validator
        try:
            response = _open(urllib.request.Request(self.url, headers=headers))
        except urllib.error.HTTPError as error:
            if error.code == 416 and there:  # the part holds all there is, or more: the checksum decides
                error.close()
                return
            raise
        with response:
            sent = re.match(r"bytes ([0-9]+)-[0-9]+/([0-9]*)", response.headers.get("Content-Range", ""))
            if response.status != 206:
                there, sent = 0, None
            elif not sent or int(sent[1]) != there:
                os.truncate(self.partial, 0)
                raise ConnectionError("it sent another part than it was asked for")
            self._validator = response.headers.get("ETag") or response.headers.get("Last-Modified")
            length = response.headers.get("Content-Length", "")
            total = there + int(length) if length.isdecimal() and len(length) < 19 else None
            if sent and sent[2]:  # it may send less than it was asked for; more is asked for after it
                total = int(sent[2])
            if self.size is not None and total is not None and total != self.size:
                raise self._failed(f"it has {total:,} bytes instead of {self.size:,}")
            self._receive(response, there, total)

    def _receive(self, response: HTTPResponse, there: int, total: int | None) -> None:
        bound = self.most if self.size is None else self.size
        with self.partial.open("r+b") as stream:
            stream.truncate(there)
            stream.seek(there)
            while block := response.read1(_BLOCK):
                there += len(block)
                if there > bound:
                    stream.truncate(0)
                    raise self._failed(f"it sends more than {bound:,} bytes")
                with self._writing(stream):
                    stream.write(block)
                    stream.flush()
                if time.monotonic() - self._started > GRACE + max(there - self._first, 0) / SLOWEST:
                    raise self._failed(f"it is slower than {SLOWEST:,} bytes a second")
                tell(self.partial.stem, there, self.size or total)
            expected = total if self.size is None else self.size
            if expected is not None and there < expected:
                raise ConnectionError(f"the connection ended after {there:,} of {expected:,} bytes")
            with self._writing(stream):
                os.fsync(stream.fileno())

    @contextlib.contextmanager
    def _writing(self, stream: IO[bytes]) -> Iterator[None]:
        """A disk that refuses is no connection that ended: nothing is asked for again."""
        try:
            yield
        except OSError as error:
            with contextlib.suppress(OSError):
                stream.close()  # which tries once more to write what it holds
            raise cannot_write(self.partial, error) from error

    def _failed(self, reason: str) -> DataError:
        there = self.done if self.kept else 0
        end = f"{there:,} bytes are kept; the same command continues." if there else "Nothing is kept."
        return DataError(f"Cannot download {self.url} ({reason}). {end}")


def _difference(path: Path, checksum: str) -> str:
    """What is wrong with a file's checksum; empty where nothing is."""
    algorithm, _, expected = checksum.partition(":")
    found = checksum_of(path, algorithm)
    return "" if found == expected.lower() else f"checksum {found} instead of {expected}"


def _reason(error: BaseException) -> str:
    return " ".join(str(getattr(error, "reason", None) or error or type(error).__name__).split())


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects to other http and https addresses alone."""

    def http_error_302(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage
    ) -> HTTPResponse | None:
        """The answer of the address that a redirect names; DataError where it leads elsewhere."""
        place = headers.get("Location", "")
        try:
            if urlsplit(place).scheme not in ("", "http", "https"):
                raise ValueError
            return super().http_error_302(req, fp, code, msg, headers)
        except ValueError:
            fp.close()
            raise DataError(
                f"{req.full_url} redirects to an address that is not http or https: {ascii(place)[1:200]}."
            ) from None

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302


def _open(request: urllib.request.Request) -> HTTPResponse:
    """The answer. In a thread of its own, because a server may send its headers byte by byte for ever."""
    answers: list[HTTPResponse | BaseException] = []

    def ask() -> None:
        try:
            answers.append(urllib.request.build_opener(_Redirects).open(request, timeout=READ_WITHIN))
        except BaseException as error:  # noqa: BLE001  raised again in the thread that asked
            answers.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(OPEN_WITHIN)
    if not answers:
        raise TimeoutError(f"no answer within {OPEN_WITHIN:g} s")
    if isinstance(answers[0], BaseException):
        raise answers[0]
    return answers[0]
