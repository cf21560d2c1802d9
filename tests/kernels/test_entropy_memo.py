"""Entropies by context: every size against the model asked for each byte on its own, and what a memo keeps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import entropy_memo
from kernels.entropy_memo import EntropyMemo, context_entropies, distinct_contexts
from kernels.prefix_coding import PrefixCoder
from kernels.segmentation import dense_contexts, dense_entropies, dense_table_size
from kernels.string_table import StringTable
from schemas.batches import Documents
from tests.kernels.micro_lm import micro_lm

MODEL = micro_lm()
TEXTS = [b"", b"q", b"\x00\x00\x00\x01", b"context of a few bytes", b"", b"q", bytes(range(256))]


def contexts_of(texts: list[bytes], size: int) -> list[bytes]:
    """The context of every byte, by the definition."""
    return [text[max(0, t - size) : t] for text in texts for t in range(len(text))]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_size_of_context_is_the_model_asked_byte_by_byte(size: int) -> None:
    alone = PrefixCoder(MODEL, prefixes_per_read=8)
    documents, reader = Documents.from_bytes(TEXTS), PrefixCoder(MODEL)
    dense = dense_contexts(size) if size <= 2 else []
    memo = EntropyMemo(size, dense, context_entropies(dense, reader))
    expected = [float(context_entropies([context], alone)[0]) for context in contexts_of(TEXTS, size)]
    for _ in range(2):
        assert memo.entropies(documents.raw, documents.offsets, reader).tolist() == pytest.approx(expected, abs=1e-3)


@settings(max_examples=20)
@given(st.lists(st.binary(max_size=12), max_size=5), st.integers(3, 8))
def test_contexts_of_a_sample_are_those_of_the_definition(texts: list[bytes], size: int) -> None:
    documents = Documents.from_bytes(texts)
    assert distinct_contexts(documents.raw, documents.offsets, size) == sorted(set(contexts_of(texts, size)))


def test_a_memo_reads_a_context_once_and_starts_again_from_the_given_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entropy_memo, "MAX_ENTRIES", 40)
    given_text, more = Documents.from_bytes([b"abcdef"]), Documents.from_bytes([b"0123456789" * 2])
    reader = PrefixCoder(MODEL)
    contexts = distinct_contexts(given_text.raw, given_text.offsets, 4)
    memo = EntropyMemo(4, contexts, context_entropies(contexts, reader))
    first = memo.entropies(more.raw, more.offsets, reader)
    read = reader.prefixes_read
    assert memo.entropies(more.raw, more.offsets, reader).tolist() == first.tolist()
    assert memo.entropies(given_text.raw, given_text.offsets, reader).size == 6
    assert reader.prefixes_read == read
    for salt in range(5):
        other = Documents.from_bytes([bytes(range(10 * salt, 10 * salt + 30))])
        memo.entropies(other.raw, other.offsets, reader)
        assert len(memo._state[0]) <= 40 + len(contexts)
    read = reader.prefixes_read
    memo.entropies(given_text.raw, given_text.offsets, reader)
    assert reader.prefixes_read == read
    assert memo.entropies(more.raw, more.offsets, reader).tolist() == first.tolist()


def test_a_restart_between_look_up_and_values_mixes_nothing() -> None:
    reader, text = PrefixCoder(MODEL), Documents.from_bytes([b"abcdabcd", b"efghijkl"])
    memo = EntropyMemo(4, [b"zz", b"z"], context_entropies([b"zz", b"z"], reader))
    expected = memo.entropies(text.raw, text.offsets, reader)

    class Interrupted(StringTable):
        """A table after whose look-up another thread starts the memo again."""

        def find(self, data: np.ndarray, starts: np.ndarray, ends: np.ndarray) -> tuple[np.ndarray, int]:
            found = super().find(data, starts, ends)
            memo._restart()
            return found

    table, (stored, offsets) = Interrupted(), memo._state[0].strings()
    table.insert(stored, offsets[:-1], offsets[1:])
    memo._state = (table, memo._state[1])
    assert memo.entropies(text.raw, text.offsets, reader).tolist() == expected.tolist()


def test_no_contexts_and_no_text_are_fine() -> None:
    reader, nothing = PrefixCoder(MODEL), Documents.from_bytes([])
    assert context_entropies([], reader).size == 0
    assert distinct_contexts(nothing.raw, nothing.offsets, 3) == []
    assert EntropyMemo(3, [], np.empty(0, np.float32)).entropies(nothing.raw, nothing.offsets, reader).size == 0


def test_a_table_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="256 entropies for contexts of 1 bytes"):
        EntropyMemo(1, [], np.zeros(256, np.float32))
    with pytest.raises(ValueError, match="entropy table has 3 entries, 1 bytes of context need another size"):
        dense_entropies(np.zeros(1, np.uint8), np.array([0, 1]), np.zeros(3, np.float32), 1)
    assert [dense_table_size(size) for size in range(3)] == [1, 257, 65_793]
