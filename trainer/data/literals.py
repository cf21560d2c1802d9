"""Literals: symbols that stand for a single byte, shown as that byte.

A window or a token of one byte saves nothing. Shown as the raw byte it is, within comp, it costs as many ids, needs no
code to be learnt, and puts raw bytes among the symbols, as the paper's authors' stream does for bytes that no window
packs. It is still known what was meant: a raw byte is no symbol.
"""

from __future__ import annotations

import numpy as np

from schemas.batches import Encoding
from schemas.errors import SettingsError
from schemas.vocabulary import COMP_BASE, RAW_BASE

LITERAL_BASE = RAW_BASE - COMP_BASE
"""The literal of byte b among symbols: LITERAL_BASE + b, whose model id is that of the raw byte."""


def with_literals(encoding: Encoding, raw: np.ndarray, offsets: np.ndarray, compressor: str) -> np.ndarray:
    """The symbols of n documents, int32 [n_symbols], those of a single byte as LITERAL_BASE + byte.

    raw: uint8 [n_bytes]; offsets: int64 [n + 1], of the documents. A symbol after one of no bytes stays, for both
    together are the code of its byte. SettingsError where symbols have no bytes of their own.
    """
    ends = encoding.window_ends
    if ends is None and np.array_equal(encoding.segment_offsets, encoding.symbol_offsets):
        ends = encoding.raw_ends
    if ends is None:
        raise SettingsError(
            f"--literals needs symbols with bytes of their own, those of {compressor!r} have none; leave it out"
        )
    counts = np.diff(encoding.symbol_offsets)
    at = ends.astype(np.int64) + np.repeat(offsets[:-1], counts)
    lengths = np.diff(at, prepend=offsets[0])
    is_literal = (lengths == 1) & (np.concatenate(([1], lengths[:-1])) > 0)
    symbols = encoding.symbols.astype(np.int32)
    symbols[is_literal] = LITERAL_BASE + raw[at[is_literal] - 1].astype(np.int32)
    return symbols
