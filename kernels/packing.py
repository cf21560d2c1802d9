"""Documents spelled as model ids and packed into rows.

A document in its representations, with the sentinels that mode `none` leaves out in [ ]:

    raw        <bos> [<raw>] bytes [</raw>] <eos>
    comp       <bos> [<comp>] symbols [</comp>] <eos>
    comp+raw   <bos> <comp> symbols </comp> <raw> bytes </raw> <eos>
    raw+comp   <bos> <raw> bytes </raw> <comp> symbols </comp> <eos>

Rows of T symbols are cut from the stream of such documents. A document that does not fit continues at the head of the
next row, cut between two symbols: nothing is repeated, nothing inserted, nothing dropped, so the rows end to end are
the stream. There the rest counts as a document of its own (positions restart, the earlier part is out of sight), and
its ids say by themselves which encoding they are. `ahead` holds the symbols behind a cut, so that a head which predicts
p symbols ahead has its labels at the end of a row too.

Which representation a document gets is decided where it begins, by its draw and the choice in force for that row; a
rest keeps it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numba import njit

from kernels.counter_rng import UNIT_BITS
from schemas.vocabulary import BOS, COMP_BASE, COMP_CLOSE, COMP_OPEN, EOS, PAD, RAW_BASE, RAW_CLOSE, RAW_OPEN

RAW, COMP, COMP_RAW, RAW_COMP = 0, 1, 2, 3
REPRESENTATIONS = ("raw", "comp", "comp+raw", "raw+comp")
"""Their names, by code."""
PAIR = COMP_RAW
"""In a Choice: both encodings; the draw's lowest bit says which comes first."""

SPECIAL_SPAN, RAW_SPAN, COMP_SPAN = 0, 1, 2
"""What a position holds: a special id, a raw byte, a compressed symbol."""

_UNIT_SHIFT = np.uint64(64 - UNIT_BITS)
_COIN = np.uint64(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Choice:
    """How a draw becomes a representation: `if_comp` when draw >> 11 < limit, else `if_raw`."""

    limit: int
    """Of 2^53."""
    if_comp: int
    """COMP or PAIR."""
    if_raw: int
    """RAW or PAIR."""
    sentinels: bool

    def __post_init__(self) -> None:
        assert self.sentinels or (self.if_comp, self.if_raw) == (COMP, RAW), "a pair without sentinels has no seam"


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """n documents in both encodings, end to end, with their draws."""

    raw: np.ndarray
    """uint8 [n_bytes]."""
    raw_offsets: np.ndarray
    """int64 [n + 1]."""
    symbols: np.ndarray
    """uint8, uint16 or uint32 [n_symbols]."""
    symbol_offsets: np.ndarray
    """int64 [n + 1]."""
    draws: np.ndarray
    """uint64 [n]."""

    def __len__(self) -> int:
        return len(self.draws)


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """Packed rows, and room for the symbols behind their ends."""

    ids: np.ndarray
    """int32 [rows, T]."""
    documents: np.ndarray
    """int32 [rows, T]: number of the document within the row, from 0, never falling."""
    spans: np.ndarray
    """uint8 [rows, T]: SPECIAL_SPAN, RAW_SPAN or COMP_SPAN."""
    ahead: np.ndarray
    """int32 [rows, lookahead]: what follows the row in its last document, then pad."""

    @classmethod
    def empty(cls, rows: int, row_symbols: int, lookahead: int) -> Rows:
        """Rows to be filled; only `ahead` has values, pad."""
        return cls(
            ids=np.empty((rows, row_symbols), np.int32),
            documents=np.empty((rows, row_symbols), np.int32),
            spans=np.empty((rows, row_symbols), np.uint8),
            ahead=np.full((rows, lookahead), PAD, np.int32),
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class Cursor:
    """Where the packer stands in a block: the next symbol is number `offset` of `document`, spelled if offset > 0."""

    document: int = 0
    representation: int = RAW
    """Of the document that was begun; without meaning at offset 0."""
    offset: int = 0


@njit(cache=True, nogil=True, inline="always")
def _mark(symbol, p, offset, ids, spans, at):
    """Symbol number p of a document, if the row holds it; the row has the document's symbol `offset` at `at`."""
    if p >= offset and p - offset < ids.size - at:
        ids[at + p - offset] = symbol
        spans[at + p - offset] = SPECIAL_SPAN
    return p + 1


@njit(cache=True, nogil=True)
def _content(values, base, span, p, offset, ids, spans, at):
    """The symbols p … p + values.size of a document, as many as the row holds."""
    begin = max(offset - p, 0)
    end = min(values.size, ids.size - at + offset - p)
    if begin < end:
        first = at + p + begin - offset
        # Plain slices and a loop from 0 are what LLVM turns into vector code.
        source, target = values[begin:end], ids[first : first + end - begin]
        for i in range(source.size):
            target[i] = base + source[i]
        spans[first : first + end - begin] = span
    return p + values.size


@njit(cache=True, nogil=True)
def _spell(raw, symbols, representation, sentinels, offset, ids, spans, at):
    """Write a document from its symbol `offset` on at column `at`; returns its length and the next free column."""
    p = _mark(BOS, 0, offset, ids, spans, at)
    for part in range(2):
        if representation in (COMP_RAW, RAW_COMP):
            comp = (representation == COMP_RAW) == (part == 0)
        elif part == 1:
            break
        else:
            comp = representation == COMP
        if sentinels:
            p = _mark(COMP_OPEN if comp else RAW_OPEN, p, offset, ids, spans, at)
        if comp:
            p = _content(symbols, COMP_BASE, COMP_SPAN, p, offset, ids, spans, at)
        else:
            p = _content(raw, RAW_BASE, RAW_SPAN, p, offset, ids, spans, at)
        if sentinels:
            p = _mark(COMP_CLOSE if comp else RAW_CLOSE, p, offset, ids, spans, at)
    size = _mark(EOS, p, offset, ids, spans, at)
    return size, min(at + size - offset, ids.size)


@njit(cache=True, nogil=True)
def _pack_row(
    raw, raw_offsets, symbols, symbol_offsets, draws, limit, if_comp, if_raw, sentinels,
    document, representation, offset, ids, documents, spans, ahead, at, number, shown,
):  # fmt: skip
    count = 0
    while at < ids.size and document < draws.size:
        own_raw = raw[raw_offsets[document] : raw_offsets[document + 1]]
        own_symbols = symbols[symbol_offsets[document] : symbol_offsets[document + 1]]
        if offset == 0:
            representation = if_comp if (draws[document] >> _UNIT_SHIFT) < limit else if_raw
            if representation == PAIR and draws[document] & _COIN:
                representation = RAW_COMP
        shown[count, 0], shown[count, 1] = document, representation
        count += 1
        size, end = _spell(own_raw, own_symbols, representation, sentinels, offset, ids, spans, at)
        documents[at:end] = number
        number += 1
        offset += end - at
        at = end
        if offset == size:
            document, offset = document + 1, 0
        elif ahead.size:
            _spell(own_raw, own_symbols, representation, sentinels, offset, ahead, np.empty(ahead.size, np.uint8), 0)
    return document, representation, offset, at, number, count


def pack_row(
    block: Block, cursor: Cursor, choice: Choice, rows: Rows, *, row: int, at: int, number: int, shown: np.ndarray
) -> tuple[Cursor, int, int, int]:
    """Fill row `row` from column `at` on, with documents of a block numbered from `number`, until either ends.

    Returns the cursor behind the last symbol written, the next free column, the next number, and how many documents
    are in `shown`: int64 [at least T / 2 + 1, 2], one line (document in the block, representation) for each of them in
    their order. Where the block ends first, the caller goes on with the next block.
    """
    document, representation, offset, at, number, count = _pack_row(
        block.raw, block.raw_offsets, block.symbols, block.symbol_offsets, block.draws,
        np.uint64(choice.limit), choice.if_comp, choice.if_raw, choice.sentinels,
        cursor.document, cursor.representation, cursor.offset,
        rows.ids[row], rows.documents[row], rows.spans[row], rows.ahead[row], at, number, shown,
    )  # fmt: skip
    return Cursor(document=document, representation=representation, offset=offset), at, number, count


@njit(cache=True, nogil=True)
def _gather(values, starts, ends, places, out, out_offsets):
    for i in range(places.size):
        out[out_offsets[places[i]] : out_offsets[places[i] + 1]] = values[starts[i] : ends[i]]


def gather(
    values: np.ndarray,
    offsets: np.ndarray,
    rows: np.ndarray,
    places: np.ndarray,
    out: np.ndarray,
    out_offsets: np.ndarray,
) -> None:
    """Copy document rows[i] of (values, offsets) to place places[i] of (out, out_offsets). rows, places: int64 [n]."""
    _gather(values, offsets[rows], offsets[rows + 1], places, out, out_offsets)
