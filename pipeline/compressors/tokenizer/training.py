"""Training a lossless SentencePiece tokenizer on a sample of the corpus.

    texts  ->  a cut that does not depend on their order  ->  chunks of whole lines  ->  BPE  ->  one `.model` file

SentencePiece takes sentences and drops the newlines at their end; chunks of several lines keep the ones inside, so
that ":\\n" or ")\\n\\n" can become one token. The settings are Llama's, made lossless: identity normalisation, no dummy
prefix, byte fallback; single digits; pieces of one script, so that a name's token does not swallow the punctuation
beside it (on Python, vocabulary 8192: 3.48 bytes per token instead of 3.71, but a normalised edit distance of 0.41
instead of 0.46 when a tenth of the characters is deleted); no piece reaches over a space into the next word.
"""

from __future__ import annotations

import hashlib
import io
import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from os import PathLike
from pathlib import Path

import sentencepiece

from schemas.errors import InputError, SettingsError
from schemas.files import replace_file

MAX_TRAINING_BYTES = 64 << 20
"""Text beyond this many bytes adds training time and next to nothing to the vocabulary."""
CHUNK_BYTES = 8192
"""Longest sentence given to SentencePiece."""
CHARACTER_COVERAGE = 0.99995
"""Share of the sample's characters that get a piece of their own; the rarest are left to byte fallback."""

PARTS_OF_A_BUDGET = 32
"""Texts beyond the budget are cut into at least so many parts of it, as long as a part has 4 bytes."""

_HASH_BITS = 64
_NO_HASH = 1 << _HASH_BITS
_MAX_CHARACTER_BYTES = 4
_ERROR_LOG_LEVEL = 2
_RESERVED = re.compile(rb"\xe2\x96[\x81\x85]")  # U+2581 reads as a space, U+2585 makes it drop the sentence
_TOO_SMALL = re.compile(r"smaller than required_chars\. \d+ vs (\d+)")


def train_tokenizer(
    texts: Iterable[bytes],
    vocabulary_size: int,
    out_path: str | PathLike[str],
    *,
    max_bytes: int = MAX_TRAINING_BYTES,
) -> None:
    """Train on UTF-8 `texts` and write the model file at `out_path`, whole or not at all.

    Equal texts in any order give equal bytes, by SentencePiece's wheels for Linux at least: of equally frequent pairs
    it leaves some to the C++ library's sort. A small corpus may not hold `vocabulary_size` tokens: the
    vocabulary is then as large as it gets. InputError without text, SettingsError for a size that cannot be.
    """
    chunks = (chunk for text in _sample(texts, max_bytes) for chunk in _chunks(text))
    model = _train(chunks, vocabulary_size)
    path = Path(out_path)
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(str(path), model)


def _train(chunks: Iterator[bytes], vocabulary_size: int) -> bytes:
    """The model's bytes; one thread, because the number of threads is written into the model."""
    if vocabulary_size < 1:
        raise SettingsError(f"vocabulary size {vocabulary_size} is not positive: give a few thousand, 8192 for one")
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=chunks,
            model_writer=model,
            model_type="bpe",
            vocab_size=vocabulary_size,
            hard_vocab_limit=False,
            byte_fallback=True,
            normalization_rule_name="identity",
            add_dummy_prefix=False,
            remove_extra_whitespaces=False,
            allow_whitespace_only_pieces=True,
            split_digits=True,
            split_by_unicode_script=True,
            character_coverage=CHARACTER_COVERAGE,
            required_chars="\u2581",  # else a corpus without spaces gives a model that cannot write one
            max_sentence_length=CHUNK_BYTES,
            bos_id=-1,
            eos_id=-1,
            num_threads=1,
            minloglevel=_ERROR_LOG_LEVEL,
        )
    except RuntimeError as error:
        too_small = _TOO_SMALL.search(str(error))
        if too_small:
            raise SettingsError(
                f"vocabulary size {vocabulary_size} is too small for 256 bytes and this corpus's characters:"
                f" give at least {too_small[1]}, or better a few thousand"
            ) from error
        if "sentences_.empty()" in str(error):
            raise InputError("the sample holds no text to train a tokenizer on: give a larger corpus") from error
        raise
    return model.getvalue()


def _sample(texts: Iterable[bytes], max_bytes: int) -> list[bytes]:
    """All texts where they are at most `max_bytes`, else as many parts of them; in the order of their hashes."""
    kept: list[tuple[int, bytes]] = []
    kept_bytes, is_cut, limit = 0, False, _NO_HASH
    # Parts are small beside the budget, so that it is nearly filled however long the texts are.
    part_bytes = min(CHUNK_BYTES, max(max_bytes // PARTS_OF_A_BUDGET, _MAX_CHARACTER_BYTES))
    for text in texts:
        parts = _chunks(text, part_bytes) if is_cut else (text,)
        new = [(key, part) for part in parts if (key := _hash(part)) < limit]
        kept += new
        kept_bytes += sum(len(part) for _, part in new)
        if kept_bytes > max_bytes and not is_cut:
            is_cut = True
            kept = [(_hash(part), part) for _, text in kept for part in _chunks(text, part_bytes)]
        if kept_bytes > 2 * max_bytes:
            kept, limit = _smallest(kept, max_bytes)
            kept_bytes = sum(len(part) for _, part in kept)
    return [part for _, part in (_smallest(kept, max_bytes)[0] if is_cut else sorted(kept))]


def _hash(text: bytes) -> int:
    return int.from_bytes(hashlib.sha256(text).digest()[: _HASH_BITS // 8])


def _smallest(kept: list[tuple[int, bytes]], max_bytes: int) -> tuple[list[tuple[int, bytes]], int]:
    """Those with the smallest hashes, as long as they are at most `max_bytes` together; and the first hash too many.

    Whatever more is added, nothing with that hash or a larger one will be among them; what lies before it may be.
    """
    kept = sorted(kept)
    ends = list(accumulate(len(part) for _, part in kept))
    count = bisect_right(ends, max_bytes)
    return kept[:count], kept[count][0] if count < len(kept) else _NO_HASH


def _chunks(text: bytes, chunk_bytes: int = CHUNK_BYTES) -> Iterator[bytes]:
    """`text` in runs of whole lines of at most `chunk_bytes`; a longer line is cut between characters."""
    text = _RESERVED.sub(b"\n", text)
    start = 0
    while start < len(text):
        end = min(start + chunk_bytes, len(text))
        if end < len(text):
            newline = text.rfind(b"\n", start, end)
            end = newline + 1 if newline >= start else _character_start(text, start, end)
        yield text[start:end]
        start = end


def _character_start(text: bytes, start: int, end: int) -> int:
    """The last beginning of a character in text[start + 1 : end + 1], or `end` where there is none."""
    for place in range(end, max(start, end - 4), -1):
        if text[place] & 0xC0 != 0x80:
            return place
    return end
