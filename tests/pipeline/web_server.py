"""A web server that behaves badly on purpose, in a thread of this process."""

from __future__ import annotations

import http.server
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.http_servers import serving

STALL_SECONDS = 3.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Fault:
    """What one answer does wrong."""

    status: int = 0
    """Answer with this status and no file."""
    retry_after: str = ""
    """Header of that answer."""
    cut_after: int | None = None
    """Close the connection after so many bytes of the body."""
    stall_after: int | None = None
    """Send nothing more after so many bytes of the body."""
    refuse: bool = False
    """Close the connection before any answer."""


@dataclass(kw_only=True, slots=True)
class Site:
    """What a server has, how it serves it, and what it was asked."""

    files: dict[str, bytes]
    """Path without its slash to bytes."""
    lengths: bool = True
    """Send Content-Length; else the body is chunked."""
    ranges: bool = True
    """Serve ranges."""
    longest_range: int | None = None
    """Send at most so many bytes of a range."""
    fault: Callable[[int, str], Fault | None] = lambda number, path: None
    """The fault of the answer to a request, by its number from 0 and its path."""
    requests: list[str] = field(default_factory=list)
    """Paths in the order in which they were asked for."""
    versions: dict[str, str] = field(default_factory=dict)
    """ETags."""


@contextmanager
def serve(site: Site) -> Iterator[str]:
    """The site's address, without a final slash."""
    stop = threading.Event()
    lock = threading.Lock()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: object) -> None:
            pass

        def do_GET(self) -> None:
            with lock:
                number = len(site.requests)
                path = self.path.partition("?")[0].lstrip("/")
                site.requests.append(path)
            fault = site.fault(number, path) or Fault()
            self.close_connection = True
            if fault.refuse:
                self.connection.shutdown(socket.SHUT_RDWR)
            elif fault.status:
                self._say(fault.status, {"Retry-After": fault.retry_after} if fault.retry_after else {}, b"")
            elif path not in site.files:
                self._say(404, {}, b"")
            else:
                self._send(site.files[path], fault, site.versions.get(path, '"1"'))

        def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(body)), "Connection": "close"}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def _send(self, data: bytes, fault: Fault, version: str) -> None:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "") if site.ranges else None
            if asked and self.headers.get("If-Range", version) != version:
                asked = None
            start, end = (int(asked[1]), len(data)) if asked else (0, len(data))
            if asked and start >= len(data):
                self._say(416, {"Content-Range": f"bytes */{len(data)}"}, b"")
                return
            if asked and site.longest_range:
                end = min(end, start + site.longest_range)
            self.send_response(206 if asked else 200)
            self.send_header("ETag", version)
            self.send_header("Connection", "close")
            if asked:
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(data)}")
            if site.ranges:
                self.send_header("Accept-Ranges", "bytes")
            if site.lengths:
                self.send_header("Content-Length", str(end - start))
            else:
                self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            stops = [stop_at for stop_at in (fault.cut_after, fault.stall_after) if stop_at is not None]
            body = data[start:end][: min(stops, default=None)]
            try:
                if site.lengths:
                    self.wfile.write(body)
                elif body:
                    self.wfile.write(f"{len(body):x}\r\n".encode() + body + b"\r\n")
                if fault.stall_after is not None:
                    self.wfile.flush()
                    stop.wait(STALL_SECONDS)
                elif not stops and not site.lengths:
                    self.wfile.write(b"0\r\n\r\n")
            except OSError:
                pass

    with serving(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            stop.set()
