"""Texts that no model of a dataset has seen: its held-out documents, and files from elsewhere."""

from __future__ import annotations

import codecs
import os

from pipeline.corpus.sample import HELD_OUT_SHARE
from schemas.errors import DatasetError, SettingsError
from schemas.held_out import hash_share, is_held_out
from schemas.manifest import open_shards
from schemas.shards import DOC_ID, RAW

SALT = "analysis"
MIN_BYTES = 64
"""Shorter texts have distances that are all or nothing."""

Texts = list[tuple[str, str]]
"""(name, text) each."""


def held_out_texts(dataset: str, *, limit: int, max_bytes: int, extra: str | None = None) -> tuple[Texts, str]:
    """At most `limit` texts, each cut to `max_bytes`, in the order of a hash of their names; and where they come from.

    First the documents that the byte LM and the tokenizer were not trained on, then files of the directory `extra`.
    SettingsError or DatasetError where there is none.
    """
    names, texts = [], {}
    for batch in open_shards(dataset):
        for doc_id, raw in zip(batch.column(DOC_ID).to_pylist(), batch.column(RAW), strict=True):
            if is_held_out(doc_id, HELD_OUT_SHARE) and len(raw.as_buffer()) >= MIN_BYTES:
                names.append(doc_id)
                texts[doc_id] = head(raw.as_buffer().to_pybytes()[: max_bytes + 4], max_bytes)
        # Only so many can be wanted: memory is bounded by `limit`, not by the corpus.
        names = sorted(names, key=_rank)[:limit]
        texts = {name: texts[name] for name in names}
    chosen = [(name, texts[name]) for name in names]
    note = f"{len(chosen)} held-out documents"
    if extra is not None and len(chosen) < limit:
        files = _file_texts(extra, limit - len(chosen), max_bytes)
        chosen += files
        note += f" and {len(files)} files from elsewhere"
    if not chosen:
        raise DatasetError(
            f"{dataset} holds out no document of {MIN_BYTES} bytes; give unseen texts as a directory with --texts"
        )
    return chosen, f"{note}, the first {max_bytes:,} bytes of each"


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
                raw = file.read(max_bytes + 4)
            text = head(raw, max_bytes)
        except (OSError, UnicodeDecodeError):
            continue
        if len(raw) >= MIN_BYTES and "\0" not in text:
            texts.append((path, text))
    return texts


def _rank(name: str) -> tuple[float, str]:
    return hash_share(SALT, name), name
