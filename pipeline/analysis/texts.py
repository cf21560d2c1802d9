"""Texts that no model of a dataset has seen: its held-out documents, and files from elsewhere."""

from __future__ import annotations

import codecs
import os
from collections.abc import Iterator

from pipeline.analysis.one_pass import DecodedBatch
from pipeline.corpus.sample import HELD_OUT_SHARE
from schemas.errors import DatasetError, SettingsError
from schemas.held_out import hash_share, is_held_out

SALT = "analysis"
"""Makes this order of ids another one than that which holds documents out."""
MIN_TEXT_BYTES = 64
"""Distances of shorter texts are all or nothing."""
MAX_CHARACTER_BYTES = 4
"""Length of the longest character in UTF-8."""

Texts = list[tuple[str, str]]
"""Pairs of name and text."""


def held_out_rows(batch: DecodedBatch) -> Iterator[tuple[int, str]]:
    """(row, id) of the documents of a batch that the byte LM and the tokenizer were not trained on."""
    for row, doc_id in enumerate(batch.doc_ids):
        if is_held_out(doc_id, HELD_OUT_SHARE):
            yield row, doc_id


class HeldOutTexts:
    """Collects the held-out documents whose ids have the lowest hashes, each cut to its first bytes."""

    def __init__(self, *, limit: int, max_bytes: int) -> None:
        """limit: texts to keep at most. max_bytes: length to which each is cut, in bytes."""
        self._limit, self._max_bytes = limit, max_bytes
        self._texts: dict[str, str] = {}

    def add(self, batch: DecodedBatch) -> None:
        """Consider the documents of a batch."""
        raw, offsets = batch.documents.raw, batch.documents.offsets
        for row, doc_id in held_out_rows(batch):
            start, end = int(offsets[row]), int(offsets[row + 1])
            if end - start >= MIN_TEXT_BYTES:
                data = raw[start : min(end, start + self._max_bytes + MAX_CHARACTER_BYTES)].tobytes()
                self._texts[doc_id] = head(data, self._max_bytes)
        # No more than `limit` can be chosen, so memory is bounded by it and not by the corpus.
        self._texts = {name: self._texts[name] for name in sorted(self._texts, key=_rank)[: self._limit]}

    def result(self, extra: str | None = None) -> tuple[Texts, str]:
        """At most `limit` texts, each with its name, in the order of a hash of their names; and where they come from.

        Where the dataset holds out fewer, files of the directory `extra` follow. SettingsError where that is not a
        directory, DatasetError where there is no text at all.
        """
        chosen = list(self._texts.items())
        note = f"{len(chosen)} held-out documents"
        if extra is not None and len(chosen) < self._limit:
            files = _file_texts(extra, self._limit - len(chosen), self._max_bytes)
            chosen += files
            note += f" and {len(files)} files from elsewhere"
        if not chosen:
            raise DatasetError(
                f"the dataset holds out no document of {MIN_TEXT_BYTES} bytes; give unseen texts as a directory with "
                "--texts"
            )
        return chosen, f"{note}, the first {self._max_bytes:,} bytes of each"


def head(raw: bytes, max_bytes: int) -> str:
    """The first characters of UTF-8 bytes, at most `max_bytes` of them; UnicodeDecodeError where they are not UTF-8."""
    return codecs.getincrementaldecoder("utf-8")().decode(raw[:max_bytes], final=len(raw) <= max_bytes)


def _file_texts(directory: str, limit: int, max_bytes: int) -> Texts:
    """Files that are UTF-8, by the hash of their paths below the directory."""
    if not os.path.isdir(directory):
        raise SettingsError(f"--texts {directory} is not a directory; give one with texts that no model has seen")
    paths = [
        os.path.relpath(os.path.join(where, name), directory)
        for where, _, files in os.walk(directory)
        for name in files
        if not name.startswith(".")
    ]
    texts: Texts = []
    for path in sorted(paths, key=_rank):
        if len(texts) == limit:
            break
        try:
            with open(os.path.join(directory, path), "rb") as file:
                raw = file.read(max_bytes + MAX_CHARACTER_BYTES)
            text = head(raw, max_bytes)
        except (OSError, UnicodeDecodeError):
            continue
        if len(raw) >= MIN_TEXT_BYTES and "\0" not in text:
            texts.append((path, text))
    return texts


def _rank(name: str) -> tuple[float, str]:
    return hash_share(SALT, name), name
