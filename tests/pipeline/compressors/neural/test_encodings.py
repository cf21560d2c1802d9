"""Neural encodings: the same in any batch, order, split, book or thread; torn ones are refused."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kernels import context_entropy, trie_evaluator
from kernels.boundary_score import BoundaryScore
from kernels.byte_spans import ByteSpans
from kernels.codebook import Codebook
from kernels.context_entropy import ContextEntropy, dense_contexts
from kernels.prefix_coding import PrefixCoder
from pipeline.compressors.neural.compressor import NeuralCompressor
from pipeline.compressors.neural.score import score_of_sample
from pipeline.compressors.neural.settings import NeuralSettings
from schemas.batches import Documents, Encoding
from schemas.errors import SettingsError, VerificationError
from tests.kernels.exact_models import micro_exact
from tests.pipeline.compressors.neural.making import DOCUMENT, PAIRS, neural_settings

MODEL = micro_exact()
MODES = [(size, context) for size in (PAIRS, 1, 2, 4, DOCUMENT) for context in ("segment", "document")]
NAMES = ("symbols", "raw_ends", "symbol_ends", "window_ends")
TEXTS = [
    b"",
    b"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaabcdefghijklmnop",
    bytes(range(97, 123)) * 5,
    b"\x00",
    b"def f(x):\n        return [x, x, 012345678]\n",
    bytes(range(256)),
    b"",
    "ünïcödé 😀😀😀 \r\n".encode() * 4,
]
"""More than one block of 16 bytes, empty ones, runs and ascents that the micro LM expects."""


@functools.cache
def table(size: int) -> tuple[list[bytes], np.ndarray]:
    """Contexts and entropies that a score starts with."""
    contexts = dense_contexts(size) if size <= 2 else [b"", b"a", b"aaaa"]
    return contexts, PrefixCoder(MODEL).entropies(ByteSpans.from_bytes(contexts))


def score(kind: int | str) -> BoundaryScore:
    """By the texts' own pairs, a table or cache of entropies, or whole documents."""
    if isinstance(kind, int):
        return ContextEntropy(kind, *table(kind), PrefixCoder(MODEL))
    return score_of_sample(neural_settings(kind), MODEL, Documents.from_bytes(TEXTS))


def compressor(
    kind: int | str = 1, context: str = "segment", *, book: Codebook | None = None, **options
) -> NeuralCompressor:
    """A compressor with segments of up to 40 bytes, on a book of its own unless one is given."""
    settings = neural_settings(kind, context=context, max_segment_bytes=40)
    return NeuralCompressor(MODEL, score(kind), settings, 4.2, book=book, **options)


def by_document(encoding: Encoding) -> list[tuple[list[int], ...]]:
    """Every document's symbols, raw_ends, symbol_ends and window_ends."""
    assert encoding.window_ends is not None
    found = []
    for i in range(len(encoding)):
        symbols = slice(encoding.symbol_offsets[i], encoding.symbol_offsets[i + 1])
        segments = slice(encoding.segment_offsets[i], encoding.segment_offsets[i + 1])
        parts = (symbols, segments, segments, symbols)
        found.append(tuple(getattr(encoding, name)[part].tolist() for name, part in zip(NAMES, parts, strict=True)))
    return found


def texts_of(documents: Documents) -> list[bytes]:
    """The documents as byte strings."""
    return [documents.text(i) for i in range(len(documents))]


def test_the_texts_try_what_they_should() -> None:
    """Windows of many bytes, segments of many windows, and segments that are cut for their length."""
    encoding = compressor().compress(Documents.from_bytes(TEXTS))
    windows = [np.diff(window_ends, prepend=0).max(initial=0) for _, _, _, window_ends in by_document(encoding)]
    symbols = [np.diff(symbol_ends, prepend=0).max(initial=0) for _, _, symbol_ends, _ in by_document(encoding)]
    lengths = [np.diff(raw_ends, prepend=0).max(initial=0) for _, raw_ends, _, _ in by_document(encoding)]
    assert max(windows) >= 8
    assert max(symbols) >= 3
    assert max(lengths) == 40


@pytest.mark.parametrize(("kind", "context"), MODES)
def test_order_and_splits_change_nothing(kind: int | str, context: str) -> None:
    whole = by_document(compressor(kind, context).compress(Documents.from_bytes(TEXTS)))
    rng = np.random.default_rng(7)
    for _ in range(2):
        order = rng.permutation(len(TEXTS)).tolist()
        cut = int(rng.integers(0, len(TEXTS)))
        made = compressor(kind, context)
        for part in (order[:cut], order[cut:]):
            encoding = made.compress(Documents.from_bytes([TEXTS[i] for i in part]))
            assert by_document(encoding) == [whole[i] for i in part]
            assert texts_of(made.decode(encoding)) == [TEXTS[i] for i in part]
            assert texts_of(made.decode_by_model(encoding)) == [TEXTS[i] for i in part]


@settings(max_examples=15)
@given(
    st.lists(
        st.binary(max_size=50)
        | st.tuples(st.integers(0, 255), st.integers(1, 120)).map(lambda d: bytes([d[0]]) * d[1]),
        max_size=6,
    ),
    st.sampled_from([(1, "segment"), (4, "segment"), (1, "document"), (DOCUMENT, "document")]),
)
def test_any_bytes_come_back(texts: list[bytes], mode: tuple[int | str, str]) -> None:
    made = compressor(*mode)
    assert texts_of(made.decode(made.compress(Documents.from_bytes(texts)))) == texts


@pytest.mark.parametrize("kind", [PAIRS, DOCUMENT])
def test_a_jump_cuts_less_and_codes_any_pair_of_bytes(kind: str) -> None:
    """Pairs above θ may now stand inside a segment, so the coder must not count on their absence."""
    documents = Documents.from_bytes(TEXTS)
    plain = NeuralCompressor(MODEL, score(kind), neural_settings(kind), 2.0)
    jumping = NeuralCompressor(MODEL, score(kind), neural_settings(kind), 2.0, jump_bits=0.5)
    cuts = [
        set(np.add(encoding.raw_ends, np.repeat(documents.offsets[:-1], np.diff(encoding.segment_offsets))).tolist())
        for encoding in (plain.compress(documents), jumping.compress(documents))
    ]
    assert len(cuts[1]) < len(cuts[0])
    encoding = jumping.compress(documents)
    assert texts_of(jumping.decode(encoding)) == texts_of(jumping.decode_by_model(encoding)) == TEXTS
    assert jumping.variant(theta_bits=2.0).jump_bits == 0.5


@pytest.mark.parametrize("context", ["segment", "document"])
def test_twenty_thousand_times_one_byte(context: str) -> None:
    made, text = compressor(1, context), b"a" * 20_000
    encoding = made.compress(Documents.from_bytes([text]))
    assert encoding.symbols.size < 5000
    assert texts_of(made.decode(encoding)) == [text]


@pytest.mark.parametrize("context", ["segment", "document"])
def test_a_tiny_kv_cache_and_more_threads_change_nothing(context: str, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = Documents.from_bytes(TEXTS)
    expected = by_document(compressor(4, context).compress(documents))
    monkeypatch.setitem(trie_evaluator.KV_CACHE_BYTES, "cpu", 40_000)
    made = compressor(4, context, threads=2)
    encoding = made.compress(documents)
    assert by_document(encoding) == expected
    assert texts_of(made.decode_by_model(encoding)) == TEXTS


def test_codes_are_found_in_the_book_or_computed_alike() -> None:
    half, documents = compressor(), Documents.from_bytes(TEXTS)
    half.compress(Documents.from_bytes(TEXTS[:4]))
    warm = compressor(book=half.codes.current)
    assert len(half.codes.current) > 0
    encoding = warm.compress(documents)
    assert by_document(encoding) == by_document(compressor().compress(documents))
    assert 0 < warm.coder.prefixes_read < documents.raw.size
    assert len(half.codes.current) < len(warm.codes.current)
    assert texts_of(warm.decode(encoding)) == TEXTS


def test_threads_share_one_compressor_whose_caches_restart_all_the_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(context_entropy, "MAX_ENTRIES", 5)
    rng = np.random.default_rng(3)
    batches = [Documents.from_bytes([TEXTS[i] for i in rng.integers(0, len(TEXTS), 3)]) for _ in range(8)]
    expected = [by_document(compressor(4).compress(batch)) for batch in batches]
    shared, wrong = compressor(4, cache_bytes=1), []

    def work(numbers: range) -> None:
        try:
            wrong.extend(i for i in numbers if by_document(shared.compress(batches[i])) != expected[i])
        except Exception as error:
            wrong.append(error)

    threads = [threading.Thread(target=work, args=(part,)) for part in (range(8), range(7, -1, -1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def moved(name: str, at: int, by: int) -> Callable[[Encoding], Encoding]:
    """An encoding with one value of one column changed."""

    def damage(encoding: Encoding) -> Encoding:
        column = getattr(encoding, name).copy()
        column[at] = int(column[at]) + by
        return replace(encoding, **{name: column})

    return damage


@pytest.mark.parametrize("context", ["segment", "document"])
@pytest.mark.parametrize(
    "damage",
    [
        moved("window_ends", -1, 1),
        moved("window_ends", 1, 300),
        moved("raw_ends", 0, 1),
        moved("symbol_ends", -1, 1),
        moved("symbol_ends", -1, -1),
        moved("symbol_ends", 3, 1000),
        moved("symbol_offsets", 3, 1),
        moved("symbol_offsets", -1, 1),
        moved("segment_offsets", 2, 1),
        moved("segment_offsets", 0, 1),
        lambda encoding: replace(encoding, symbols=encoding.symbols[:-1]),
        lambda encoding: replace(encoding, window_ends=np.zeros_like(encoding.window_ends)),
        lambda encoding: replace(encoding, symbol_ends=encoding.symbol_ends[::-1]),
        lambda encoding: replace(encoding, segment_offsets=encoding.segment_offsets[::-1]),
    ],
)
def test_torn_encodings_are_refused(damage: Callable[[Encoding], Encoding], context: str) -> None:
    made = compressor(1, context)
    encoding = made.compress(Documents.from_bytes(TEXTS))
    with pytest.raises(VerificationError, match="the shard is damaged"):
        made.decode(damage(encoding))


def test_a_window_across_two_blocks_is_refused() -> None:
    made, block = compressor(1, "document"), MODEL.config.attention_bytes
    encoding = made.compress(Documents.from_bytes([b"a" * (3 * block)]))
    assert encoding.window_ends is not None
    window, part = (np.flatnonzero(ends == block) for ends in (encoding.window_ends, encoding.raw_ends))
    merged = Encoding(
        symbols=np.delete(encoding.symbols, window),
        symbol_offsets=encoding.symbol_offsets - [0, 1],
        raw_ends=np.delete(encoding.raw_ends, part),
        symbol_ends=np.delete(encoding.symbol_ends - (encoding.raw_ends >= block), part).astype(np.uint32),
        segment_offsets=encoding.segment_offsets - [0, 1],
        window_ends=np.delete(encoding.window_ends, window),
    )
    with pytest.raises(VerificationError, match="a window crosses the end of a block; the shard is damaged"):
        made.decode(merged)


@pytest.mark.parametrize("by_model", [False, True])
def test_another_name_of_the_same_window_is_no_encoding(by_model: bool) -> None:
    """The next grid point in a window's interval decodes to the same bytes, but a symbol is the smallest one."""
    made, texts = compressor(), [TEXTS[1]]
    encoding = made.compress(Documents.from_bytes(texts))
    refused = 0
    for place in range(encoding.symbols.size):
        symbols = encoding.symbols.copy()
        symbols[place] += 1
        try:
            decode = made.decode_by_model if by_model else made.decode
            assert texts_of(decode(replace(encoding, symbols=symbols))) != texts
        except VerificationError:
            refused += 1
    assert refused > encoding.symbols.size / 2


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"context": "page"}, "--context is 'page'; give segment or document"),
        ({"boundary_score": "gzip"}, "--boundary-score is 'gzip'; give one of pair_surprisal, "),
        ({"boundary_score": "context_entropy", "score_context_bytes": 9}, "--score-context-bytes is 9; give 1 to 8"),
        ({"boundary_score": "context_entropy", "score_context_bytes": 0}, "or --boundary-score document_entropy"),
        (
            {"score_context_bytes": 4},
            "--score-context-bytes is 4, but pair_surprisal has none; add --boundary-score context_entropy",
        ),
        ({"max_segment_bytes": 256}, "--max-segment-bytes is 256; give 1 to 255"),
        ({"max_segment_bytes": 0}, "--max-segment-bytes is 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        NeuralSettings(**wrong)  # type: ignore[arg-type]
