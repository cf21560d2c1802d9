"""The tokenizer encoding is exact for every byte string, equal to SentencePiece's own, and refuses lossy models."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pickle
import struct
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline.compressors.tokenizer.compressor import TokenizerCompressor
from pipeline.compressors.tokenizer.training import CHUNK_BYTES, _chunks, _sample, train_tokenizer
from schemas.batches import Documents, Encoding
from schemas.errors import ArtifactError, InputError, SettingsError, VerificationError

CODE = b"""\
def total(values):
    result = 0
    for value in values:
        if value is None:
            continue
        result += value
    return result


class Counter:
    def __init__(self, values):
        self.values = list(values)
        self.limit = 1024

    def count(self, value):
        return sum(1 for other in self.values if other == value)
"""
NASTY = st.text(alphabet=" \u2581\t\n\r\0\ufffd\u2585\u0301\u00e9\u3000\ufeff😀日ax01_.:", min_size=1, max_size=40)
TEXTS = st.lists(st.one_of(st.text(min_size=1), NASTY).map(str.encode), max_size=6)


@pytest.fixture(scope="module")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "small.model"
    train_tokenizer([CODE], 400, path)
    return path


@pytest.fixture(scope="module")
def compressor(model_path: Path) -> TokenizerCompressor:
    return TokenizerCompressor.load(model_path)


def trained_otherwise(corpus: bytes = CODE, **options: Any) -> bytes:
    """A model with settings other than ours."""
    model = io.BytesIO()
    defaults = {"model_type": "bpe", "vocab_size": 400, "hard_vocab_limit": False, "minloglevel": 2, "num_threads": 1}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus.splitlines()), model_writer=model, **{**defaults, **options}
    )
    return model.getvalue()


LOSSLESS: dict[str, Any] = {
    "normalization_rule_name": "identity",
    "add_dummy_prefix": False,
    "remove_extra_whitespaces": False,
    "byte_fallback": True,
}


def assert_equal_encodings(one: Encoding, other: Encoding) -> None:
    for field in dataclasses.fields(Encoding):
        a, b = getattr(one, field.name), getattr(other, field.name)
        assert (a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b)), field.name


def assert_round_trip(compressor: TokenizerCompressor, texts: list[bytes]) -> Encoding:
    encoding = compressor.compress(Documents.from_bytes(texts))
    restored = compressor.decode(encoding)
    assert [restored.text(i) for i in range(len(restored))] == texts
    return encoding


class TestRoundTrip:
    @given(TEXTS)
    @settings(deadline=None, max_examples=200)
    def test_any_text(self, compressor: TokenizerCompressor, texts: list[bytes]) -> None:
        encoding = assert_round_trip(compressor, texts)
        assert encoding.symbols.dtype.name == compressor.layout.symbols == "uint16"
        assert encoding.raw_ends.dtype == encoding.symbol_ends.dtype == np.uint32
        for i, text in enumerate(texts):
            first, last = encoding.segment_offsets[i : i + 2]
            assert encoding.raw_ends[last - 1] == len(text)
            assert np.array_equal(encoding.symbol_ends[first:last], np.arange(1, last - first + 1))

    @given(st.lists(st.binary(min_size=1), max_size=4))
    @settings(deadline=None, max_examples=50)
    def test_any_bytes(self, compressor: TokenizerCompressor, texts: list[bytes]) -> None:
        assert_round_trip(compressor, texts)

    @given(TEXTS)
    @settings(deadline=None, max_examples=50)
    def test_a_document_does_not_see_its_batch(self, compressor: TokenizerCompressor, texts: list[bytes]) -> None:
        together = compressor.compress(Documents.from_bytes(texts))
        for i, text in enumerate(texts):
            alone = compressor.compress(Documents.from_bytes([text]))
            symbols = slice(*together.symbol_offsets[i : i + 2])
            segments = slice(*together.segment_offsets[i : i + 2])
            assert np.array_equal(together.symbols[symbols], alone.symbols)
            assert np.array_equal(together.raw_ends[segments], alone.raw_ends)
            assert np.array_equal(together.symbol_ends[segments], alone.symbol_ends)

    @pytest.mark.parametrize("n_documents", [0, 1, 2, 300])
    def test_size_ladder(self, compressor: TokenizerCompressor, n_documents: int) -> None:
        encoding = assert_round_trip(compressor, [CODE[i : i + 7] for i in range(n_documents)])
        assert len(encoding) == n_documents

    @pytest.mark.parametrize("unit", ["a", " ", "\n", "\0", "x ", "  y", "\u2581", "\u2581 ", "😀", "longword "])
    def test_long_and_uniform(self, compressor: TokenizerCompressor, unit: str) -> None:
        assert_round_trip(compressor, [unit.encode() * 30_000])

    def test_documents_of_a_slice(self, compressor: TokenizerCompressor) -> None:
        whole = Documents.from_bytes([b"first", b"second one", b"third"])
        part = Documents(raw=whole.raw, offsets=whole.offsets[1:])
        assert_equal_encodings(
            compressor.compress(part), compressor.compress(Documents.from_bytes([b"second one", b"third"]))
        )


class TestAgainstSentencePiece:
    @pytest.fixture(scope="class")
    def oracle(self, model_path: Path) -> sentencepiece.SentencePieceProcessor:
        return sentencepiece.SentencePieceProcessor(model_proto=model_path.read_bytes())

    @pytest.mark.parametrize("n_bytes", [1, 2, 100, 10_000])
    def test_words_give_the_tokens_of_the_whole_text(
        self, model_path: Path, compressor: TokenizerCompressor, n_bytes: int
    ) -> None:
        oracle = sentencepiece.SentencePieceProcessor(model_proto=model_path.read_bytes())
        text = (CODE * (1 + n_bytes // len(CODE)))[:n_bytes]
        encoding = compressor.compress(Documents.from_bytes([text]))
        assert encoding.symbols.tolist() == oracle.encode(text)

    @given(st.lists(st.one_of(st.text(), st.sampled_from(CODE.decode().split(" "))), max_size=12))
    @settings(deadline=None, max_examples=200)
    def test_any_text_without_the_space_mark(
        self, oracle: Any, compressor: TokenizerCompressor, parts: list[str]
    ) -> None:
        text = " ".join(parts).replace("\u2581", "")
        encoding = compressor.compress(Documents.from_bytes([text.encode()]))
        assert encoding.symbols.tolist() == oracle.encode(text)

    @pytest.mark.parametrize("options", [{}, {"split_by_whitespace": False}, {"split_by_unicode_script": False}])
    def test_real_source_code(self, options: dict[str, Any]) -> None:
        text = b"".join(path.read_bytes() for path in sorted(Path(sysconfig.get_path("stdlib")).glob("json/*.py")))
        model = trained_otherwise(text, vocab_size=900, **options, **LOSSLESS)
        oracle = sentencepiece.SentencePieceProcessor(model_proto=model)
        compressor = TokenizerCompressor(model)
        assert compressor.compress(Documents.from_bytes([text])).symbols.tolist() == oracle.encode(text)
        # Far fewer words than SentencePiece would be called for without them.
        assert len(compressor.words.current) < len(text) / 10

    def test_a_model_that_looks_further_gets_its_documents_whole(
        self, model_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A table that joins nothing stands for a model whose tokens reach across words; the probes find it."""
        nothing = np.zeros((256, 256), np.bool_)
        monkeypatch.setattr("pipeline.compressors.tokenizer.compressor.joined_pairs", lambda *_: nothing)
        whole = TokenizerCompressor.load(model_path)
        assert whole.joined.all()
        oracle = sentencepiece.SentencePieceProcessor(model_proto=model_path.read_bytes())
        assert whole.compress(Documents.from_bytes([CODE])).symbols.tolist() == oracle.encode(CODE)
        assert CODE in whole.words.current.segments.strings().data.tobytes()

    def test_a_full_codebook_starts_again_and_changes_nothing(self, compressor: TokenizerCompressor) -> None:
        small = pickle.loads(pickle.dumps(compressor))
        small.words._cache_bytes = 1
        for text in (CODE, CODE[::-1], b"other words", CODE):
            documents = Documents.from_bytes([text])
            assert_equal_encodings(small.compress(documents), compressor.compress(documents))

    def test_threads_that_share_a_compressor(self, model_path: Path, compressor: TokenizerCompressor) -> None:
        shared = TokenizerCompressor.load(model_path)
        batches = [Documents.from_bytes([CODE[i : i + 50], b"%d" % i]) for i in range(0, 400, 7)]
        wanted = [compressor.compress(batch) for batch in batches]
        with ThreadPoolExecutor(4) as pool:
            for one, other in zip(pool.map(shared.compress, batches), wanted, strict=True):
                assert_equal_encodings(one, other)

    def test_models_whose_pieces_span_words(self) -> None:
        model = trained_otherwise(CODE, split_by_whitespace=False, **LOSSLESS)
        compressor = TokenizerCompressor(model)
        assert any(b"f t" in compressor.table.token(i) for i in range(compressor.alphabet_size))
        text = CODE * 10
        oracle = sentencepiece.SentencePieceProcessor(model_proto=model)
        assert compressor.compress(Documents.from_bytes([text])).symbols.tolist() == oracle.encode(text)

    def test_unigram_models_round_trip(self) -> None:
        model = trained_otherwise(CODE, model_type="unigram", vocab_size=320, **LOSSLESS)
        assert_round_trip(TokenizerCompressor(model), [CODE * 5, "ß \u2581😀\0".encode()])

    def test_golden_symbols(self, compressor: TokenizerCompressor) -> None:
        encoding = compressor.compress(Documents.from_bytes([b"    for value in self:\n", "\u2581\0é".encode()]))
        tokens = [compressor.table.token(i) for i in encoding.symbols]
        assert tokens[:6] == [b"    ", b"for", b" value", b" in", b" self", b":\n"]
        assert b"".join(tokens[6:]) == "\u2581\0é".encode()
        assert encoding.symbols.tolist() == [258, 292, 263, 295, 336, 265, 227, 151, 130, 1, 196, 170]
        assert encoding.raw_ends.tolist() == [4, 7, 13, 16, 21, 23, 1, 2, 3, 4, 5, 6]
        assert encoding.segment_offsets.tolist() == [0, 6, 12]


class TestByteFallback:
    def test_what_the_model_would_change_becomes_the_tokens_of_its_bytes(self, tmp_path: Path) -> None:
        compressor = TokenizerCompressor(self.ohm_model(tmp_path))
        ohm = "5 \u2126 resistor".encode()
        encoding = assert_round_trip(compressor, [b"plain text", ohm, b"more text"])
        tokens = [compressor.table.token(i) for i in encoding.symbols[slice(*encoding.symbol_offsets[1:3])]]
        assert b"\xe2\x84\xa6" not in tokens
        assert {b"\xe2", b"\x84", b"\xa6"} <= set(tokens)
        assert_round_trip(compressor, [b"plain text"])

    @staticmethod
    def ohm_model(directory: Path) -> bytes:
        """A model that is exact but for the ohm sign, which it turns into an omega."""
        rules = directory / "rules.tsv"
        rules.write_text("2126\t3A9\n")
        options = {**LOSSLESS, "normalization_rule_tsv": str(rules)}
        del options["normalization_rule_name"]
        return trained_otherwise(**options)


class TestRefusals:
    @pytest.mark.parametrize(
        ("options", "lost"),
        [
            ({"normalization_rule_name": "nmt_nfkc"}, "'a b' into ' a '"),
            ({**LOSSLESS, "add_dummy_prefix": True}, "'a b' into ' a b'"),
            ({**LOSSLESS, "remove_extra_whitespaces": True}, "' a' into 'a'"),
            ({**LOSSLESS, "byte_fallback": False}, "into"),
            ({**LOSSLESS, "normalization_rule_name": "nfkc"}, r"'\u2585\u2047' into '\u2585\?\?'"),
        ],
    )
    def test_lossy_models(self, options: dict[str, Any], lost: str) -> None:
        with pytest.raises(ArtifactError, match=f"{lost}.*make tokenizer"):
            TokenizerCompressor(trained_otherwise(**options))

    @pytest.mark.parametrize("content", [b"", b"junk", b"\0" * 100])
    def test_files_that_are_no_model(self, tmp_path: Path, content: bytes) -> None:
        path = tmp_path / "broken.model"
        path.write_bytes(content)
        with pytest.raises(ArtifactError, match=r"broken\.model is not a whole SentencePiece model"):
            TokenizerCompressor.load(path)

    def test_a_truncated_model(self, model_path: Path) -> None:
        with pytest.raises(ArtifactError, match="is not a whole SentencePiece model"):
            TokenizerCompressor(model_path.read_bytes()[:-100])

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(ArtifactError, match=r"none\.model cannot be read"):
            TokenizerCompressor.load(tmp_path / "none.model")

    @pytest.mark.parametrize(
        ("field", "value", "message"),
        [
            ("symbols", [0, 300], "symbol 0 stands for no text"),
            ("symbols", [300, 60_000], "symbol 60000 is beyond the"),
            ("symbols", [300], "not one segment each"),
            ("raw_ends", [1, 1], "raw_ends"),
            ("symbol_ends", [1, 3], "symbol_ends"),
            ("segment_offsets", [0, 1], "not one segment each"),
            ("symbol_offsets", [2, 0], "not one segment each"),
        ],
    )
    def test_damaged_encodings(
        self, compressor: TokenizerCompressor, field: str, value: list[int], message: str
    ) -> None:
        encoding = compressor.compress(Documents.from_bytes([b" value in"]))
        assert len(encoding.symbols) == 2
        damaged = dataclasses.replace(encoding, **{field: np.array(value, getattr(encoding, field).dtype)})
        with pytest.raises(VerificationError, match=message):
            compressor.decode(damaged)


class TestIdentity:
    def test_digest_is_of_the_model_and_the_format(self, model_path: Path, compressor: TokenizerCompressor) -> None:
        assert compressor.digest == hashlib.sha256(b"tokenizer 2\n" + model_path.read_bytes()).hexdigest()

    def test_large_vocabularies_have_uint32_symbols(self, model_path: Path) -> None:
        # Protobuf messages are merged by concatenation: field 1 of the model is a piece, with its text 1 and score 2.
        pieces = [b"\x0a\x09" + f"\ue000{i:06}".encode() + struct.pack("<bf", 0x15, -1e6 - i) for i in range(70_000)]
        extra = b"".join(b"\x0a" + bytes([len(piece)]) + piece for piece in pieces)
        compressor = TokenizerCompressor(model_path.read_bytes() + extra)
        assert compressor.alphabet_size > 70_000
        assert assert_round_trip(compressor, [CODE]).symbols.dtype == np.uint32

    def test_survives_pickling(self, compressor: TokenizerCompressor) -> None:
        copy = pickle.loads(pickle.dumps(compressor))
        documents = Documents.from_bytes([CODE])
        assert_equal_encodings(copy.compress(documents), compressor.compress(documents))


class TestTraining:
    def test_equal_texts_in_any_order_give_equal_bytes(self, tmp_path: Path) -> None:
        texts = [CODE[i:] for i in range(0, 300, 60)]
        train_tokenizer(texts, 400, tmp_path / "one.model")
        train_tokenizer(iter(texts[::-1]), 400, tmp_path / "deeper" / "two.model")
        assert (tmp_path / "one.model").read_bytes() == (tmp_path / "deeper" / "two.model").read_bytes()
        assert [path.name for path in (tmp_path / "deeper").iterdir()] == ["two.model"]

    def test_newlines_runs_of_spaces_and_tabs_become_tokens(self, tmp_path: Path) -> None:
        train_tokenizer([CODE, CODE.replace(b"    ", b"\t")], 400, tmp_path / "m.model")
        table = TokenizerCompressor.load(tmp_path / "m.model").table
        tokens = {table.token(i) for i in range(len(table.lengths))}
        assert {b":\n", b"    ", b"\n\n", b"\t\t"} <= tokens
        assert not any(len(token) > 1 and any(48 <= byte < 58 for byte in token) for token in tokens)

    @pytest.mark.parametrize("text", [b"a", b"hello\n", "\u2585x\u2581y \0 \t".encode(), b"\xff\xfe z"])
    def test_tiny_corpora_give_what_vocabulary_they_can(self, tmp_path: Path, text: bytes) -> None:
        train_tokenizer([text], 8192, tmp_path / "tiny.model")
        compressor = TokenizerCompressor.load(tmp_path / "tiny.model")
        assert 256 < compressor.alphabet_size < 300
        assert_round_trip(compressor, [text, CODE])

    def test_a_vocabulary_too_small_for_the_characters(self, tmp_path: Path) -> None:
        with pytest.raises(SettingsError, match=r"vocabulary size 260 is too small .* give at least \d+"):
            train_tokenizer([CODE], 260, tmp_path / "m.model")
        with pytest.raises(SettingsError, match="vocabulary size 0 is not positive"):
            train_tokenizer([CODE], 0, tmp_path / "m.model")
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("texts", [[], [b""], [b"\n\n"]])
    def test_no_text_at_all(self, tmp_path: Path, texts: list[bytes]) -> None:
        with pytest.raises(InputError, match="holds no text"):
            train_tokenizer(texts, 400, tmp_path / "m.model")

    def test_training_and_loading_say_nothing(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        train_tokenizer([CODE], 400, tmp_path / "m.model")
        TokenizerCompressor.load(tmp_path / "m.model")
        assert capfd.readouterr() == ("", "")

    @settings(max_examples=400)
    @given(st.lists(st.binary(max_size=50)), st.integers(1, 300))
    @example([b"\x01", bytes(6)], 1)
    def test_the_cut_keeps_to_its_limit_and_ignores_the_order(self, texts: list[bytes], max_bytes: int) -> None:
        kept = _sample(texts, max_bytes)
        assert sum(map(len, kept)) <= max_bytes
        assert kept == _sample(sorted(texts), max_bytes)
        if sum(map(len, texts)) <= max_bytes:
            assert sorted(kept) == sorted(texts)

    @given(st.lists(st.integers(200, 3000), min_size=1, max_size=12), st.integers(128, 2000))
    def test_the_budget_is_filled_however_long_the_texts_are(self, sizes: list[int], max_bytes: int) -> None:
        texts = [bytes([97 + i]) * size for i, size in enumerate(sizes)]
        kept = sum(map(len, _sample(texts, max_bytes)))
        assert kept >= 0.9 * min(max_bytes, sum(sizes))

    def test_a_text_longer_than_the_budget_is_trained_on_in_part(self, tmp_path: Path) -> None:
        text = b"hello world, this is text\n" * 100
        train_tokenizer([text], 300, tmp_path / "x.model", max_bytes=1000)
        symbols = (
            TokenizerCompressor((tmp_path / "x.model").read_bytes()).compress(Documents.from_bytes([text])).symbols
        )
        assert symbols.size < len(text) / 2

    @given(st.text(alphabet="ab é😀", max_size=80), st.sampled_from(["", "\n"]), st.integers(1, 300))
    @settings(deadline=None)
    def test_chunks_are_the_text_in_order(self, line: str, newline: str, times: int) -> None:
        text = ((line + newline) * times).encode()
        chunks = list(_chunks(text))
        assert b"".join(chunks) == text
        assert all(0 < len(chunk) <= CHUNK_BYTES and chunk.decode() for chunk in chunks)
        if newline and text:
            assert all(chunk.endswith(b"\n") for chunk in chunks)
