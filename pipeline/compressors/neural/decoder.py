"""Neural codes back to bytes: by the codebook, and by the byte LM where it ends.

    symbols, window lengths ──► strings coded in one context ── distinct ──┬─ known codes ── codebook ─┐
                                                                          └─ the rest ───── byte LM ──┴─► bytes

Each distinct code is decoded once. What no encoder can have written is refused, not guessed at.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import numpy as np

from kernels.codebook import CODE_KEY_BYTES, Codebook, code_keys
from kernels.prefix_coding import PrefixCoder
from kernels.string_table import StringTable, distinct, span_indices
from pipeline.compressors.neural.artifact import NeuralSettings
from schemas.batches import Documents, Encoding, lengths_within
from schemas.errors import VerificationError


class NeuralDecoder:
    """The way back of one neural compressor. Safe to share between threads."""

    def __init__(
        self, settings: NeuralSettings, attention_bytes: int, book: Codebook, coder: Callable[[], PrefixCoder]
    ) -> None:
        self._settings, self._attention_bytes, self._book, self._coder = settings, attention_bytes, book, coder
        self._lock = threading.Lock()
        self._inverse: StringTable | None = None

    def decode(self, encoding: Encoding, *, by_model: bool = False) -> Documents:
        """The exact bytes of every document. Codes in the book are looked up, unless `by_model`."""
        _refuse_torn(encoding)
        assert encoding.window_ends is not None
        window_bytes = lengths_within(encoding.window_ends, encoding.symbol_offsets)
        raw_offsets = np.zeros(len(encoding) + 1, np.int64)
        np.add.at(raw_offsets[1:], np.repeat(np.arange(len(encoding)), np.diff(encoding.symbol_offsets)), window_bytes)
        np.cumsum(raw_offsets, out=raw_offsets)
        cuts = self._string_cuts(encoding, raw_offsets, window_bytes)
        lookup = None if by_model or self._settings.context == "document" else self._inverse_table()
        raw = self._decode_strings(encoding.symbols, window_bytes, cuts, lookup)
        return Documents(raw=raw, offsets=raw_offsets)

    def _string_cuts(self, encoding: Encoding, raw_offsets: np.ndarray, window_bytes: np.ndarray) -> np.ndarray:
        """int64 [strings + 1], in symbols: where the runs begin and end that were coded in one context."""
        per_document = np.diff(encoding.segment_offsets)
        if self._settings.context == "segment":
            starts = np.repeat(encoding.symbol_offsets[:-1], per_document)
            return np.concatenate(([0], starts + encoding.symbol_ends.astype(np.int64)))
        ends = np.cumsum(window_bytes)
        blocks = block_ends(raw_offsets, self._attention_bytes)
        cuts = np.searchsorted(ends, blocks)
        if not np.array_equal(ends[cuts], blocks):
            raise VerificationError("a window crosses the end of a block; the shard is damaged")
        return np.concatenate(([0], cuts + 1))

    def _inverse_table(self) -> tuple[StringTable, Codebook]:
        with self._lock:
            if self._inverse is None:
                self._inverse = self._book.inverse()
            return self._inverse, self._book

    def _decode_strings(
        self,
        symbols: np.ndarray,
        window_bytes: np.ndarray,
        cuts: np.ndarray,
        lookup: tuple[StringTable, Codebook] | None,
    ) -> np.ndarray:
        """The raw bytes of a run of codes, cut into strings; each distinct code is decoded once."""
        if not symbols.size:
            return np.empty(0, np.uint8)
        if self._settings.context == "document":
            return self._decode_by_model(symbols, window_bytes, cuts)
        if window_bytes.max() > self._settings.max_segment_bytes or window_bytes.min() < 1:
            raise VerificationError(f"a window of {window_bytes.max()} bytes cannot be; the shard is damaged")
        keys = code_keys(symbols, window_bytes)
        firsts, group = distinct(keys, CODE_KEY_BYTES * cuts[:-1], CODE_KEY_BYTES * cuts[1:])
        lengths = np.diff(np.concatenate(([0], np.cumsum(window_bytes)))[cuts])[firsts]
        offsets = np.concatenate(([0], np.cumsum(lengths)))
        strings = np.empty(int(offsets[-1]), np.uint8)
        rest = np.arange(firsts.size)
        if lookup is not None:
            table, book = lookup
            entries, _ = table.find(keys, CODE_KEY_BYTES * cuts[firsts], CODE_KEY_BYTES * cuts[firsts + 1])
            data, starts = book.segments.strings()
            known = np.flatnonzero(entries >= 0)
            places = span_indices(offsets[known], lengths[known])
            strings[places] = data[span_indices(starts[entries[known]], lengths[known])]
            rest = np.flatnonzero(entries < 0)
        if rest.size:
            counts = cuts[firsts[rest] + 1] - cuts[firsts[rest]]
            chosen = span_indices(cuts[firsts[rest]], counts)
            decoded = self._decode_by_model(
                symbols[chosen], window_bytes[chosen], np.concatenate(([0], np.cumsum(counts)))
            )
            strings[span_indices(offsets[rest], lengths[rest])] = decoded
        return strings[span_indices(offsets[group], lengths[group])]

    def _decode_by_model(self, symbols: np.ndarray, window_bytes: np.ndarray, cuts: np.ndarray) -> np.ndarray:
        raw, damaged = self._coder().decode(symbols, window_bytes.astype(np.int64), cuts)
        if damaged:
            raise VerificationError(
                f"{damaged} bytes have codes that this model cannot have written; the shard is damaged"
            )
        return raw


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


def block_ends(offsets: np.ndarray, block_bytes: int) -> np.ndarray:
    """Ends int64 of the aligned blocks of every document, over the batch."""
    lengths = np.diff(offsets)
    counts = -(-lengths // block_bytes)
    number = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
    starts, stops = np.repeat(offsets[:-1], counts), np.repeat(offsets[1:], counts)
    return np.minimum(starts + (number + 1) * block_bytes, stops)
