"""Verify finished datasets: every encoding of every document against its raw bytes, shard by shard."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.compressors.base import Compressor, SupportsModelDecode
from pipeline.compressors.registry import dataset_compressors
from schemas.batches import Documents, Encoding
from schemas.encodings import encoding_of
from schemas.errors import DatasetError, VerificationError
from schemas.manifest import ShardEntry, read_manifest
from schemas.remote import join
from schemas.shard_files import shard_file
from schemas.shards import (
    DOC_ID,
    RAW,
    documents_from_array,
    open_shard,
    record_batches,
)

Decoder = Callable[[Encoding], Documents]
"""An encoding of documents to their exact bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What was found equal."""

    shards: int
    documents: int
    raw_bytes: int
    compressors: tuple[str, ...]


def verify(directory: str, *, device: str = "cpu", by_model: bool = False) -> Iterator[Verified]:
    """Check digests and decode everything; yields what is verified so far, after every shard.

    by_model: neural codes are decoded by the byte LM alone, without the codebook. VerificationError names the first
    shard or document that differs.
    """
    manifest = read_manifest(directory)
    compressors = dataset_compressors(directory, manifest, device=device)
    decoders = {name: _decoder(compressor, by_model) for name, compressor in compressors.items()}
    names = tuple(compressors)
    documents = raw_bytes = 0
    for number, shard in enumerate(manifest.shards, 1):
        location = join(directory, shard.name)
        with ExitStack() as stack:
            try:
                path = stack.enter_context(shard_file(directory, shard))
            except DatasetError as error:
                raise VerificationError(str(error)) from error
            rows, shard_bytes = _check_shard(path, location, shard, decoders)
        documents, raw_bytes = documents + rows, raw_bytes + shard_bytes
        yield Verified(shards=number, documents=documents, raw_bytes=raw_bytes, compressors=names)


def _check_shard(path: Path, location: str, shard: ShardEntry, decoders: Mapping[str, Decoder]) -> tuple[int, int]:
    """(rows, raw bytes) of a shard at `path`, which people know as `location`; VerificationError for what differs."""
    rows = raw_bytes = 0
    symbols = dict.fromkeys(decoders, 0)
    for batch in record_batches(open_shard(path), location):
        counts = _check_batch(location, batch, decoders)
        rows += batch.num_rows
        raw_bytes += int(documents_from_array(batch[RAW]).raw.size)
        symbols = {name: symbols[name] + counts[name] for name in decoders}
    found, stated = (rows, raw_bytes, symbols), (shard.rows, shard.raw_bytes, shard.symbols)
    if found != stated:
        raise VerificationError(f"{location} holds (rows, raw bytes, symbols) {found}, the manifest says {stated}")
    return rows, raw_bytes


def _decoder(compressor: Compressor, by_model: bool) -> Decoder:
    return compressor.decode_by_model if by_model and isinstance(compressor, SupportsModelDecode) else compressor.decode


def _check_batch(path: str, batch: pa.RecordBatch, decoders: Mapping[str, Decoder]) -> dict[str, int]:
    """Every compressor's encoding of every document in a batch against raw; its symbols, per compressor."""
    return {name: decode_batch(path, batch, name, decode)[1] for name, decode in decoders.items()}


def decode_batch(path: str, batch: pa.RecordBatch, name: str, decode: Decoder) -> tuple[Documents, int]:
    """The documents of a batch, decoded from compressor `name`, and its number of symbols.

    VerificationError, which names the shard `path`, where it does not decode, or not to the raw bytes beside it.
    """
    raw = documents_from_array(batch[RAW])
    try:
        encoding = encoding_of(batch, name, raw)
        decoded = decode(encoding)
    except (DatasetError, VerificationError) as error:
        raise VerificationError(f"{path}: {name} does not decode: {error}") from error
    if not np.array_equal(decoded.offsets, raw.offsets) or not np.array_equal(decoded.raw, raw.raw):
        raise VerificationError(_first_difference(path, name, batch, raw, decoded))
    return decoded, int(encoding.symbols.size)


def _first_difference(path: str, name: str, batch: pa.RecordBatch, raw: Documents, decoded: Documents) -> str:
    for i in range(len(raw)):
        want, got = raw.text(i), decoded.text(i)
        if want != got:
            at = next((k for k, (a, b) in enumerate(zip(want, got, strict=False)) if a != b), min(len(want), len(got)))
            return (
                f"{path}: document {batch[DOC_ID][i].as_py()}: {name} decodes to {got[at : at + 20]!r} at byte {at}, "
                f"raw has {want[at : at + 20]!r}"
            )
    raise AssertionError("batches differ, documents do not")
