"""The string table against a dict, the codebook and its inverse, look-ups while another thread inserts."""

from __future__ import annotations

import threading

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kernels.byte_spans import ByteSpans, Codes
from kernels.codebook import Codebook, code_keys
from kernels.string_table import StringTable, distinct

strings = st.lists(st.binary(max_size=6) | st.text(alphabet="a\x00", max_size=5).map(str.encode), max_size=60)


@given(st.lists(strings, max_size=6))
def test_a_table_is_a_dict_in_order_of_insertion(batches: list[list[bytes]]) -> None:
    table, model = StringTable(), dict[bytes, int]()
    for batch in batches:
        spans = ByteSpans.from_bytes(batch)
        firsts, group = distinct(spans)
        assert [batch[i] for i in firsts] == list(dict.fromkeys(batch))
        assert [batch[firsts[g]] for g in group] == batch
        found, missing = table.find(spans)
        assert found.tolist() == [model.get(string, -1) for string in batch]
        assert missing == sum(string not in model for string in batch)
        new = [i for i in firsts if batch[i] not in model]
        table.insert(spans.take(np.array(new, np.int64)))
        model |= {batch[i]: len(model) + k for k, i in enumerate(new)}
    assert table.strings().to_bytes() == list(model)
    assert len(table) == len(model)


def book_of(segments: list[bytes]) -> Codebook:
    """A book in which segment i has the code of its own number, a window per byte."""
    book = Codebook()
    for number, segment in enumerate(segments):
        symbols = (np.arange(len(segment)) + 7 * number).astype(np.uint16)
        codes = Codes(symbols, np.ones(len(segment), np.int64), np.array([len(segment)]))
        book.insert(ByteSpans.from_bytes([segment]), codes)
    return book


def test_a_book_joins_codes_and_its_inverse_finds() -> None:
    segments = [b"a", b"bc", b"\x00\x00\x00", b"bcd"]
    book = book_of(segments)
    text = [b"bc", b"a", b"bcd", b"bc"]
    spans = ByteSpans.from_bytes(text)
    entries, missing = book.find(spans)
    assert (entries.tolist(), missing) == ([1, 0, 3, 1], 0)
    joined = book.join(entries, np.array([0, 0, 2, 4, 4]))
    assert joined.symbols.tolist() == [7, 8, 0, 21, 22, 23, 7, 8]
    assert joined.symbol_offsets.tolist() == [0, 0, 3, 8, 8]
    assert joined.window_ends is not None and joined.window_ends.tolist() == [1, 2, 3, 1, 2, 3, 4, 5]
    assert joined.raw_ends.tolist() == joined.symbol_ends.tolist() == [2, 3, 3, 5]
    keys = code_keys(Codes(joined.symbols, np.ones(8, np.int64), np.array([2, 3, 6, 8])))
    assert book.inverse().find(keys)[0].tolist() == entries.tolist()


def test_a_copy_grows_on_its_own() -> None:
    book = book_of([b"a", b"b"])
    copy = book.copy()
    new = ByteSpans.from_bytes([b"new"])
    copy.insert(new, Codes(np.array([9], np.uint16), np.array([3]), np.array([1])))
    assert (len(book), len(copy)) == (2, 3)
    assert book.find(new)[0].tolist() == [-1]


def test_look_ups_while_another_thread_inserts() -> None:
    segments = [str(i).encode() for i in range(3000)]
    book, done, wrong = Codebook(), threading.Event(), []
    spans = ByteSpans.from_bytes(segments)

    def look_up() -> None:
        while not done.is_set():
            entries, _ = book.find(spans)
            known = np.flatnonzero(entries >= 0)
            if not np.array_equal(entries[known], known):
                wrong.append(entries)
            symbols = book.join(entries[known], np.array([0, known.size])).symbols
            if not np.array_equal(symbols, known.astype(np.uint16)):
                wrong.append(symbols)

    threads = [threading.Thread(target=look_up) for _ in range(2)]
    for thread in threads:
        thread.start()
    for begin in range(0, 3000, 37):
        part = slice(begin, begin + 37)
        numbers = np.arange(3000)[part].astype(np.uint16)
        codes = Codes(numbers, spans.lengths[part], np.arange(1, numbers.size + 1))
        book.insert(spans.take(part), codes)
    done.set()
    for thread in threads:
        thread.join()
    assert not wrong
