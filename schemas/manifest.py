"""The manifest: what a finished dataset holds. It is written last, so a directory without one is unfinished.

    {"format_version": 1,
     "shards": [{"name": "shard-00000-of-00016.arrow", "rows": 812, "raw_bytes": 9812345, "symbols": {"neural": …},
                 "segments": {"neural": …}, "rejects": {"empty": 3}, "sha256": "…", "file_bytes": 5123456}, …],
     "compressors": {"neural": {"digest": "…", "alphabet_size": 65536, "symbol_dtype": "uint16", …}},
     "totals": {"read": …, "written": …, "rejected": …, "rejected_by_reason": {…}, "raw_bytes": …, "symbols": {…}},
     "settings": {…}, "versions": {…}}

The totals balance: read = written + rejected, and each of them is the sum over the shards.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

import pyarrow as pa

from schemas.errors import DatasetError, FormatVersionError, refusing
from schemas.files import canonical_json, file_sha256, replace_file
from schemas.json_files import Count, parse_object, record, said, typed
from schemas.shards import FORMAT_VERSION, open_shard, read_batch, record_batches, shard_name

MANIFEST_NAME = "manifest.json"
COMPRESSOR_KEYS = ("digest", "alphabet_size", "symbol_dtype")


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardEntry:
    """One shard of a dataset, and what was set aside while it was written."""

    name: str
    """File name in the dataset's directory."""
    rows: Count
    """Documents written."""
    raw_bytes: Count
    symbols: dict[str, Count]
    """Per compressor."""
    segments: dict[str, Count]
    """Per compressor."""
    rejects: dict[str, Count]
    """Documents set aside, per reason."""
    sha256: str
    """Of the file, 64 hex digits."""
    file_bytes: Count


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """Documents, bytes and symbols of the whole dataset."""

    read: Count
    written: Count
    rejected: Count
    rejected_by_reason: dict[str, Count]
    raw_bytes: Count
    """Of the documents written."""
    symbols: dict[str, Count]
    """Per compressor."""

    @classmethod
    def of(cls, shards: Iterable[ShardEntry], *, read: int, compressors: Iterable[str]) -> Totals:
        """The sums over `shards`; `read` is what the readers counted on their own."""
        shards = list(shards)
        reasons = sum((Counter(shard.rejects) for shard in shards), Counter())
        return cls(
            read=read,
            written=sum(shard.rows for shard in shards),
            rejected=reasons.total(),
            rejected_by_reason=dict(sorted(reasons.items())),
            raw_bytes=sum(shard.raw_bytes for shard in shards),
            symbols={name: sum(shard.symbols[name] for shard in shards) for name in compressors},
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """Everything that a reader of the dataset may trust."""

    format_version: int = FORMAT_VERSION
    shards: tuple[ShardEntry, ...]
    """In the order of their index."""
    compressors: dict[str, dict[str, Any]]
    """Settings by name; each has `COMPRESSOR_KEYS`."""
    totals: Totals
    settings: dict[str, Any]
    """The options that the content depends on."""
    versions: dict[str, str]
    """Libraries, Python and device type that computed it."""

    def to_bytes(self) -> bytes:
        """Canonical JSON; equal manifests give equal bytes."""
        return canonical_json(asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes, origin: str = MANIFEST_NAME) -> Manifest:
        """The inverse of `to_bytes`. `origin` names the file in errors: FormatVersionError, else DatasetError."""
        with refusing(origin, DatasetError, "write the dataset again"):
            value = parse_object(data)
        version = value.get("format_version")
        if isinstance(version, int) and version != FORMAT_VERSION:
            raise FormatVersionError(
                f"{origin} has format version {version}, this program reads {FORMAT_VERSION}: "
                "read it with the release that wrote it, or preprocess the corpus again into another directory"
            )
        with refusing(origin, DatasetError, "write the dataset again"):
            manifest = record(cls, value)
            for index, shard in enumerate(manifest.shards):
                if shard.name != shard_name(index, len(manifest.shards)):
                    wanted = shard_name(index, len(manifest.shards))
                    raise ValueError(f"shard {index} is called {said(shard.name)}, not {wanted}")
            for name, settings in manifest.compressors.items():
                _check_compressor(name, settings)
        return manifest

    def imbalance(self) -> str | None:
        """The first sum that does not hold, in words; None when all do."""
        totals, names = self.totals, set(self.compressors)
        for shard in self.shards:
            if set(shard.symbols) != names or set(shard.segments) != names:
                return f"{shard.name} counts {sorted(shard.symbols)}, the compressors are {sorted(names)}"
        if totals.read != totals.written + totals.rejected:
            return f"read {totals.read} is not written {totals.written} + rejected {totals.rejected}"
        if totals.rejected != sum(totals.rejected_by_reason.values()):
            return f"rejected {totals.rejected} is not the sum of its reasons {totals.rejected_by_reason}"
        sums = Totals.of(self.shards, read=totals.read, compressors=names)
        for field in fields(Totals):
            stated, summed = getattr(totals, field.name), getattr(sums, field.name)
            if stated != summed:
                return f"total {field.name} is {stated}, its shards sum to {summed}"
        return None

    def check_balance(self) -> None:
        """Our own law before writing: read = written + rejected, and totals are the sums over the shards."""
        imbalance = self.imbalance()
        assert imbalance is None, imbalance


def read_manifest(directory: str | Path) -> Manifest:
    """The manifest of a finished local dataset; DatasetError when it is unfinished or contradicts itself."""
    path = Path(directory) / MANIFEST_NAME
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{directory} holds no {MANIFEST_NAME}, so it is not a finished dataset: "
            f"finish it with `python -m pipeline preprocess --output {directory}` and the same arguments"
        ) from error
    manifest = Manifest.from_bytes(data, str(path))
    imbalance = manifest.imbalance()
    if imbalance is not None:
        raise DatasetError(f"{path} does not balance ({imbalance}): write the dataset again")
    return manifest


def write_manifest_atomically(directory: str | Path, manifest: Manifest) -> None:
    """Put the manifest of a local dataset in place, whole or not at all."""
    manifest.check_balance()
    replace_file(os.path.join(directory, MANIFEST_NAME), manifest.to_bytes())


def check_shard(path: str | Path, entry: ShardEntry) -> None:
    """DatasetError where a shard's bytes are not those of the manifest; the whole file is read.

    Arrow files have no checksums: of 40 flipped bits, 11 gave other symbols without any error.
    """
    try:
        digest = file_sha256(path)
    except FileNotFoundError as error:
        raise DatasetError(f"shard {path} is missing, {MANIFEST_NAME} names it: write it again") from error
    except OSError as error:
        raise DatasetError(f"shard {path} cannot be read ({error.strerror}); repair that, or write it again") from error
    if digest != entry.sha256:
        raise DatasetError(
            f"shard {path} is damaged: its sha256 is {digest[:12]}…, {MANIFEST_NAME} says {entry.sha256[:12]}…: "
            "write it again"
        )


def open_shards(directory: str | Path) -> Iterator[pa.RecordBatch]:
    """The record batches of a finished local dataset, shard by shard, memory-mapped.

    The sizes of all shards are checked before the first batch, the sha256 of each before its own; DatasetError names
    the one that is damaged.
    """
    directory = Path(directory)
    manifest = read_manifest(directory)
    for shard in manifest.shards:
        path = directory / shard.name
        size = path.stat().st_size if path.is_file() else None
        if size != shard.file_bytes:
            found = "does not exist" if size is None else f"has {size} bytes"
            raise DatasetError(f"shard {path} {found}, {MANIFEST_NAME} says {shard.file_bytes}: write it again")
    for shard in manifest.shards:
        yield from _batches(directory / shard.name, shard)


def read_batches(directory: str | Path, numbers: Container[int]) -> Iterator[pa.RecordBatch]:
    """The record batches of a finished local dataset that have these numbers, counted from 0 over all shards.

    The others are not decoded. DatasetError as `open_shards`, but for shards whose rows are not counted.
    """
    directory = Path(directory)
    first = 0
    for shard in read_manifest(directory).shards:
        path = directory / shard.name
        reader = open_shard(path)
        for index in range(reader.num_record_batches):
            if first + index in numbers:
                yield read_batch(reader, index, path)
        first += reader.num_record_batches


def _batches(path: Path, shard: ShardEntry) -> Iterator[pa.RecordBatch]:
    rows = 0
    check_shard(path, shard)
    for batch in record_batches(open_shard(path), path):
        rows += batch.num_rows
        yield batch
    if rows != shard.rows:
        raise DatasetError(f"shard {path} has {rows} rows, {MANIFEST_NAME} says {shard.rows}: write it again")


def _check_compressor(name: str, settings: Mapping[str, Any]) -> None:
    """ValueError where a compressor's entry has not what every reader needs, each of its type."""
    hints = {"digest": str, "alphabet_size": Annotated[int, range(1, (1 << 32) + 1)]}
    for key, hint in {**hints, "symbol_dtype": Literal["uint8", "uint16", "uint32"]}.items():
        if key not in settings:
            raise ValueError(f"compressor {said(name)} lacks {key!r}")
        typed(hint, settings[key], f"{key} of compressor {said(name)}")
