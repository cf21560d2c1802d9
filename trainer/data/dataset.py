"""The documents of a finished dataset, as the trainer reads them.

    DIR or URL ── manifest.json ──► Dataset: shards by name with rows, the compressor asked for
    shard k    ── memory map ──► record batch ── raw bytes, symbols, hashes of doc_ids ──► DecodedBatch

A batch lives as long as somebody holds it, and a few of the last ones somewhat longer, because lanes that share a shard
meet in the same batches.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakValueDictionary

import numpy as np
import pyarrow as pa

from kernels.counter_rng import hash_strings
from schemas.batches import Documents
from schemas.encodings import encoding_of, symbols_of
from schemas.errors import DatasetError, SettingsError
from schemas.files import canonical_json, is_remote, sha256_hex
from schemas.held_out import is_held_out
from schemas.manifest import ShardEntry, read_manifest
from schemas.remote import join
from schemas.shard_files import check_shard
from schemas.shards import DOC_ID, RAW, documents_from_array
from schemas.vocabulary import vocabulary_size
from trainer.data.literals import with_literals
from trainer.data.shard_cache import ShardCache
from trainer.data.shard_reader import DecodedBatch, Reader

RECENT_BATCH_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOut:
    """What never enters training, and so may be evaluated on."""

    share: float = 0.0
    """Share of the documents, 0 to 1, chosen by a hash of the doc_id. It is the hash by which `python -m pipeline
    sample` holds out 0.05 of the documents, so at 0.05 the byte LM has not seen them either."""

    def __post_init__(self) -> None:
        if not 0 <= self.share < 1:
            raise SettingsError(f"--held-out-share is {self.share}, it must be at least 0 and below 1")

    def holds(self, doc_id: str) -> bool:
        """Whether the document is held out by its id."""
        return is_held_out(doc_id, self.share)


class Dataset:
    """A finished dataset, local or remote, seen through one compressor. Safe to use from several threads."""

    def __init__(
        self,
        location: str,
        *,
        compressor: str | None,
        raw: bool = True,
        literals: bool = False,
        held_out: HeldOut | None = None,
        cache: ShardCache | None = None,
    ) -> None:
        """Open it; DatasetError, FormatVersionError or SettingsError where that is impossible.

        `compressor` None: only raw bytes are decoded; `raw` False: only symbols are. `literals`: symbols of one byte
        are shown as that byte. A URL needs a `cache`.
        """
        self.location, self.compressor, self.held_out = location, compressor, held_out or HeldOut()
        self.raw, self.literals = raw, literals and compressor is not None
        if is_remote(location) and cache is None:
            raise SettingsError(f"{location} is remote and has no local cache: give a directory for it with --cache")
        self._cache = cache
        self.manifest = read_manifest(location)
        if compressor is not None and compressor not in self.manifest.compressors:
            raise DatasetError(
                f"{location} has no compressor {compressor!r}, it has {sorted(self.manifest.compressors)}: "
                f"choose one of them or preprocess the corpus again with --compressors {compressor}"
            )
        self.shards: tuple[ShardEntry, ...] = self.manifest.shards
        self._readers: WeakValueDictionary[int, Reader] = WeakValueDictionary()
        self._starts: dict[int, np.ndarray] = {}
        self._batches: WeakValueDictionary[tuple[int, int], DecodedBatch] = WeakValueDictionary()
        self._recent: OrderedDict[tuple[int, int], DecodedBatch] = OrderedDict()
        self._lock = threading.RLock()

    @property
    def alphabet_size(self) -> int:
        """Number of symbols of the compressor; 0 where only raw bytes are read."""
        return int(self.manifest.compressors[self.compressor]["alphabet_size"]) if self.compressor else 0

    @property
    def digest(self) -> str:
        """Names the documents and their encoding: equal digests give equal batches."""
        encoding = self.manifest.compressors[self.compressor]["digest"] if self.compressor else None
        names = [[shard.sha256 for shard in self.shards], self.compressor, encoding]
        return sha256_hex(canonical_json([*names, "literals"] if self.literals else names))

    def check_vocabulary(self, size: int) -> None:
        """SettingsError where a model of `size` ids cannot read the dataset's symbols."""
        needed = vocabulary_size(self.alphabet_size)
        if size < needed:
            raise SettingsError(
                f"the model has {size} ids, compressor {self.compressor!r} of {self.location} needs {needed}: "
                f"make the model with a vocabulary of {needed} or choose another compressor"
            )

    def training_rows(self) -> list[int]:
        """Rows per shard, held-out documents included: which those are is known when they are read."""
        return [shard.rows for shard in self.shards]

    def check_cache(self, open_shards: int) -> None:
        """SettingsError where a remote dataset's cache cannot hold so many shards at once."""
        if self._cache is not None:
            self._cache.check_room(self.shards, open_shards)

    def reader(self, shard: int) -> Reader:
        """An open shard. It stays open, and in the local cache, while somebody holds it."""
        with self._lock:
            reader = self._readers.get(shard)
            if reader is None:
                path = self._path(shard)
                if shard not in self._starts:
                    check_shard(path, self.shards[shard])
                reader = Reader(path, self.shards[shard], self._starts.get(shard))
                self._starts[shard] = reader.starts
                self._check_columns(reader)
                self._readers[shard] = reader
            return reader

    def batch_at(self, shard: int, row: int) -> DecodedBatch:
        """The record batch that holds a row of a shard."""
        reader = self.reader(shard)
        index = int(np.searchsorted(reader.starts, row, side="right")) - 1
        with self._lock:
            batch = self._batches.get((shard, index))
            if batch is None:
                batch = self._batches[shard, index] = self._decode(reader, index)
            self._remember((shard, index), batch)
            return batch

    def doc_ids(self, shard: int, rows: list[int]) -> list[str]:
        """The doc_ids of some rows of a shard."""
        reader = self.reader(shard)
        ids = []
        for row in rows:
            index = int(np.searchsorted(reader.starts, row, side="right")) - 1
            column = reader.columns([DOC_ID], index).column(DOC_ID)
            ids.append(column[row - int(reader.starts[index])].as_py())
        return ids

    def held_out_documents(self) -> Iterator[tuple[list[str], Documents]]:
        """What training never sees, in the dataset's order: doc_ids and texts, a record batch at a time."""
        for shard in range(len(self.shards) if self.held_out.share else 0):
            reader = self.reader(shard)
            for index in range(len(reader.starts) - 1):
                doc_ids, texts = self.held_out_in(reader, index)
                if doc_ids:
                    yield doc_ids, texts

    def held_out_in(self, reader: Reader, index: int) -> tuple[list[str], Documents]:
        """The doc_ids and texts of one record batch of a shard that training never sees."""
        rows = reader.columns([DOC_ID, RAW], index)
        rows = rows.filter(pa.array(self._held_out(rows.column(DOC_ID))))
        return rows.column(DOC_ID).to_pylist(), documents_from_array(rows.column(RAW))

    def _path(self, shard: int) -> Path:
        entry = self.shards[shard]
        if self._cache is None:
            return Path(self.location, entry.name)
        # A batch of an uncompressed shard would keep its file on the disk after the cache has let it go.
        self._recent = OrderedDict((at, batch) for at, batch in self._recent.items() if at[0] in self._readers)
        in_use = {self.shards[other].name for other in list(self._readers)}
        return self._cache.fetch(join(self.location, entry.name), entry, in_use)

    def _decode(self, reader: Reader, index: int) -> DecodedBatch:
        names = [DOC_ID] + [RAW] * (self.raw or self.literals) + ([self.compressor] if self.compressor else [])
        rows = reader.columns(names, index)
        nothing = np.zeros(rows.num_rows + 1, np.int64)
        documents = Documents(raw=np.empty(0, np.uint8), offsets=nothing)
        if self.raw or self.literals:
            documents = documents_from_array(rows.column(RAW))
        symbols, symbol_offsets = np.empty(0, np.uint16), nothing
        if self.compressor:
            symbols, symbol_offsets = symbols_of(rows, self.compressor)
            if symbols.size and int(symbols.max()) >= self.alphabet_size:
                raise DatasetError(
                    f"shard {reader.path} holds symbol {int(symbols.max())} of {self.compressor!r}, its alphabet has "
                    f"{self.alphabet_size}: the shard is damaged, write it again"
                )
        if self.compressor and self.literals:
            encoding = encoding_of(rows, self.compressor, documents)
            symbols = with_literals(encoding, documents.raw, documents.offsets, self.compressor)
        doc_ids = rows.column(DOC_ID)
        return DecodedBatch(
            first_row=int(reader.starts[index]),
            raw=documents.raw,
            raw_offsets=documents.offsets,
            symbols=symbols,
            symbol_offsets=symbol_offsets,
            hashes=_string_hashes(doc_ids),
            held_out=self._held_out(doc_ids),
        )

    def _held_out(self, doc_ids: pa.StringArray) -> np.ndarray:
        if not self.held_out.share:
            return np.zeros(len(doc_ids), bool)
        return np.array([self.held_out.holds(doc_id) for doc_id in doc_ids.to_pylist()], bool)

    def _remember(self, key: tuple[int, int], batch: DecodedBatch) -> None:
        self._recent[key] = batch
        self._recent.move_to_end(key)
        while len(self._recent) > 1 and sum(kept.size_bytes for kept in self._recent.values()) > RECENT_BATCH_BYTES:
            self._recent.popitem(last=False)

    def _check_columns(self, reader: Reader) -> None:
        if self.compressor is not None and self.compressor not in reader.names:
            raise DatasetError(
                f"shard {reader.path} has no column {self.compressor!r} although the manifest names it: write it again"
            )


def _string_hashes(strings: pa.StringArray) -> np.ndarray:
    """uint64 [n]: a hash of each string."""
    if not len(strings):
        return np.empty(0, np.uint64)
    _, offset_buffer, data = strings.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32, len(strings) + 1, 4 * strings.offset)
    return hash_strings(np.frombuffer(data or b"", np.uint8), offsets)
