"""Corpora of a wanted size as JSON lines: a part of a real one, or the dataset's documents again and again."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from pipeline.corpus.read import read_documents
from pipeline.corpus.records import Record
from pipeline.corpus.settings import ReadSettings
from schemas.held_out import hash_share
from tests.bench.common import documents
from tests.pipeline.corpora import plan_units

READ_UNIT_BYTES = 64 << 20


def corpus() -> str:
    """Where real text lies, from the command line; empty: none was named."""
    return sys.argv[2] if len(sys.argv) > 2 else ""


def records(location: str) -> Iterator[Record]:
    """The good documents of a corpus, in its order."""
    for unit in plan_units((location,), shards=None, unit_bytes=READ_UNIT_BYTES):
        for item in read_documents(unit.pieces, ReadSettings()):
            if isinstance(item, Record):
                yield item


def part(location: str, size_bytes: int) -> Iterator[Record]:
    """About `size_bytes` of a corpus: documents by a hash of their ids, so that smaller parts lie in larger ones."""
    units = plan_units((location,), shards=None, unit_bytes=READ_UNIT_BYTES)
    share = size_bytes / sum(piece.size_bytes or 0 for unit in units for piece in unit.pieces)
    return (record for record in records(location) if hash_share("bench", record.doc_id) < share)


def write_lines(path: Path, directory: str, location: str, size_bytes: int) -> int:
    """Write about `size_bytes` of text as JSON lines; returns how many bytes of text they hold."""
    texts = (record.text.decode() for record in part(location, size_bytes)) if location else _repeated(directory)
    written = 0
    with path.open("w", encoding="utf-8") as file:
        for text in texts:
            file.write(json.dumps({"text": text}) + "\n")
            written += len(text.encode())
            if not location and written >= size_bytes:
                break
    return written


def _repeated(directory: str) -> Iterator[str]:
    texts = [text.decode() for text in documents(directory)]
    copy = 0
    while True:
        for text in texts:
            yield f"# copy {copy}\n{text}"
        copy += 1
