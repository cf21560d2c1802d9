"""What the tests of the readers share: small corpora read whole, and their records and rejects separated."""

from __future__ import annotations

import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.corpus.read import read_documents
from pipeline.corpus.records import Record
from pipeline.corpus.settings import ReadSettings
from schemas.rejects import Reject
from tests.pipeline.corpora import whole

DEFAULTS = ReadSettings()


SMALL = ReadSettings(max_document_bytes=1000)


def read(path: Path, kind: str, settings: ReadSettings = DEFAULTS) -> list[Record | Reject]:
    return list(read_documents([whole(path, kind)], settings))


def read_bytes(tmp_path: Path, data: bytes, settings: ReadSettings = DEFAULTS, kind: str = "jsonl") -> Any:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(data)
    return read(path, kind, settings)


def good(items: Iterable[Record | Reject]) -> list[str]:
    return [item.text.decode() for item in items if isinstance(item, Record)]


def bad(items: Iterable[Record | Reject]) -> list[Reject]:
    return [item for item in items if isinstance(item, Reject)]


def only_reject(items: Iterable[Record | Reject], reason: str) -> Reject:
    (reject,) = bad(items)
    assert reject.reason == reason, reject
    assert "\n" not in reject.detail
    assert reject.detail
    return reject


DOCUMENTS = [random.Random(i).randbytes(40).hex() for i in range(3000)]
