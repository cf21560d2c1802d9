"""Neural codes back to bytes: by the codebook, and by the byte LM where it ends.

    symbols, window lengths ──► codes of strings, one context each ── distinct ──┬─ known ──── codebook ─┐
                                                                                └─ the rest ── byte LM ──┴─► bytes

Each distinct code is decoded once. What no encoder can have written is refused, not guessed at.
"""

from __future__ import annotations

import threading

import numpy as np

from kernels.byte_spans import ByteSpans, Codes, span_indices
from kernels.codebook import Codebook, code_keys
from kernels.string_table import StringTable, distinct
from pipeline.compressors.neural.coder import SegmentCoder, block_ends
from pipeline.compressors.neural.settings import NeuralSettings
from schemas.batches import Documents, Encoding, lengths_within, offsets_of
from schemas.errors import VerificationError


class NeuralDecoder:
    """The inverse of one neural compressor. Safe to share between threads."""

    def __init__(self, settings: NeuralSettings, book: Codebook, coder: SegmentCoder) -> None:
        self._settings, self._book, self._coder = settings, book, coder
        self._lock = threading.Lock()
        self._inverse: StringTable | None = None

    def decode(self, encoding: Encoding, *, by_model: bool = False) -> Documents:
        """The exact bytes of every document. Codes in the book are looked up, unless `by_model`."""
        _refuse_torn(encoding)
        assert encoding.window_ends is not None
        window_bytes = lengths_within(encoding.window_ends, encoding.symbol_offsets)
        raw_offsets = offsets_of(window_bytes)[encoding.symbol_offsets]
        codes = Codes(encoding.symbols, window_bytes, self._string_ends(encoding, raw_offsets, window_bytes))
        if not encoding.symbols.size:
            raw = np.empty(0, np.uint8)
        elif self._settings.context == "document":
            raw = self._coder.decode(codes)
        else:
            raw = self._decode_segments(codes, None if by_model else self._inverse_table())
        return Documents(raw=raw, offsets=raw_offsets)

    def _string_ends(self, encoding: Encoding, raw_offsets: np.ndarray, window_bytes: np.ndarray) -> np.ndarray:
        """int64 [strings], in symbols: the ends of the runs that were coded in one context, segments or blocks."""
        if self._settings.context == "segment":
            per_document = np.diff(encoding.segment_offsets)
            return np.repeat(encoding.symbol_offsets[:-1], per_document) + encoding.symbol_ends.astype(np.int64)
        ends = np.cumsum(window_bytes)
        blocks = block_ends(raw_offsets, self._coder.block_bytes)
        last_windows = np.searchsorted(ends, blocks)
        if not np.array_equal(ends[last_windows], blocks):
            raise VerificationError("a window crosses the end of a block; the shard is damaged")
        return last_windows + 1

    def _inverse_table(self) -> StringTable:
        with self._lock:
            if self._inverse is None:
                self._inverse = self._book.inverse()
            return self._inverse

    def _decode_segments(self, codes: Codes, entry_of_code: StringTable | None) -> np.ndarray:
        """The raw bytes of segments, uint8; each distinct code is decoded once, by the table of codes where it can."""
        longest, shortest = codes.window_bytes.max(), codes.window_bytes.min()
        if longest > self._settings.max_segment_bytes or shortest < 1:
            raise VerificationError(f"a window of {longest} bytes cannot be; the shard is damaged")
        keys = code_keys(codes)
        firsts, group = distinct(keys)
        lengths = np.diff(offsets_of(codes.window_bytes)[codes.ends], prepend=0)[firsts]
        offsets = offsets_of(lengths)
        strings = np.empty(int(offsets[-1]), np.uint8)
        entries = np.full(firsts.size, -1, np.int32)
        if entry_of_code is not None:
            entries, _ = entry_of_code.find(keys.take(firsts))
            known = np.flatnonzero(entries >= 0)
            places = span_indices(offsets[known], lengths[known])
            strings[places] = self._book.segments.strings().take(entries[known]).joined()
        rest = entries < 0
        if rest.any():
            unknown = np.zeros(len(codes), np.bool_)
            unknown[firsts[rest]] = True
            strings[span_indices(offsets[:-1][rest], lengths[rest])] = self._coder.decode(codes.take(unknown))
        return ByteSpans.from_offsets(strings, offsets).take(group).joined()


def _refuse_torn(encoding: Encoding) -> None:
    """VerificationError unless windows make up segments and segments make up documents."""
    assert encoding.window_ends is not None
    for offsets, columns in (
        (encoding.symbol_offsets, (encoding.symbols, encoding.window_ends)),
        (encoding.segment_offsets, (encoding.raw_ends, encoding.symbol_ends)),
    ):
        if offsets[0] or (np.diff(offsets) < 0).any() or any(column.size != offsets[-1] for column in columns):
            raise VerificationError(f"documents do not cover {offsets[-1]} windows or segments; the shard is damaged")
    origins = np.repeat(encoding.symbol_offsets[:-1], np.diff(encoding.segment_offsets))
    ends = np.concatenate(([0], origins + encoding.symbol_ends))
    if not np.array_equal(ends[encoding.segment_offsets], encoding.symbol_offsets) or (np.diff(ends) < 1).any():
        raise VerificationError("symbol_ends do not cut the symbols into segments; the shard is damaged")
    if not np.array_equal(encoding.window_ends[ends[1:] - 1], encoding.raw_ends):
        raise VerificationError("raw_ends are not where the last windows of the segments end; the shard is damaged")
    if encoding.symbols.size and lengths_within(encoding.window_ends, encoding.symbol_offsets).min() < 1:
        raise VerificationError("window_ends do not rise; the shard is damaged")
