"""Files of web servers: http:// and https://, by ranges where the server has them.

A server may lie, stall or hang up. What it sends is held against what it said: the length, the range, the version.
"""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3

from schemas import patience
from schemas.errors import one_line
from schemas.patience import TRANSIENT_STATUSES

SKIP_BYTES = 1 << 20
DAY_S = 86_400.0
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_NO_SUCH_RANGE = re.compile(r"bytes \*/(\d+)")


class WebError(OSError):
    """An answer that is not the file."""

    def __init__(self, words: str, *, status: int | None = None, retry_after_s: float = 0.0) -> None:
        super().__init__(words)
        self.status = status
        """Of HTTP; None where the answer itself is wrong."""
        self.retry_after_s = retry_after_s


class WebSource:
    """One file of a web server, the same version from the first byte to the last."""

    def __init__(self, url: str) -> None:
        self.name = url.partition("?")[0]
        self.size_bytes: int | None = None
        self.is_seekable = False
        self.is_page = False
        """Whether it is the page that a server shows for a directory."""
        self._url = url
        self._session = requests.Session()
        self._version: str | None = None
        self._is_known = False

    def open_at(self, position: int) -> WebBody:
        """The bytes from `position` on. WebError for an answer that is not these, ConnectionError for none."""
        # Stored bytes are wanted as they are, so the server must not pack them for the way.
        headers = {"Accept-Encoding": "identity"}
        if position:
            headers["Range"] = f"bytes={position}-"
            if self._version:
                headers["If-Range"] = self._version
        limit_s = patience.PATIENCE.timeout_s
        with _as_connection_error():
            response = self._session.get(self._url, headers=headers, stream=True, timeout=(limit_s, limit_s))
        try:
            return self._body(response, position)
        except BaseException:
            response.close()
            raise

    def _body(self, response: Any, position: int) -> WebBody:
        status, stated = response.status_code, response.headers.get("Content-Range", "")
        if status == 416 and position and (end := _NO_SUCH_RANGE.fullmatch(stated)):
            self._check_version(response, int(end[1]))
            if position == int(end[1]):
                return WebBody(response, 0)
        if status not in (200, 206):
            reason = http.client.responses.get(status, "")
            raise WebError(f"{status} {reason}".strip(), status=status, retry_after_s=_retry_after_s(response, status))
        if status == 206:
            found = _CONTENT_RANGE.fullmatch(stated)
            if found is None or int(found[1]) != position:
                raise WebError(
                    f"the bytes from {position} on were asked for, and the answer has {stated or 'no range'}"
                )
            total = None if found[3] == "*" else int(found[3])
            self._check_version(response, total)
            return WebBody(response, int(found[2]) + 1 - position)
        total = _length(response)
        self._check_version(response, total)
        body = WebBody(response, total)
        body.skip(position)
        return body

    def _check_version(self, response: Any, total: int | None) -> None:
        """Remember what the first answer said of the file; WebError where a later one says that it is another file."""
        version = response.headers.get("ETag", "")
        version = version if version.startswith('"') else response.headers.get("Last-Modified")
        if not self._is_known:
            self._is_known = True
            self.size_bytes, self._version = total, version
            self.is_seekable = response.headers.get("Accept-Ranges", "").lower() == "bytes"
            is_html = response.headers.get("Content-Type", "").lower().startswith("text/html")
            self.is_page = is_html and urlsplit(response.url).path.endswith("/")
        if total is not None and self.size_bytes is not None and total != self.size_bytes:
            raise WebError(f"changed while it was read: {total} bytes, {self.size_bytes} before")
        if version and self._version and version != self._version:
            raise WebError(f"changed while it was read: version {version}, {self._version} before")


class WebBody:
    """What is left of one answer."""

    def __init__(self, response: Any, size_bytes: int | None) -> None:
        self._response = response
        self._left = size_bytes

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes as they come; ConnectionError where the answer ends before its end."""
        if self._left is not None:
            size = min(size, self._left)
        if size == 0:
            return b""
        with _as_connection_error():
            data: bytes = self._response.raw.read1(size, decode_content=False)
        if self._left is not None:
            if not data:
                raise ConnectionError(f"the connection was cut off {self._left} bytes before the end")
            self._left -= len(data)
        return data

    def skip(self, count: int) -> None:
        """Read over `count` bytes, for a server that does not serve ranges."""
        while count > 0:
            data = self.read(min(count, SKIP_BYTES))
            if not data:
                raise WebError(f"changed while it was read: it ends {count} bytes before where it went on")
            count -= len(data)

    def close(self) -> None:
        """Hang up."""
        self._response.close()


def _length(response: Any) -> int | None:
    """Bytes of the body; None where the server does not say."""
    if "chunked" in response.headers.get("Transfer-Encoding", "").lower():
        return None
    words = response.headers.get("Content-Length", "")
    return int(words) if words.isascii() and words.isdigit() else None


def _retry_after_s(response: Any, status: int) -> float:
    """Seconds that the server asks to wait for, or until a date, by its own clock where it tells; at most a day."""
    words = response.headers.get("Retry-After", "").strip()
    if status not in TRANSIENT_STATUSES or not words:
        return 0.0
    if words.isascii() and words.isdigit():
        return min(float(words[:9]), DAY_S)
    until, now = _date(words), _date(response.headers.get("Date", "")) or datetime.now(UTC)
    return min(max(0.0, (until - now).total_seconds()), DAY_S) if until else 0.0


def _date(words: str) -> datetime | None:
    """A date of HTTP; None for anything else."""
    try:
        found = parsedate_to_datetime(words)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


@contextmanager
def _as_connection_error() -> Iterator[None]:
    """The errors of requests, urllib3 and http.client as Python's own, by whether a second try makes sense."""
    try:
        yield
    except (requests.RequestException, urllib3.exceptions.HTTPError, http.client.HTTPException, OSError) as error:
        causes = list(_chain(error))
        if any(isinstance(cause, socket.gaierror) and cause.errno != socket.EAI_AGAIN for cause in causes):
            raise WebError("its host is not known") from None
        if any(isinstance(cause, ssl.CertificateError) for cause in causes):
            raise WebError(f"its certificate is refused: {one_line(causes[-1])}") from None
        # A refused connection is a kind of time-out to urllib3.
        late = (TimeoutError, urllib3.exceptions.TimeoutError)
        if isinstance(causes[-1], late) and not isinstance(causes[-1], urllib3.exceptions.NewConnectionError):
            raise TimeoutError(f"nothing came for {patience.PATIENCE.timeout_s:g} s") from None
        lost = (requests.ConnectionError, requests.exceptions.ChunkedEncodingError, urllib3.exceptions.HTTPError)
        if isinstance(error, (*lost, http.client.HTTPException, ConnectionError)):
            raise ConnectionError(_last_words(causes)) from None
        raise WebError(one_line(error)) from None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it was made from, outermost first."""
    seen = set[int]()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        inner = getattr(one, "reason", None) or next(iter(one.args), None)
        one = inner if isinstance(inner, BaseException) else one.__cause__ or one.__context__


def _last_words(causes: list[BaseException]) -> str:
    """What the innermost error says, for the outer ones repeat it among the names of objects."""
    error = causes[-1]
    return (error.strerror if isinstance(error, OSError) and error.strerror else "") or one_line(error)
