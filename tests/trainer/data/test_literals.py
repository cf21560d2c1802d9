"""Literals: single bytes are shown as themselves, and everything can still be told apart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.batches import Encoding
from schemas.errors import SettingsError
from schemas.vocabulary import COMP_BASE, RAW_BASE
from trainer.data.literals import LITERAL_BASE, with_literals


def encoding(lengths: list[list[int]]) -> tuple[Encoding, np.ndarray, np.ndarray]:
    """Documents whose windows have these lengths, each a segment of its own; symbols count up from 5."""
    counts = [len(document) for document in lengths]
    offsets = np.concatenate(([0], np.cumsum([sum(document) for document in lengths]))).astype(np.int64)
    symbol_offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    ends = np.concatenate([np.cumsum(document) for document in lengths] or [[]]).astype(np.uint32)
    symbols = np.arange(5, 5 + sum(counts)).astype(np.uint16)
    raw = (np.arange(int(offsets[-1])) * 7 % 256).astype(np.uint8)
    places = np.concatenate([np.arange(1, n + 1) for n in counts] or [[]]).astype(np.uint32)
    found = Encoding(
        symbols=symbols,
        symbol_offsets=symbol_offsets,
        raw_ends=ends,
        symbol_ends=places,
        segment_offsets=symbol_offsets,
        window_ends=ends,
    )
    return found, raw, offsets


@given(st.lists(st.lists(st.integers(0, 3), max_size=8), max_size=5))
def test_a_symbol_is_a_literal_where_it_alone_holds_one_byte(lengths: list[list[int]]) -> None:
    comp, raw, offsets = encoding(lengths)
    symbols = with_literals(comp, raw, offsets, "neural")
    flat = [length for document in lengths for length in document]
    ends = np.cumsum(flat)
    for place, (length, symbol) in enumerate(zip(flat, symbols.tolist(), strict=True)):
        alone = length == 1 and (place == 0 or flat[place - 1] > 0)
        assert symbol == (LITERAL_BASE + int(raw[ends[place] - 1]) if alone else comp.symbols[place])
    # As ids, literals are raw bytes and symbols are symbols.
    ids = symbols.astype(np.int64) + COMP_BASE
    assert ((ids >= COMP_BASE) == (symbols >= 0)).all()
    assert (ids[symbols < 0] < COMP_BASE).all() and (ids >= RAW_BASE).all()


def test_symbols_without_bytes_of_their_own_have_no_literals() -> None:
    comp, raw, offsets = encoding([[3]])
    whole = Encoding(
        symbols=np.arange(2, dtype=np.uint8),
        symbol_offsets=np.array([0, 2]),
        raw_ends=comp.raw_ends,
        symbol_ends=np.array([2], np.uint32),
        segment_offsets=np.array([0, 1]),
        window_ends=None,
    )
    with pytest.raises(SettingsError, match="--literals needs symbols with bytes of their own, those of 'gzip' have"):
        with_literals(whole, raw, offsets, "gzip")
