"""The neural compressor: exact both ways in every mode, whatever is in the batch, the codebook or the cache."""

from __future__ import annotations

import functools
import threading
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels.boundary_score import BoundaryScore
from pipeline.compressors.neural.compressor import NeuralCompressor
from pipeline.compressors.neural.score import score_of_sample
from schemas.batches import Documents, Encoding
from schemas.errors import VerificationError
from tests.kernels.exact_models import micro_exact
from tests.pipeline.compressors.neural.making import DOCUMENT, neural_settings

MODEL = micro_exact()
SAMPLE = Documents.from_bytes([b"a"])
TEXTS = [
    b"def f(x):\n    return x\n" * 4,
    b"a",
    b"\x00\x00\x00",
    "😀 emoji é 漢字\r\n".encode() * 3,
    bytes(range(256)).decode("latin-1").encode(),
    b"x" * 5000,
    b"    \t\n" * 30,
]
MODES = [(1, "segment"), (4, "segment"), (DOCUMENT, "segment"), (1, "document"), (DOCUMENT, "document")]


@functools.cache
def score(kind: int | str) -> BoundaryScore:
    """A score with a table of all short contexts, or of next to none."""
    return score_of_sample(neural_settings(kind), MODEL, SAMPLE)


def compressor(kind: int | str = 1, context: str = "segment", **options: object) -> NeuralCompressor:
    """A compressor with an empty codebook, unless one is given."""
    settings = neural_settings(kind, context=context, max_segment_bytes=12)
    return NeuralCompressor(MODEL, score(kind), settings, 4.0, **options)  # type: ignore[arg-type]


def columns(encoding: Encoding) -> list[list[int]]:
    """All arrays of an encoding as lists."""
    assert encoding.window_ends is not None
    names = ("symbols", "symbol_offsets", "raw_ends", "symbol_ends", "segment_offsets", "window_ends")
    return [getattr(encoding, name).tolist() for name in names]


def check_laws(documents: Documents, encoding: Encoding) -> None:
    """Ends rise and end with their documents; a segment ends its last window."""
    assert encoding.window_ends is not None
    for i in range(len(documents)):
        segments = slice(encoding.segment_offsets[i], encoding.segment_offsets[i + 1])
        symbols = slice(encoding.symbol_offsets[i], encoding.symbol_offsets[i + 1])
        raw_ends, window_ends = encoding.raw_ends[segments].tolist(), encoding.window_ends[symbols].tolist()
        assert raw_ends == sorted(set(raw_ends))
        assert window_ends == sorted(set(window_ends))
        assert raw_ends[-1] == window_ends[-1] == len(documents.text(i))
        assert set(raw_ends) <= set(window_ends)


@pytest.mark.parametrize(("kind", "context"), MODES)
@pytest.mark.parametrize("by_model", [False, True])
def test_documents_come_back(kind: int | str, context: str, by_model: bool) -> None:
    made = compressor(kind, context)
    documents = Documents.from_bytes(TEXTS)
    encoding = made.compress(documents)
    check_laws(documents, encoding)
    back = made.decode_by_model(encoding) if by_model else made.decode(encoding)
    assert [back.text(i) for i in range(len(back))] == TEXTS


@settings(max_examples=30)
@given(st.lists(st.text(min_size=1, max_size=80), max_size=5))
def test_any_texts_come_back(texts: list[str]) -> None:
    made, raw = compressor(), [text.encode() for text in texts]
    back = made.decode(made.compress(Documents.from_bytes(raw)))
    assert [back.text(i) for i in range(len(back))] == raw


@pytest.mark.parametrize(("kind", "context"), MODES)
def test_a_document_is_encoded_alike_alone_and_in_company(kind: int | str, context: str) -> None:
    made = compressor(kind, context)
    together = made.compress(Documents.from_bytes(TEXTS))
    for i, text in enumerate(TEXTS):
        alone = compressor(kind, context).compress(Documents.from_bytes([text]))
        symbols = slice(together.symbol_offsets[i], together.symbol_offsets[i + 1])
        segments = slice(together.segment_offsets[i], together.segment_offsets[i + 1])
        assert alone.symbols.tolist() == together.symbols[symbols].tolist()
        assert alone.raw_ends.tolist() == together.raw_ends[segments].tolist()
        assert alone.symbol_ends.tolist() == together.symbol_ends[segments].tolist()


def test_warm_and_cold_books_and_a_cache_that_always_overflows_encode_alike() -> None:
    documents = Documents.from_bytes(TEXTS)
    first = compressor()
    expected = columns(first.compress(documents))
    read = first.coder.prefixes_read
    assert read > 0
    assert columns(first.compress(documents)) == expected
    assert first.coder.prefixes_read == read
    warm = compressor(book=first.codes.current)
    assert columns(warm.compress(documents)) == expected
    assert warm.coder.prefixes_read == 0
    small = compressor(cache_bytes=1)
    for _ in range(3):
        assert columns(small.compress(documents)) == expected


def test_two_threads_with_one_small_cache_encode_alike() -> None:
    batches = [Documents.from_bytes([text]) for text in TEXTS] * 3
    expected = [columns(compressor().compress(batch)) for batch in batches]
    shared = compressor(cache_bytes=30_000)
    wrong: list[int] = []

    def work(numbers: list[int]) -> None:
        wrong.extend(i for i in numbers if columns(shared.compress(batches[i])) != expected[i])

    order = list(range(len(batches)))
    threads = [threading.Thread(target=work, args=(part,)) for part in (order, order[::-1])]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_nothing_gives_nothing() -> None:
    encoding = compressor().compress(Documents.from_bytes([]))
    assert columns(encoding) == [[], [0], [], [], [0], []]
    assert len(compressor().decode(encoding)) == 0


def test_a_damaged_encoding_is_found() -> None:
    made = compressor()
    encoding = made.compress(Documents.from_bytes(TEXTS[:1]))
    assert encoding.window_ends is not None
    stretched = replace(encoding, window_ends=encoding.window_ends * 50)
    with pytest.raises(VerificationError, match="the shard is damaged"):
        made.decode(stretched)
    for place in range(0, encoding.symbols.size, 3):
        symbols = encoding.symbols.copy()
        symbols[place] ^= 0x5555
        try:
            back = made.decode(replace(encoding, symbols=symbols))
        except VerificationError:
            continue
        assert back.text(0) != TEXTS[0]
