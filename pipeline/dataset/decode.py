"""The corpus back from a finished dataset, byte for byte, decoded from one of its compressors."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Collection, Mapping

import pyarrow as pa

from pipeline.compressors.registry import dataset_compressors
from pipeline.corpus.languages import language_of
from pipeline.corpus.records import DOC_ID_DIGITS
from pipeline.corpus.source_files import COMPRESSED_SUFFIXES, TEXT, format_of
from pipeline.dataset.verify import decode_batch
from schemas.batches import Documents
from schemas.errors import DatasetError, VerificationError
from schemas.files import sha256_hex
from schemas.manifest import Manifest, read_manifest
from schemas.remote import join
from schemas.shard_files import KeptShards, shard_file
from schemas.shards import DOC_ID, LANGUAGE, SOURCE, open_shard, record_batches


def decode_to(directory: str, out: str, compressor: str | None = None) -> int:
    """Write every document, decoded from `compressor` (or neural, or the first), below `out`; returns how many.

    A source file comes back as the file that it was. Records of a JSON lines, Parquet or Arrow source become lines
    {"doc_id": …, "text": …} of one JSON lines file named after it, without its compression if that name is free.
    VerificationError where the encoding and the raw bytes of a document differ: neither is written then.
    """
    manifest = read_manifest(directory)
    compressors = dataset_compressors(directory, manifest)
    name = compressor or ("neural" if "neural" in compressors else next(iter(compressors)))
    if name not in compressors:
        raise DatasetError(f"{directory} has no compressor {name!r}; it has {', '.join(compressors)}")
    if os.path.isfile(out) or (os.path.isdir(out) and os.listdir(out)):
        raise DatasetError(f"{out} is not an empty directory; give another --out")
    documents = 0
    with KeptShards() as kept:
        names = _record_files(_sources(directory, manifest, kept))
        for shard in manifest.shards:
            location = join(directory, shard.name)
            with shard_file(directory, shard, kept) as path:
                for batch in record_batches(open_shard(path), location):
                    decoded, _ = decode_batch(location, batch, name, compressors[name].decode)
                    _write(out, batch, decoded, names)
                    documents += batch.num_rows
    return documents


def _write(out: str, batch: pa.RecordBatch, decoded: Documents, names: Mapping[str, str]) -> None:
    """Append the documents of a batch to their files; `names`: source to the JSON lines file of its records."""
    rows = zip(*(batch[column].to_pylist() for column in (SOURCE, DOC_ID, LANGUAGE)), strict=True)
    for i, (source, doc_id, language) in enumerate(rows):
        text = decoded.text(i)
        if _is_whole_file(source, doc_id, language):
            _append(out, source, doc_id, text)
        else:
            record = {"doc_id": doc_id, "text": _utf8(text, doc_id)}
            line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
            _append(out, names[source], doc_id, line)


def _is_whole_file(source: str, doc_id: str, language: str) -> bool:
    """Whether a document was a file of a source tree, and not a record."""
    if format_of(source) == TEXT:
        return True
    # .json is both; a file of a tree is the document at position 0 and has its language from its suffix.
    made_id = sha256_hex(f"{source}:0".encode())[:DOC_ID_DIGITS]
    return source.lower().endswith(".json") and doc_id == made_id and language == language_of(source)


def _utf8(text: bytes, doc_id: str) -> str:
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise VerificationError(
            f"document {doc_id:.60} is not UTF-8 ({error.reason} at byte {error.start}): the shard is damaged"
        ) from error


def _sources(directory: str, manifest: Manifest, kept: KeptShards) -> set[str]:
    """Every source of a dataset, whose shards are all checked before anything is written."""
    found: set[str] = set()
    for shard in manifest.shards:
        with shard_file(directory, shard, kept) as path:
            for batch in record_batches(open_shard(path, [SOURCE]), join(directory, shard.name)):
                found.update(batch[SOURCE].unique().to_pylist())
    return found


def _record_files(sources: Collection[str]) -> dict[str, str]:
    """Source to the JSON lines file of its records: without its compression, where no other source has that name."""
    short = {source: _json_name(_without_compression(source)) for source in sources}
    counts = Counter(short.values())
    names: dict[str, str] = {}
    taken = {source for source in sources if short[source] == source}
    for source in sorted(sources):
        name = short[source]
        if name != source:
            name = name if counts[name] == 1 and name not in taken else _json_name(source)
            while name in taken:
                name += ".jsonl"
        names[source] = name
        taken.add(name)
    return names


def _without_compression(source: str) -> str:
    suffix = next((suffix for suffix in COMPRESSED_SUFFIXES if source.lower().endswith(suffix)), "")
    return source[: len(source) - len(suffix)]


def _json_name(source: str) -> str:
    return source if source.endswith(".jsonl") else f"{source}.jsonl"


def _append(out: str, source: str, doc_id: str, text: bytes) -> None:
    parts = [part for part in source.replace("://", "/").split("/") if part not in ("", ".", "..")]
    path = os.path.join(out, *parts)
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "ab") as file:
            file.write(text)
    except (OSError, ValueError) as error:  # Too long, a NUL, or a file where another source needs a directory.
        reason = error.strerror if isinstance(error, OSError) else error
        raise DatasetError(
            f"document {doc_id:.60}: its source {source!r:.120} cannot be a file below {out} ({reason}); "
            "give --out on a file system that allows it, or read the shards with `open_dataset`"
        ) from error
