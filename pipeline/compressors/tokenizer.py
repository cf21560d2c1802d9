"""The tokenizer spelling: SentencePiece ids, one segment per token, exact for every byte string.

SentencePiece finds the tokens; their bytes come from our own table (id -> bytes), and every batch is spelled back
through that table and compared with the documents before it is given away. So losslessness rests on the comparison,
not on what a model promises.

    b"if x:\\n  y"  ->  parts [b"if x:\\n  y"]  ->  ids [340, 271, ...]  ->  bytes [b"if", b" x", ...]  ->  equal: done

SentencePiece writes a space as U+2581, so it cannot tell a document's own U+2581 from a space: documents are split
around them and they are spelled by their three byte-fallback pieces. Long documents are cut before a space that
follows a non-space, where no piece of the vocabulary can reach across: BPE then gives the same tokens, 1.6 times as
fast.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import sentencepiece

from pipeline.compressors.piece_table import SPACE_MARK_BYTES, PieceTable, read_pieces
from schemas.batches import Documents, Spelling
from schemas.errors import ArtifactError, VerificationError

FORMAT = b"tokenizer 1\n"
"""Changes when the same model file comes to mean other symbols."""
PART_BYTES = 1024
"""Long documents go to SentencePiece in parts of at least this many bytes; its time per byte grows with the length."""
UINT16_ALPHABET = 1 << 16

_WORD_START = re.compile(rb"(?<! ) ")
_ACROSS_WORDS = re.compile(rb"[^ ] ")
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
"""What a tokenizer must restore before it is used at all; a sample of the corpus may be added at load."""


class TokenizerCompressor:
    """SentencePiece tokens of any lossless `.model` file; see `pipeline.compressors.base.Compressor`."""

    name = "tokenizer"

    def __init__(self, model: bytes, *, label: str = "tokenizer", sample: Sequence[bytes] = ()) -> None:
        """From the bytes of a `.model` file; ArtifactError if it is none, or does not restore a probe or the sample."""
        self._label = label
        self._processor = _processor(model, label)
        self.alphabet_size: int = self._processor.get_piece_size()
        self.symbol_dtype = np.dtype(np.uint16 if self.alphabet_size <= UINT16_ALPHABET else np.uint32)
        self.digest = hashlib.sha256(FORMAT + model).hexdigest()
        pieces, self._byte_ids = read_pieces(self._processor)
        self.table = PieceTable.of(pieces)
        self._words_are_apart = not any(map(_ACROSS_WORDS.search, pieces))
        self._byte_spelled: list[int] = []
        self._refuse_if_lossy([*PROBES, *sample])

    @classmethod
    def load(cls, path: str | PathLike[str], *, sample: Sequence[bytes] = ()) -> TokenizerCompressor:
        """The compressor of a `.model` file, checked on the probes and on `sample`; ArtifactError if it will not do."""
        try:
            model = Path(path).read_bytes()
        except OSError as error:
            reason = error.strerror or error
            raise ArtifactError(
                f"tokenizer {path} cannot be read ({reason}): give a `.model` file, or {_REMEDY}"
            ) from error
        return cls(model, label=str(path), sample=sample)

    @property
    def byte_spelled_documents(self) -> int:
        """Documents compressed so far that SentencePiece would have lost and that are spelled byte by byte instead."""
        return sum(self._byte_spelled)

    def compress(self, documents: Documents) -> Spelling:
        """One symbol and one segment per token. Every document is compared with what its tokens spell."""
        texts = [documents.text(i) for i in range(len(documents))]
        ids, offsets = self._encode(texts)
        lost = self._lost(texts, ids, offsets)
        if lost:
            self._byte_spelled.append(len(lost))
            ids, offsets = self._spell_by_bytes(lost, texts, ids, offsets)
        ends = self.table.ends(ids)
        return Spelling(
            symbols=ids.astype(self.symbol_dtype),
            symbol_offsets=offsets,
            raw_ends=_within_documents(ends[1:], ends, offsets),
            symbol_ends=_token_counts(offsets),
            segment_offsets=offsets,
        )

    def decode(self, spelling: Spelling) -> Documents:
        """The tokens' bytes; VerificationError if an id has no text or the segments are not these tokens."""
        ids, offsets = spelling.symbols, spelling.symbol_offsets
        in_order = offsets[0] == 0 and offsets[-1] == len(ids) and bool((np.diff(offsets) >= 0).all())
        if not in_order or not np.array_equal(spelling.segment_offsets, offsets):
            raise VerificationError(f"{len(ids)} symbols are not one segment each: {self._blame}")
        if len(ids) and ids.max() >= self.alphabet_size:
            raise VerificationError(f"symbol {ids.max()} is beyond the {self.alphabet_size} tokens: {self._blame}")
        without_text = np.flatnonzero(self.table.lengths[ids] == 0)
        if len(without_text):
            raise VerificationError(f"symbol {ids[without_text[0]]} stands for no text: {self._blame}")
        ends = self.table.ends(ids)
        if not np.array_equal(spelling.raw_ends, _within_documents(ends[1:], ends, offsets)):
            raise VerificationError(f"raw_ends are not the ends of the tokens: {self._blame}")
        if not np.array_equal(spelling.symbol_ends, _token_counts(offsets)):
            raise VerificationError(f"symbol_ends do not count the tokens: {self._blame}")
        return Documents(raw=self.table.join(ids, ends), offsets=ends[offsets])

    def settings(self) -> dict[str, Any]:
        """What the manifest says about it."""
        return {
            "name": self.name,
            "digest": self.digest,
            "alphabet_size": self.alphabet_size,
            "sentencepiece_version": sentencepiece.__version__,
        }

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

    def _encode(self, texts: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """What SentencePiece makes of each text: int32 [n_tokens] ids and int64 [n + 1] offsets."""
        parts: list[bytes] = []
        part_offsets = np.zeros(len(texts) + 1, np.int64)
        for i, text in enumerate(texts):
            self._add_parts(text, parts)
            part_offsets[i + 1] = len(parts)
        # One thread: the pipeline runs one worker per core, and the call lets go of the GIL.
        encoded = self._processor.encode(parts, return_type="numpy", num_threads=1)
        mark_ids = self._byte_ids[list(SPACE_MARK_BYTES)]
        mark_ids = np.where(mark_ids < 0, self._processor.unk_id(), mark_ids)
        encoded = [mark_ids if part == SPACE_MARK_BYTES else ids for part, ids in zip(parts, encoded, strict=True)]
        token_offsets = np.zeros(len(parts) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, encoded), np.int64, len(parts)), out=token_offsets[1:])
        return np.concatenate([np.zeros(0, np.int32), *encoded]), token_offsets[part_offsets]

    def _add_parts(self, text: bytes, parts: list[bytes]) -> None:
        """Append what is encoded on its own: stretches between U+2581, each U+2581, and long stretches cut at words."""
        for k, stretch in enumerate(text.split(SPACE_MARK_BYTES)):
            if k:
                parts.append(SPACE_MARK_BYTES)
            start = 0
            while self._words_are_apart and len(stretch) - start > 2 * PART_BYTES:
                word = _WORD_START.search(stretch, start + PART_BYTES)
                if word is None:
                    break
                parts.append(stretch[start : word.start()])
                start = word.start()
            if start < len(stretch):
                parts.append(stretch[start:])

    def _lost(self, texts: list[bytes], ids: np.ndarray, offsets: np.ndarray) -> list[int]:
        """The documents whose tokens do not spell them."""
        ends = self.table.ends(ids)
        whole = np.frombuffer(b"".join(texts), np.uint8)
        sizes = np.fromiter(map(len, texts), np.int64, len(texts))
        all_have_text = bool((self.table.lengths[ids] > 0).all())
        sizes_fit = np.array_equal(np.diff(ends[offsets]), sizes)
        if all_have_text and sizes_fit and np.array_equal(self.table.join(ids, ends), whole):
            return []
        return [i for i, text in enumerate(texts) if not self._spells(ids[offsets[i] : offsets[i + 1]], text)]

    def _spells(self, ids: np.ndarray, text: bytes) -> bool:
        all_have_text = bool((self.table.lengths[ids] > 0).all())
        return all_have_text and self.table.join(ids, self.table.ends(ids)).tobytes() == text

    def _spell_by_bytes(
        self, lost: list[int], texts: list[bytes], ids: np.ndarray, offsets: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The batch's ids and offsets with the lost documents as byte pieces."""
        runs = np.split(ids, offsets[1:-1])
        for i in lost:
            runs[i] = self._byte_ids[np.frombuffer(texts[i], np.uint8)]
        new_offsets = np.zeros_like(offsets)
        np.cumsum([len(run) for run in runs], out=new_offsets[1:])
        return np.concatenate(runs), new_offsets


def _processor(model: bytes, label: str) -> sentencepiece.SentencePieceProcessor:
    sentencepiece.set_min_log_level(_ERROR_LOG_LEVEL)
    processor = sentencepiece.SentencePieceProcessor()
    try:
        processor.LoadFromSerializedProto(model)
    except (RuntimeError, ValueError) as error:
        raise ArtifactError(
            f"tokenizer {label} is not a whole SentencePiece model: fetch it again, or {_REMEDY}"
        ) from error
    return processor


def _within_documents(ends: np.ndarray, starts: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """uint32: running ends of a batch's tokens, counted from each document's own beginning."""
    within: np.ndarray = ends - np.repeat(starts[offsets[:-1]], np.diff(offsets))
    return within.astype(np.uint32)


def _token_counts(offsets: np.ndarray) -> np.ndarray:
    """uint32: 1, 2, … in every document."""
    tokens = np.arange(offsets[-1] + 1)
    return _within_documents(tokens[1:], tokens, offsets)


def _short(text: bytes) -> str:
    shown = repr(text.decode("utf-8", "backslashreplace"))
    return shown if len(shown) <= 40 else f"{shown[:40]}…"
