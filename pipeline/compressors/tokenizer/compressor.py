"""The tokenizer encoding: SentencePiece ids, one segment per token, exact for every byte string.

Documents are cut into words that no token reaches across (`kernels/words.py`), and SentencePiece sees each distinct
word once; the codebook has the rest. The tokens are those that SentencePiece gives for the whole document: exactly for
BPE, for unigram models up to ties that its float32 sums decide.

    b"if x:\\n  if y:"  ->  words [b"if", b" x", b":\\n  if", b" y", b":"]  ->  codebook  ->  ids [340, 271, ...]
                                  └─ unknown ones ─► SentencePiece ─► ids ─► bytes, equal? ─┘

A token's bytes come from our own table (id -> bytes), and a word that its tokens do not restore, such as U+2581, which
SentencePiece cannot tell from a space, is encoded as the tokens of its bytes. So losslessness rests on the comparison,
not on what a model promises, and needs it once per distinct word.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from kernels.byte_spans import ByteSpans, Codes
from kernels.codebook import Codebook
from kernels.segmentation import ends_within
from kernels.words import cut_words, joined_pairs
from pipeline.compressors.codebook_cache import CodebookCache
from pipeline.compressors.tokenizer.piece_table import SPACE_MARK_BYTES, PieceTable, read_pieces
from schemas.batches import Documents, Encoding, offsets_of
from schemas.encodings import EncodingLayout, Unsigned, unsigned_for
from schemas.errors import ArtifactError, VerificationError

FORMAT = b"tokenizer 2\n"
"""Changes when the same model file comes to mean other symbols."""
UINT16_ALPHABET = 1 << 16

SENTENCEPIECE = "sentencepiece"
"""The stage that counts its work on words that are new."""
_SPACE_MARK = np.frombuffer(SPACE_MARK_BYTES, np.uint8)
"""A word of its own, so that no other word is encoded as bytes for its sake."""
_ERROR_LOG_LEVEL = 2

_REMEDY = "train one with `make tokenizer`: identity normalisation, no dummy prefix, byte fallback"

PROBES: tuple[bytes, ...] = tuple(
    text.encode()
    for text in (
        *("a b", " a", "a ", "  a", "a  ", "   ", "a   b", " ", "\n", "\n\n\n", "a\nb\n", "\n a \n", "  a\n    b\n"),
        *("\t", "\t\ta\t", " \t \t", "a\r\nb\r\n", "\r", "\r\n\r\n", "\v\f", "\0", "a\0b\0\0", "def f():\n\tx  # y \n"),
        *("\u2581", "a\u2581b", " \u2581 \u2581\u2581", "\u2585\u2047", "\ufffd", "a\u00a0b", "\u3000a\u3000"),
        *("\ufeffa", "e\u0301\u00e9", "\u212b\ufb01\u00bd\uff21", "\u200b\u200d\u2028\u0085", "\uffff\U0010ffff"),
        *("日本語 한국어", "عربى", "😀", "\U0001f469\u200d\U0001f467\U0001f3fd", "<s></s><unk><pad>", "<0x41>"),
        *("0123456789", "x" * 4099, " " * 4099, "word " * 1000),
        *(f"a{chr(code)}b" for code in range(256)),
    )
)
"""What a tokenizer must restore before it is used at all."""


class TokenizerCompressor:
    """SentencePiece tokens of any lossless `.model` file; see `pipeline.compressors.base.Compressor`."""

    name = "tokenizer"

    def __init__(self, model: bytes, *, label: str = "tokenizer") -> None:
        """From the bytes of a `.model` file, which errors call `label`; ArtifactError unless it restores all PROBES."""
        self._model, self._label = model, label
        self._processor = open_processor(model, label)
        self.alphabet_size: int = self._processor.get_piece_size()
        self.digest = tokenizer_digest(model)
        pieces, self._byte_ids = read_pieces(self._processor)
        self.table = PieceTable.of(pieces)
        self.joined = joined_pairs(ByteSpans.from_bytes(pieces))
        """bool [256, 256]: pairs of bytes that words are not cut between."""
        longest_bytes = int(self.table.lengths.max(initial=0))
        self.layout = EncodingLayout(symbols=symbol_type(self.alphabet_size), segment_bytes=unsigned_for(longest_bytes))
        self._symbol_dtype, length_dtype = np.dtype(self.layout.symbols), np.dtype(unsigned_for(longest_bytes))
        self.words = CodebookCache(Codebook(self._symbol_dtype, length_dtype), self._code, stage=SENTENCEPIECE)
        probes = _without_marks(PROBES)
        self._refuse_if_lossy(probes)
        # By the fixed probes alone: ids are a function of the model.
        if not self._encodes_words_alike(probes):
            self.joined[:] = True

    @classmethod
    def load(cls, path: str | PathLike[str]) -> TokenizerCompressor:
        """The compressor of a `.model` file; ArtifactError if it cannot be read or loses text."""
        return cls(read_model(Path(path)), label=str(path))

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(TokenizerCompressor, label=self._label), (self._model,)

    def compress(self, documents: Documents) -> Encoding:
        """One symbol and one segment per token. Every distinct word was compared with the text of its tokens."""
        ends, word_offsets = cut_words(documents.raw, documents.offsets, self.joined, _SPACE_MARK)
        words = ByteSpans.from_ends(documents.raw, ends, start=int(documents.offsets[0]))
        encoding = self.words.encode(words, word_offsets)
        offsets, token_ends = encoding.symbol_offsets, encoding.window_ends
        assert token_ends is not None
        return Encoding(
            symbols=encoding.symbols,
            symbol_offsets=offsets,
            raw_ends=token_ends,
            symbol_ends=_token_counts(offsets),
            segment_offsets=offsets,
        )

    def decode(self, encoding: Encoding) -> Documents:
        """The tokens' bytes; VerificationError if an id has no text or the segments are not these tokens."""
        ids, offsets = encoding.symbols, encoding.symbol_offsets
        in_order = offsets[0] == 0 and offsets[-1] == len(ids) and bool((np.diff(offsets) >= 0).all())
        if not in_order or not np.array_equal(encoding.segment_offsets, offsets):
            raise VerificationError(f"{len(ids)} symbols are not one segment each: {self._blame}")
        if len(ids) and ids.max() >= self.alphabet_size:
            raise VerificationError(f"symbol {ids.max()} is beyond the {self.alphabet_size} tokens: {self._blame}")
        without_text = np.flatnonzero(self.table.lengths[ids] == 0)
        if len(without_text):
            raise VerificationError(f"symbol {ids[without_text[0]]} stands for no text: {self._blame}")
        ends = self.table.ends(ids)
        if not np.array_equal(encoding.raw_ends, ends_within(ends[1:], offsets, ends[offsets])):
            raise VerificationError(f"raw_ends are not the ends of the tokens: {self._blame}")
        if not np.array_equal(encoding.symbol_ends, _token_counts(offsets)):
            raise VerificationError(f"symbol_ends do not count the tokens: {self._blame}")
        return Documents(raw=self.table.join(ids, ends), offsets=ends[offsets])

    def _encodes_words_alike(self, texts: list[bytes]) -> bool:
        """Whether the texts' words give the texts' tokens. A model that looks further gets its documents whole."""
        return np.array_equal(self.compress(Documents.from_bytes(texts)).symbols, self._encode(texts)[0])

    @property
    def _blame(self) -> str:
        return f"the shard is damaged or was written with another tokenizer than {self._label} ({self.digest[:12]})"

    def _refuse_if_lossy(self, texts: list[bytes]) -> None:
        ids, offsets = self._encode(texts)
        lost = self._lost(texts, ids, offsets)
        if lost:
            text, wrong = texts[lost[0]], ids[offsets[lost[0]] : offsets[lost[0] + 1]]
            restored = self.table.join(wrong, self.table.ends(wrong)).tobytes()
            raise ArtifactError(f"tokenizer {self._label} turns {_short(text)} into {_short(restored)}: {_REMEDY}")
        missing = np.flatnonzero(self._byte_ids < 0)
        if len(missing):
            raise ArtifactError(f"tokenizer {self._label} has no piece for byte {missing[0]:#04x}: {_REMEDY}")

    def _code(self, strings: ByteSpans) -> Codes:
        """Tokens of distinct words."""
        words = strings.to_bytes()
        ids, offsets = self._encode(words)
        lost = self._lost(words, ids, offsets)
        if lost:
            ids, offsets = self._by_bytes(lost, words, ids, offsets)
        return Codes(ids.astype(self._symbol_dtype), self.table.lengths[ids], offsets[1:])

    def _encode(self, texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """What SentencePiece makes of each text: int32 [n_tokens] ids and int64 [n + 1] offsets."""
        # One thread: the pipeline runs one worker per core, and the call lets go of the GIL.
        encoded: list[list[int]] = self._processor.encode(texts, num_threads=1)
        offsets = offsets_of(list(map(len, encoded)))
        return np.fromiter(chain.from_iterable(encoded), np.int32, int(offsets[-1])), offsets

    def _lost(self, texts: list[bytes], ids: np.ndarray, offsets: np.ndarray) -> list[int]:
        """The texts that their tokens do not restore, by number."""
        ends = self.table.ends(ids)
        whole = np.frombuffer(b"".join(texts), np.uint8)
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
        all_have_text = bool((self.table.lengths[ids] > 0).all())
        sizes_fit = np.array_equal(np.diff(ends[offsets]), sizes)
        if all_have_text and sizes_fit and np.array_equal(self.table.join(ids, ends), whole):
            return []
        return [i for i, text in enumerate(texts) if not self._restores(ids[offsets[i] : offsets[i + 1]], text)]

    def _restores(self, ids: np.ndarray, text: bytes) -> bool:
        """Whether tokens have the bytes of a text."""
        all_have_text = bool((self.table.lengths[ids] > 0).all())
        return all_have_text and self.table.join(ids, self.table.ends(ids)).tobytes() == text

    def _by_bytes(
        self, lost: list[int], texts: list[bytes], ids: np.ndarray, offsets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The ids and offsets with the lost texts as byte pieces."""
        runs = np.split(ids, offsets[1:-1])
        for i in lost:
            runs[i] = self._byte_ids[np.frombuffer(texts[i], np.uint8)]
        return np.concatenate(runs), offsets_of([len(run) for run in runs])


def _without_marks(texts: Sequence[bytes]) -> list[bytes]:
    """The stretches between U+2581, for SentencePiece writes a space as one and is never given one."""
    return [part for text in texts for part in text.split(SPACE_MARK_BYTES) if part]


def read_model(path: Path) -> bytes:
    """The bytes of a `.model` file; ArtifactError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or error
        raise ArtifactError(
            f"tokenizer {path} cannot be read ({reason}): give a `.model` file, or {_REMEDY}"
        ) from error


def open_processor(model: bytes, label: str) -> sentencepiece.SentencePieceProcessor:
    """SentencePiece with a model; ArtifactError, which names `label`, where the bytes are not a whole model."""
    sentencepiece.set_min_log_level(_ERROR_LOG_LEVEL)
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model)
    except (RuntimeError, ValueError) as error:
        raise ArtifactError(
            f"tokenizer {label} is not a whole SentencePiece model: fetch it again, or {_REMEDY}"
        ) from error
    return processor


def symbol_type(alphabet_size: int) -> Unsigned:
    """The type of symbols that holds all ids: uint16 where that suffices."""
    return "uint16" if alphabet_size <= UINT16_ALPHABET else "uint32"


def tokenizer_digest(model: bytes) -> str:
    """The name, sha256, of all that ids depend on."""
    return hashlib.sha256(FORMAT + model).hexdigest()


def _token_counts(offsets: np.ndarray) -> np.ndarray:
    """uint32: 1, 2, … in every document."""
    return ends_within(np.arange(1, offsets[-1] + 1), offsets, offsets)


def _short(text: bytes) -> str:
    shown = repr(text.decode("utf-8", "backslashreplace"))
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
