"""Entropies by context: every size against the model asked for each byte on its own, and what the cache keeps."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import context_entropy
from kernels.byte_spans import ByteSpans
from kernels.context_entropy import ContextEntropy, dense_contexts, dense_table_size, distinct_contexts
from kernels.prefix_coding import PrefixCoder
from kernels.string_table import StringTable
from schemas.batches import Documents
from tests.kernels.micro_lm import micro_lm

MODEL = micro_lm()
TEXTS = [b"", b"q", b"\x00\x00\x00\x01", b"context of a few bytes", b"", b"q", bytes(range(256))]


def entropies_after(contexts: list[bytes], coder: PrefixCoder) -> np.ndarray:
    """H of the byte after each context."""
    return coder.entropies(ByteSpans.from_bytes(contexts))


def contexts_of(texts: list[bytes], size: int) -> list[bytes]:
    """The context of every byte, by the definition."""
    return [text[max(0, t - size) : t] for text in texts for t in range(len(text))]


@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_size_of_context_is_the_model_asked_byte_by_byte(size: int) -> None:
    alone = PrefixCoder(MODEL, prefixes_per_read=8)
    documents, reader = Documents.from_bytes(TEXTS), PrefixCoder(MODEL)
    dense = dense_contexts(size) if size <= 2 else []
    score = ContextEntropy(size, dense, entropies_after(dense, reader), reader)
    expected = [float(entropies_after([context], alone)[0]) for context in contexts_of(TEXTS, size)]
    for _ in range(2):
        assert score.scores(documents.raw, documents.offsets).tolist() == pytest.approx(expected, abs=1e-3)


@settings(max_examples=20)
@given(st.lists(st.binary(max_size=12), max_size=5), st.integers(3, 8))
def test_contexts_of_a_sample_are_those_of_the_definition(texts: list[bytes], size: int) -> None:
    documents = Documents.from_bytes(texts)
    assert distinct_contexts(documents.raw, documents.offsets, size) == sorted(set(contexts_of(texts, size)))


def test_a_cache_reads_a_context_once_and_starts_again_from_the_given_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_entropy, "MAX_ENTRIES", 40)
    given_text, more = Documents.from_bytes([b"abcdef"]), Documents.from_bytes([b"0123456789" * 2])
    reader = PrefixCoder(MODEL)
    contexts = distinct_contexts(given_text.raw, given_text.offsets, 4)
    score = ContextEntropy(4, contexts, entropies_after(contexts, reader), reader)
    first = score.scores(more.raw, more.offsets)
    read = reader.prefixes_read
    assert score.scores(more.raw, more.offsets).tolist() == first.tolist()
    assert score.scores(given_text.raw, given_text.offsets).size == 6
    assert reader.prefixes_read == read
    for salt in range(5):
        other = Documents.from_bytes([bytes(range(10 * salt, 10 * salt + 30))])
        score.scores(other.raw, other.offsets)
        assert len(score._state[0]) <= 40 + len(contexts)
    read = reader.prefixes_read
    score.scores(given_text.raw, given_text.offsets)
    assert reader.prefixes_read == read
    assert score.scores(more.raw, more.offsets).tolist() == first.tolist()


def test_a_restart_between_look_up_and_values_mixes_nothing() -> None:
    reader, text = PrefixCoder(MODEL), Documents.from_bytes([b"abcdabcd", b"efghijkl"])
    score = ContextEntropy(4, [b"zz", b"z"], entropies_after([b"zz", b"z"], reader), reader)
    expected = score.scores(text.raw, text.offsets)

    class Interrupted(StringTable):
        """A table after whose look-up another thread starts the cache again."""

        def find(self, strings: ByteSpans) -> tuple[np.ndarray, int]:
            found = super().find(strings)
            score._restart()
            return found

    table = Interrupted()
    table.insert(score._state[0].strings())
    score._state = (table, score._state[1])
    assert score.scores(text.raw, text.offsets).tolist() == expected.tolist()


def test_no_contexts_and_no_text_are_fine() -> None:
    reader, nothing = PrefixCoder(MODEL), Documents.from_bytes([])
    assert entropies_after([], reader).size == 0
    assert distinct_contexts(nothing.raw, nothing.offsets, 3) == []
    assert ContextEntropy(3, [], np.empty(0, np.float32), reader).scores(nothing.raw, nothing.offsets).size == 0


def test_a_table_of_another_size_is_refused() -> None:
    with pytest.raises(ValueError, match="256 entropies, all contexts of up to 1 bytes have 257"):
        ContextEntropy(1, [], np.zeros(256, np.float32), PrefixCoder(MODEL))
    assert [dense_table_size(size) for size in range(3)] == [1, 257, 65_793]


@pytest.mark.parametrize("context_bytes", [1, 2])
def test_tables_hold_every_context(context_bytes: int) -> None:
    contexts = dense_contexts(context_bytes)
    table = np.arange(len(contexts), dtype=np.float32)
    number = {context: i for i, context in enumerate(contexts)}
    documents = Documents.from_bytes(TEXTS)
    found = ContextEntropy(context_bytes, contexts, table, PrefixCoder(MODEL)).scores(documents.raw, documents.offsets)
    expected = [number[text[max(0, t - context_bytes) : t]] for text in TEXTS for t in range(len(text))]
    assert found.tolist() == expected


@pytest.mark.parametrize("context_bytes", [3, 5, 8])
@pytest.mark.parametrize("known", [False, True])
def test_threads_get_what_the_model_gives(context_bytes: int, known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_entropy, "MAX_ENTRIES", 3)
    documents, coder = Documents.from_bytes(TEXTS), PrefixCoder(MODEL)
    contexts = distinct_contexts(documents.raw, documents.offsets, context_bytes) if known else []
    score = ContextEntropy(context_bytes, contexts, entropies_after(contexts, coder), coder)
    expected = entropies_after(contexts_of(TEXTS, context_bytes), PrefixCoder(MODEL))
    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.append(score.scores(documents.raw, documents.offsets))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [each.tolist() for each in found] == [expected.tolist()] * 3
