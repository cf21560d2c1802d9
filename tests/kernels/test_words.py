"""Words: no piece of the vocabulary reaches across their ends, and they are as short as that allows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernels.byte_spans import ByteSpans
from kernels.words import cut_words, joined_pairs

MARK = np.frombuffer("\u2581".encode(), np.uint8)


def table(pieces: list[bytes]) -> np.ndarray:
    return joined_pairs(ByteSpans.from_bytes(pieces))


def words(texts: list[bytes], pieces: list[bytes]) -> list[list[bytes]]:
    raw = np.frombuffer(b"".join(texts), np.uint8)
    offsets = np.concatenate(([0], np.cumsum([len(text) for text in texts]))).astype(np.int64)
    ends, word_offsets = cut_words(raw, offsets, table(pieces), MARK)
    starts = np.concatenate(([0], ends[:-1])) if ends.size else ends
    every = [raw[start:end].tobytes() for start, end in zip(starts, ends, strict=True)]
    return [every[word_offsets[i] : word_offsets[i + 1]] for i in range(len(texts))]


def slow_words(text: str, pieces: list[bytes]) -> list[bytes]:
    """Character by character, by looking for every pair in every piece."""
    found: list[bytes] = []
    for i, character in enumerate(text):
        pair = text[i - 1].encode()[-1:] + character.encode()[:1] if i else b""
        apart = not any(pair in piece for piece in pieces) or "\u2581" in (character, text[i - 1])
        if not found or apart:
            found.append(character.encode())
        else:
            found[-1] += character.encode()
    return found


CHARACTERS = st.text(alphabet="ab \n(é\u2581\u2580日", max_size=30)
PIECES = st.lists(st.text(alphabet="ab \n(é\u2580日", max_size=4).map(str.encode), max_size=8)


@given(st.lists(CHARACTERS, max_size=4), PIECES)
def test_against_the_slow_way(texts: list[str], pieces: list[bytes]) -> None:
    assert words([text.encode() for text in texts], pieces) == [slow_words(text, pieces) for text in texts]


@given(st.lists(st.binary(max_size=20), max_size=4), st.lists(st.binary(max_size=5), max_size=8))
def test_words_make_up_any_documents_and_no_piece_reaches_across(texts: list[bytes], pieces: list[bytes]) -> None:
    for text, found in zip(texts, words(texts, pieces), strict=True):
        assert b"".join(found) == text
        assert all(found)
        for left, right in pairwise(found):
            across = left[-1:] + right[:1]
            assert MARK.tobytes() in (left, right) or not any(across in piece for piece in pieces)


@pytest.mark.parametrize(
    ("texts", "wanted"),
    [
        ([], []),
        ([b""], [[]]),
        ([b"x"], [[b"x"]]),
        ([b"if x", b"", b"if"], [[b"if", b" x"], [], [b"if"]]),
        (["a\u2581b\u2581\u2581".encode()], [[b"a", MARK.tobytes(), b"b", MARK.tobytes(), MARK.tobytes()]]),
        (["é日".encode()], [["é".encode(), "日".encode()]]),
    ],
)
def test_size_ladder(texts: list[bytes], wanted: list[list[bytes]]) -> None:
    assert words(texts, [b"if", b" x", b""]) == wanted
