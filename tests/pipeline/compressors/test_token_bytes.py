"""The token-bytes encoding: exact, as wide as it must be, and in Gray code one bit from the next token."""

from __future__ import annotations

import dataclasses
import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.compressors.token_bytes.compressor import TokenBytesCompressor, gray
from pipeline.compressors.token_bytes.settings import TokenBytesSettings
from pipeline.compressors.tokenizer.compressor import TokenizerCompressor
from pipeline.compressors.tokenizer.training import train_tokenizer
from schemas.batches import Documents
from schemas.errors import SettingsError, VerificationError

CODE = b"""\
def total(values):
    result = 0
    for value in values:
        result += value
    return result
"""
NASTY = st.text(alphabet=" \u2581\t\n\r\0\ufffd\u00e9😀日ax01_.:", min_size=1, max_size=40)
TEXTS = st.lists(st.one_of(st.text(min_size=1), NASTY).map(str.encode), max_size=6)
VARIANTS = [(2, "plain"), (2, "gray"), (3, "plain"), (3, "gray")]


def settings_of(width_bytes: int, code: str) -> TokenBytesSettings:
    return TokenBytesSettings(width_bytes=width_bytes, code=code)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("token_bytes") / "small.model"
    train_tokenizer([CODE], 320, path)
    return path


@pytest.fixture(scope="module")
def tokenizer(model_path: Path) -> TokenizerCompressor:
    return TokenizerCompressor.load(model_path)


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda variant: f"{variant[1]}{variant[0]}")
def compressor(request: pytest.FixtureRequest, tokenizer: TokenizerCompressor) -> TokenBytesCompressor:
    width_bytes, code = request.param
    return TokenBytesCompressor(tokenizer, settings_of(width_bytes, code))


@given(TEXTS)
@settings(deadline=None)
def test_round_trip(compressor: TokenBytesCompressor, texts: list[bytes]) -> None:
    documents = Documents.from_bytes(texts)
    encoding = compressor.compress(documents)
    restored = compressor.decode(encoding)
    assert [restored.text(i) for i in range(len(restored))] == texts
    assert encoding.symbols.dtype == np.uint8
    assert not len(encoding.symbols) or encoding.symbols.max() < compressor.alphabet_size


@given(TEXTS)
@settings(deadline=None)
def test_segments_are_the_tokens(compressor: TokenBytesCompressor, texts: list[bytes]) -> None:
    documents, width = Documents.from_bytes(texts), compressor.width_bytes
    tokens, encoding = compressor.source.compress(documents), compressor.compress(documents)
    assert np.array_equal(encoding.raw_ends, tokens.raw_ends)
    assert np.array_equal(encoding.segment_offsets, tokens.segment_offsets)
    assert np.array_equal(encoding.symbol_ends, tokens.symbol_ends * width)
    assert np.array_equal(encoding.symbol_offsets, tokens.symbol_offsets * width)
    assert encoding.symbol_ends.dtype == np.uint32


@given(TEXTS)
@settings(deadline=None, max_examples=30)
def test_a_document_does_not_see_its_batch(compressor: TokenBytesCompressor, texts: list[bytes]) -> None:
    together = compressor.compress(Documents.from_bytes(texts))
    alone = [compressor.compress(Documents.from_bytes([text])).symbols.tolist() for text in texts]
    assert together.symbols.tolist() == [symbol for symbols in alone for symbol in symbols]


def test_plain_is_the_big_endian_id(tokenizer: TokenizerCompressor) -> None:
    documents = Documents.from_bytes([CODE, "é😀".encode()])
    ids = tokenizer.compress(documents).symbols.tolist()
    for width in (2, 3):
        encoding = TokenBytesCompressor(tokenizer, TokenBytesSettings(width_bytes=width)).compress(documents)
        assert bytes(encoding.symbols.tolist()) == b"".join(i.to_bytes(width, "big") for i in ids)


def test_golden_symbols(tokenizer: TokenizerCompressor) -> None:
    documents = Documents.from_bytes([b"  value:\n"])
    assert TokenBytesCompressor(tokenizer).compress(documents).symbols.tolist() == [1, 1, 1, 6, 1, 44, 1, 12]
    assert TokenBytesCompressor(tokenizer, TokenBytesSettings(code="gray")).compress(documents).symbols.tolist() == [
        0,
        50,
        0,
        238,
        0,
        198,
        0,
        121,
    ]


@given(st.integers(0, (1 << 24) - 2))
def test_neighbouring_ranks_differ_in_one_bit(rank: int) -> None:
    one, other = gray(np.array([rank, rank + 1], np.uint32)).tolist()
    assert (one ^ other).bit_count() == 1
    assert one.bit_length() == rank.bit_length()


def test_gray_walks_the_sorted_vocabulary(tokenizer: TokenizerCompressor) -> None:
    compressor = TokenBytesCompressor(tokenizer, TokenBytesSettings(code="gray"))
    in_order = compressor._ids[gray(np.arange(tokenizer.alphabet_size, dtype=np.uint32))]
    assert sorted(in_order.tolist()) == list(range(tokenizer.alphabet_size))
    texts = [tokenizer.table.token(i) for i in in_order]
    assert texts[-1] == b""  # the unknown token has no text
    assert texts[:-1] == sorted(texts[:-1])


class TestWidth:
    def test_small_vocabularies_take_two_bytes(self, model_path: Path) -> None:
        assert TokenBytesCompressor(TokenizerCompressor.load(model_path)).width_bytes == 2

    def test_large_vocabularies_take_three(self, model_path: Path) -> None:
        # Protobuf messages are merged by concatenation: field 1 of the model is a piece, with its text 1 and score 2.
        pieces = [b"\x0a\x09" + f"\ue000{i:06}".encode() + struct.pack("<bf", 0x15, -1e6 - i) for i in range(66_000)]
        extra = b"".join(b"\x0a" + bytes([len(piece)]) + piece for piece in pieces)
        tokenizer = TokenizerCompressor(model_path.read_bytes() + extra)
        compressor = TokenBytesCompressor(tokenizer, TokenBytesSettings(code="gray"))
        assert compressor.width_bytes == 3
        assert compressor.decode(compressor.compress(Documents.from_bytes([CODE]))).text(0) == CODE
        with pytest.raises(SettingsError, match="66320 tokens cannot be encoded in 2 bytes each: give 3 bytes"):
            TokenBytesCompressor(tokenizer, TokenBytesSettings(width_bytes=2))

    @pytest.mark.parametrize("width_bytes", [-1, 1, 4])
    def test_widths_that_are_none(self, width_bytes: int) -> None:
        with pytest.raises(SettingsError, match=f"--token-width-bytes is {width_bytes}; give 2 or 3"):
            TokenBytesSettings(width_bytes=width_bytes)

    def test_an_unknown_code(self) -> None:
        with pytest.raises(SettingsError, match="--token-code is 'grey'; give one of plain, gray"):
            TokenBytesSettings(code="grey")  # type: ignore[arg-type]


def test_digest_names_tokenizer_width_and_code(tokenizer: TokenizerCompressor) -> None:
    made = [TokenBytesCompressor(tokenizer, settings_of(width, code)) for width, code in VARIANTS]
    assert len({compressor.digest for compressor in made}) == len(VARIANTS)
    assert made[0].digest == TokenBytesCompressor(tokenizer).digest


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("symbols", [0, 100, 0], "not in groups of 2"),
        ("symbols", [256, 0, 1, 1], "symbol 256 is not a byte"),
        ("symbols", [255, 255, 1, 1], "code 65535 is no token's plain code"),
        ("symbols", [0, 0, 1, 1], "symbol 0 stands for no text"),
        ("symbol_ends", [1, 4], "not in groups of 2"),
        ("symbol_offsets", [0, 3], "not in groups of 2"),
        ("raw_ends", [1, 2], "raw_ends"),
    ],
)
def test_damaged_encodings(tokenizer: TokenizerCompressor, field: str, value: list[int], message: str) -> None:
    compressor = TokenBytesCompressor(tokenizer)
    encoding = compressor.compress(Documents.from_bytes([b" value\0"]))
    assert len(encoding.symbols) == 4
    damaged = dataclasses.replace(encoding, **{field: np.array(value)})
    with pytest.raises(VerificationError, match=message):
        compressor.decode(damaged)
