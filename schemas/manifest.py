"""The manifest: what a finished dataset holds. It is written last, so a directory without one is unfinished.

    {"format_version": 2,
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
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from schemas.errors import DatasetError, FormatVersionError, one_line, refusing
from schemas.files import canonical_json, is_remote, replace_file
from schemas.json_files import Count, parse_object, record, said, typed
from schemas.remote import join, read_bytes
from schemas.shards import FORMAT_VERSION, shard_name

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
    """The manifest of a finished dataset, local or at a URL; DatasetError when it is unfinished or contradicts itself.

    UnreachableError where a store does not answer.
    """
    origin = join(directory, MANIFEST_NAME)
    try:
        data = read_bytes(origin)
    except FileNotFoundError as error:
        raise _unfinished(directory) from error
    except OSError as error:
        if is_remote(origin):
            raise DatasetError(
                f"cannot read {origin} ({one_line(error)}): check the address and your access"
            ) from error
        raise _unfinished(directory) from error
    manifest = Manifest.from_bytes(data, origin)
    imbalance = manifest.imbalance()
    if imbalance is not None:
        raise DatasetError(f"{origin} does not balance ({imbalance}): write the dataset again")
    return manifest


def _unfinished(directory: str | Path) -> DatasetError:
    return DatasetError(
        f"{directory} holds no {MANIFEST_NAME}, so it is not a finished dataset: "
        f"finish it with `python -m pipeline preprocess --output {directory}` and the same arguments"
    )


def write_manifest_atomically(directory: str | Path, manifest: Manifest) -> None:
    """Put the manifest of a local dataset in place, whole or not at all."""
    manifest.check_balance()
    replace_file(os.path.join(directory, MANIFEST_NAME), manifest.to_bytes())


def _check_compressor(name: str, settings: Mapping[str, Any]) -> None:
    """ValueError where a compressor's entry has not what every reader needs, each of its type."""
    hints = {"digest": str, "alphabet_size": Annotated[int, range(1, (1 << 32) + 1)]}
    for key, hint in {**hints, "symbol_dtype": Literal["uint8", "uint16", "uint32"]}.items():
        if key not in settings:
            raise ValueError(f"compressor {said(name)} lacks {key!r}")
        typed(hint, settings[key], f"{key} of compressor {said(name)}")
