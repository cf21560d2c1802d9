"""As much of Google's cloud as a submission touches, on a port of this machine: tokens, Storage, Dataflow's REST.

Storage has two languages: Beam's own clients stage a job in JSON, this program's client (obstore) speaks XML.
"""

from __future__ import annotations

import base64
import importlib
import json
import re
import xml.etree.ElementTree as ET
from contextlib import AbstractContextManager
from hashlib import md5
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.http_servers import serving

JOB_ID = "2026-11-24_00_00_00-1"
MOMENT = "2026-11-24T00:00:00.000Z"


class FakeGoogle(ThreadingHTTPServer):
    """Objects by `bucket/name`, and the jobs that were asked for; every job is done at once and has done nothing."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("localhost", 0), _Handler)
        self.objects: dict[str, bytes] = {}
        self.generations: dict[str, int] = {}
        """Of the objects that were written in XML; any other has 1."""
        self.jobs: list[dict[str, Any]] = []
        self.unknown: list[str] = []
        self.refuse_as_active = False
        """Answer a submission as if a job of that name ran already."""
        self.read_only = False
        self.url = f"http://localhost:{self.server_port}"

    def described(self, path: str) -> dict[str, Any]:
        """An object as Storage describes it."""
        bucket, _, name = path.partition("/")
        data = self.objects[path]
        digest = base64.b64encode(md5(data).digest()).decode()
        crc32c = importlib.import_module("google_crc32c").value(data)
        return {
            "kind": "storage#object", "bucket": bucket, "name": name, "size": str(len(data)), "generation": "1",
            "metageneration": "1", "md5Hash": digest, "updated": MOMENT, "timeCreated": MOMENT, "etag": "e",
            "contentType": "application/octet-stream", "id": f"{path}/1",
            "crc32c": base64.b64encode(crc32c.to_bytes(4, "big")).decode(),
        }  # fmt: skip


class _Handler(BaseHTTPRequestHandler):
    server: FakeGoogle
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing on stderr."""

    def _answer(self, status: int, body: Any = None, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        self.send_response(status)
        for name, value in {"Content_Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _missing(self) -> None:
        self._answer(404, {"error": {"code": 404, "message": "Not Found"}})

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if match := re.fullmatch(r"(?:/download)?/storage/v1/b/([^/]+)/o/(.+)", url.path):
            self._get_object(f"{match[1]}/{unquote(match[2])}", "media" in (query.get("alt") or ""))
        elif match := re.fullmatch(r"/storage/v1/b/([^/]+)/o", url.path):
            start = f"{match[1]}/{query.get('prefix', '')}"
            names = sorted(path for path in self.server.objects if path.startswith(start))
            self._answer(200, {"kind": "storage#objects", "items": [self.server.described(path) for path in names]})
        elif match := re.fullmatch(r"/storage/v1/b/([^/]+)", url.path):
            self._answer(200, {"kind": "storage#bucket", "name": match[1], "id": match[1], "projectNumber": "1"})
        elif url.path.startswith("/v1b3/") and url.path.endswith("/messages"):
            self._answer(200, {})
        elif url.path.startswith("/v1b3/"):
            self._answer(200, {"id": JOB_ID, "currentState": "JOB_STATE_DONE"})
        elif query.get("list-type") == "2":
            self._list(url.path.strip("/"), query.get("prefix", ""), query.get("delimiter", ""))
        elif url.path.count("/") > 1:
            self._get_plain(unquote(url.path[1:]))
        else:
            self._unknown()

    def do_HEAD(self) -> None:
        self.do_GET()

    def _list(self, bucket: str, prefix: str, delimiter: str) -> None:
        """A listing in XML."""
        found = ET.Element("ListBucketResult")
        ET.SubElement(found, "IsTruncated").text = "false"
        deeper = set()
        for path in sorted(path for path in self.server.objects if path.startswith(f"{bucket}/{prefix}")):
            name = path.removeprefix(f"{bucket}/")
            if delimiter and delimiter in name[len(prefix) :]:
                deeper.add(prefix + name[len(prefix) :].partition(delimiter)[0] + delimiter)
                continue
            entry = ET.SubElement(found, "Contents")
            values = {"Key": name, "LastModified": MOMENT, "Size": str(len(self.server.objects[path])), "ETag": '"e"'}
            for key, value in values.items():
                ET.SubElement(entry, key).text = value
        for name in sorted(deeper):
            ET.SubElement(ET.SubElement(found, "CommonPrefixes"), "Prefix").text = name
        self._answer(200, ET.tostring(found), Content_Type="application/xml")

    def _get_plain(self, path: str) -> None:
        if path not in self.server.objects:
            self._missing()
            return
        data, generation = self.server.objects[path], str(self.server.generations.get(path, 1))
        named = {"ETag": '"e"', "x-goog-generation": generation, "Last_Modified": "Tue, 24 Nov 2026 00:00:00 GMT"}
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        if not asked:
            self._answer(200, data, **named)
            return
        first, last = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
        self._answer(206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}", **named)

    def _put_plain(self, path: str, data: bytes) -> None:
        """Write an object, on condition of its generation where the request names one."""
        known, wanted = self.server.generations, self.headers.get("x-goog-if-generation-match")
        there = known.get(path, 1) if path in self.server.objects else 0
        if self.server.read_only:
            self._answer(403, b"<Error><Code>AccessDenied</Code></Error>", Content_Type="application/xml")
        elif wanted is not None and int(wanted) != there:
            self._answer(412, b"<Error><Code>PreconditionFailed</Code></Error>", Content_Type="application/xml")
        else:
            self.server.objects[path] = data
            known[path] = max(known.values(), default=1) + 1
            self._answer(200, b"", ETag='"e"', **{"x-goog-generation": str(known[path])})

    def _get_object(self, path: str, media: bool) -> None:
        if path not in self.server.objects:
            self._missing()
        elif not media:
            self._answer(200, self.server.described(path))
        else:
            data = self.server.objects[path]
            asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
            if not asked:
                self._answer(200, data)
                return
            first, last = int(asked[1]), min(int(asked[2] or len(data) - 1), len(data) - 1)
            if first >= len(data):
                self._answer(416)
                return
            self._answer(206, data[first : last + 1], Content_Range=f"bytes {first}-{last}/{len(data)}")

    def do_POST(self) -> None:
        url, body = urlsplit(self.path), self._body()
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if url.path == "/token":
            self._answer(200, {"access_token": "t", "expires_in": 3600, "token_type": "Bearer"})
        elif url.path == "/batch/storage/v1":
            self._batch(body)
        elif match := re.fullmatch(r"/upload/storage/v1/b/([^/]+)/o", url.path):
            if self.server.read_only:
                self._answer(403, {"error": {"code": 403, "message": "nobody may not storage.objects.create"}})
            else:
                assert query["uploadType"] == "resumable", self.path
                name = query.get("name") or json.loads(body)["name"]
                self._answer(200, Location=f"{self.server.url}/session/{match[1]}/{name}")
        elif "/rewriteTo/" in url.path or "/copyTo/" in url.path:
            self._answer(200, self._copy(url.path))
        elif re.fullmatch(r"/v1b3/projects/[^/]+/locations/[^/]+/jobs", url.path):
            self._create_job(json.loads(body))
        else:
            self._unknown()

    def _create_job(self, job: dict[str, Any]) -> None:
        self.server.jobs.append(job)
        request = "of another launcher" if self.server.refuse_as_active else job["clientRequestId"]
        self._answer(200, {"id": JOB_ID, "name": job["name"], "clientRequestId": request})

    def do_PUT(self) -> None:
        path, data = unquote(urlsplit(self.path).path), self._body()
        if not path.startswith("/session/"):
            self._put_plain(path[1:], data)
            return
        path = path.removeprefix("/session/")
        begin, total = re.fullmatch(r"bytes (\*|\d+)(?:-\d+)?/(\*|\d+)", self.headers["Content-Range"]).groups()  # type: ignore[union-attr]
        before = b"" if begin in ("0", "*") else self.server.objects.get(f"partial {path}", b"")
        if total == "*":
            self.server.objects[f"partial {path}"] = before + data
            self._answer(308, Range=f"bytes=0-{len(before + data) - 1}")
            return
        self.server.objects.pop(f"partial {path}", None)
        self.server.objects[path] = before + data
        self._answer(200, self.server.described(path))

    def _copy(self, path: str) -> dict[str, Any]:
        """Copy an object as a path says; what Storage answers."""
        match = re.fullmatch(r"/storage/v1/b/([^/]+)/o/(.+)/(rewriteTo|copyTo)/b/([^/]+)/o/(.+)", path)
        assert match, path
        destination = f"{match[4]}/{unquote(match[5])}"
        self.server.objects[destination] = self.server.objects[f"{match[1]}/{unquote(match[2])}"]
        described = self.server.described(destination)
        return {"done": True, "resource": described} if match[3] == "rewriteTo" else described

    def _delete(self, path: str) -> bool:
        plain = urlsplit(path).path
        match = re.fullmatch(r"/storage/v1/b/([^/]+)/o/(.+)", plain)
        name = f"{match[1]}/{unquote(match[2])}" if match else unquote(plain[1:])
        return self.server.objects.pop(name, None) is not None

    def _batch(self, body: bytes) -> None:
        parts = []
        for number, (method, path) in enumerate(re.findall(r"^([A-Z]+) (\S+) HTTP", body.decode(), re.MULTILINE)):
            if method == "DELETE":
                status, answer = ("204 No Content" if self._delete(path) else "404 Not Found"), {}
            else:
                status, answer = "200 OK", self._copy(urlsplit(path).path)
            parts.append(
                f"--b\r\nContent-Type: application/http\r\nContent-ID: <response-{number}>\r\n\r\n"
                f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n\r\n{json.dumps(answer)}\r\n"
            )
        self._answer(200, ("".join(parts) + "--b--").encode(), Content_Type="multipart/mixed; boundary=b")

    def do_DELETE(self) -> None:
        if self._delete(self.path):
            self._answer(204)
        else:
            self._missing()

    def _unknown(self) -> None:
        self.server.unknown.append(f"{self.command} {self.path}")
        self._missing()


def fake_google() -> AbstractContextManager[FakeGoogle]:
    """The server, up while the body runs."""
    return serving(FakeGoogle())


def write_credentials(path: Path, server: FakeGoogle) -> str:
    """A user's credentials whose tokens the server gives. Of this type because the others ask Google about regions."""
    account = {
        "type": "external_account_authorized_user", "audience": "nobody", "client_id": "c", "client_secret": "s",
        "refresh_token": "r", "token_url": f"{server.url}/token", "token_info_url": f"{server.url}/info",
    }  # fmt: skip
    path.write_text(json.dumps(account))
    return str(path)
