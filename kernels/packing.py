"""Documents as model ids, packed into sequences of a fixed length.

A document in its representations, with the sentinels that mode `none` leaves out in [ ]:

    raw        <bos> [<raw>] bytes [</raw>] <eos>
    comp       <bos> [<comp>] symbols [</comp>] <eos>
    comp+raw   <bos> <comp> symbols </comp> <raw> bytes </raw> <eos>
    raw+comp   <bos> <raw> bytes </raw> <comp> symbols </comp> <eos>

Sequences of T ids are cut from the stream of such documents. A document that does not fit continues at the head of the
next sequence, cut between two ids: nothing is repeated, nothing inserted, nothing dropped, so the sequences end to end
are the stream. There the rest counts as a document of its own (positions restart, the earlier part is out of sight),
and its ids say by themselves which encoding they are. `next_ids` holds the ids after a cut, so that a head which
predicts the id p positions on has its labels at the end of a sequence too.

Which representation a document gets is decided where it begins, by its draw and the choice in force for that sequence;
its rest in the next sequence keeps it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kernels.compiled import compiled
from kernels.counter_rng import UNIT_BITS
from schemas.vocabulary import (
    BOS,
    COMP_BASE,
    COMP_CLOSE,
    COMP_OPEN,
    COMP_SPAN,
    EOS,
    PAD,
    RAW_BASE,
    RAW_CLOSE,
    RAW_OPEN,
    RAW_SPAN,
    SPECIAL_SPAN,
)

RAW, COMP, COMP_RAW, RAW_COMP = 0, 1, 2, 3
REPRESENTATIONS = ("raw", "comp", "comp+raw", "raw+comp")
"""The names of the four representations, by code."""
PAIR = COMP_RAW
"""In a Choice: both encodings; the draw's lowest bit says which comes first."""

_UNIT_SHIFT = np.uint64(64 - UNIT_BITS)
_COIN = np.uint64(1)


# Named tuples and no dataclasses, because Numba takes them as arguments and gives them back.


class Choice(NamedTuple):
    """How a draw becomes a representation: `if_comp` where draw >> 11 < limit, else `if_raw`."""

    limit: int | np.uint64
    """0 to 2^53, the probability of `if_comp` times 2^53."""
    if_comp: int
    """What such a draw shows: COMP, or PAIR for both encodings."""
    if_raw: int
    """What the other draws show: RAW, or PAIR for both encodings."""
    sentinels: bool
    """Whether encodings are enclosed in <raw> </raw> and <comp> </comp>; a pair needs that."""


class PackedDocuments(NamedTuple):
    """n documents in both encodings, end to end, with their draws."""

    raw: np.ndarray
    """uint8 [n_bytes]: the UTF-8 bytes of all documents."""
    raw_offsets: np.ndarray
    """int64 [n + 1]: document i has raw[raw_offsets[i]:raw_offsets[i + 1]]."""
    symbols: np.ndarray
    """Integers [n_symbols]: the compressed encodings of all documents; a symbol s has the id COMP_BASE + s."""
    symbol_offsets: np.ndarray
    """int64 [n + 1]: document i has symbols[symbol_offsets[i]:symbol_offsets[i + 1]]."""
    draws: np.ndarray
    """uint64 [n]: the random number that decides the representation of each document."""

    @property
    def size(self) -> int:
        """How many documents there are."""
        return len(self.draws)


class PackedSequences(NamedTuple):
    """Sequences of T ids, and the ids that follow each of them."""

    ids: np.ndarray
    """int32 [sequences, T]: model ids."""
    documents: np.ndarray
    """int32 [sequences, T]: number of the document within its sequence, from 0, never falling."""
    spans: np.ndarray
    """uint8 [sequences, T]: SPECIAL_SPAN, RAW_SPAN or COMP_SPAN."""
    next_ids: np.ndarray
    """int32 [sequences, lookahead]: what follows the sequence in its last document, then pad."""

    @classmethod
    def empty(cls, sequences: int, sequence_length: int, lookahead: int) -> PackedSequences:
        """Room for `sequences` sequences; `next_ids` is all pad, the other arrays hold anything."""
        shape = (sequences, sequence_length)
        return cls(
            ids=np.empty(shape, np.int32),
            documents=np.empty(shape, np.int32),
            spans=np.empty(shape, np.uint8),
            next_ids=np.full((sequences, lookahead), PAD, np.int32),
        )


class Cursor(NamedTuple):
    """How far a block of documents is packed: the next id is number `offset` of `document`."""

    document: int = 0
    representation: int = RAW
    """How the document is encoded, if it was begun; without meaning where offset is 0."""
    offset: int = 0
    """Ids of the document that earlier sequences hold."""


class _Target(NamedTuple):
    """Where the ids of one document go: its id number `offset` to column `column` of ids and spans."""

    ids: np.ndarray
    """int32 [T]: model ids."""
    spans: np.ndarray
    """uint8 [T]: SPECIAL_SPAN, RAW_SPAN or COMP_SPAN."""
    column: int
    """First column that the document gets."""
    offset: int
    """Number of the first id that is written; earlier ones are in earlier sequences."""


@compiled(inline="always")
def _emit_special(special, p, target):
    """Write a special id, number p of a document, if the target has room for it; returns p + 1."""
    ids, spans, column, offset = target
    if p >= offset and p - offset < ids.size - column:
        ids[column + p - offset] = special
        spans[column + p - offset] = SPECIAL_SPAN
    return p + 1


@compiled()
def _emit_content(values, base, span, p, target):
    """Write values [n] plus base as ids p … p + n − 1 of a document, as many as there is room for; returns p + n."""
    ids, spans, column, offset = target
    begin = max(offset - p, 0)
    end = min(values.size, ids.size - column + offset - p)
    if begin < end:
        first = column + p + begin - offset
        # Plain slices and a loop from 0 are what LLVM turns into vector code.
        source, room = values[begin:end], ids[first : first + end - begin]
        for i in range(source.size):
            room[i] = base + source[i]
        spans[first : first + end - begin] = span
    return p + values.size


@compiled()
def _emit_document(raw, symbols, representation, sentinels, target):
    """Write a document from its id number target.offset on.

    raw: uint8 [n_bytes]; symbols: unsigned [n_symbols]; representation: RAW, COMP, COMP_RAW or RAW_COMP. Returns the
    number of ids of the whole document, and the first column after what was written.
    """
    p = _emit_special(BOS, 0, target)
    for part in range(2):
        if representation in (COMP_RAW, RAW_COMP):
            comp = (representation == COMP_RAW) == (part == 0)
        elif part == 1:
            break
        else:
            comp = representation == COMP
        if sentinels:
            p = _emit_special(COMP_OPEN if comp else RAW_OPEN, p, target)
        if comp:
            p = _emit_content(symbols, COMP_BASE, COMP_SPAN, p, target)
        else:
            p = _emit_content(raw, RAW_BASE, RAW_SPAN, p, target)
        if sentinels:
            p = _emit_special(COMP_CLOSE if comp else RAW_CLOSE, p, target)
    size = _emit_special(EOS, p, target)
    return size, min(target.column + size - target.offset, target.ids.size)


@compiled()
def _pack_sequence(block, cursor, choice, sequences, index, column, number, listing):
    """`pack_sequence` on checked arguments: PackedDocuments, Cursor, Choice with a uint64 limit, PackedSequences."""
    ids, documents = sequences.ids[index], sequences.documents[index]
    spans, next_ids = sequences.spans[index], sequences.next_ids[index]
    document, representation, offset = cursor
    count = 0
    while column < ids.size and document < block.draws.size:
        raw = block.raw[block.raw_offsets[document] : block.raw_offsets[document + 1]]
        symbols = block.symbols[block.symbol_offsets[document] : block.symbol_offsets[document + 1]]
        if offset == 0:
            draw = block.draws[document]
            representation = choice.if_comp if (draw >> _UNIT_SHIFT) < choice.limit else choice.if_raw
            if representation == PAIR and draw & _COIN:
                representation = RAW_COMP
        listing[count, 0], listing[count, 1] = document, representation
        count += 1
        target = _Target(ids, spans, column, offset)
        size, end = _emit_document(raw, symbols, representation, choice.sentinels, target)
        documents[column:end] = number
        number += 1
        offset += end - column
        column = end
        if offset == size:
            document, offset = document + 1, 0
        elif next_ids.size:
            after = _Target(next_ids, np.empty(next_ids.size, np.uint8), 0, offset)
            _emit_document(raw, symbols, representation, choice.sentinels, after)
    return Cursor(document, representation, offset), column, number, count


def pack_sequence(
    block: PackedDocuments,
    cursor: Cursor,
    choice: Choice,
    sequences: PackedSequences,
    *,
    index: int,
    column: int,
    number: int,
    listing: np.ndarray,
) -> tuple[Cursor, int, int, int]:
    """Fill sequence `index` from `column` on with documents of a block, numbered from `number`, until either ends.

    Returns the cursor after the last id written, the next free column, the next number, and how many documents were
    written to `listing`: int64 [at least T / 2 + 1, 2], one line (document in the block, representation) for each of
    them in their order. Where the block ends first, the caller goes on with the next block. ValueError for a cursor
    that is at no id of the block.
    """
    _check_cursor(block, cursor, choice.sentinels)
    assert choice.sentinels or (choice.if_comp, choice.if_raw) == (COMP, RAW), "a pair without sentinels has no seam"
    choice = choice._replace(limit=np.uint64(choice.limit))
    return _pack_sequence(block, cursor, choice, sequences, index, column, number, listing)


def _check_cursor(block: PackedDocuments, cursor: Cursor, sentinels: bool) -> None:
    """ValueError where the cursor's document has no id of the cursor's number; documents of later blocks have any."""
    document, representation, offset = cursor
    if document < 0 or offset < 0 or not 0 <= representation < len(REPRESENTATIONS):
        raise ValueError(f"no block has an id at {cursor}")
    if offset and document < block.size:
        has_raw, has_comp = representation != COMP, representation != RAW
        ids = 2 + 2 * sentinels * (has_raw + has_comp)
        ids += has_raw * int(block.raw_offsets[document + 1] - block.raw_offsets[document])
        ids += has_comp * int(block.symbol_offsets[document + 1] - block.symbol_offsets[document])
        if offset >= ids:
            raise ValueError(f"document {document} of a block has {ids} ids, none at {offset}")


@compiled()
def _gather(values, starts, ends, places, out, out_offsets):
    """`gather` with the first and last position of each document, int64 [n]."""
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
