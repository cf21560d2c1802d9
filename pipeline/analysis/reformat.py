"""Held-out texts in two halves, the first one formatted in another way: does a model still predict the second?

    text ── cut after the newline nearest to its middle ──► context, rest
    context ──► as-is, tabs, deeper, blank-lines, trailing-spaces          white space only, the same for all models

Each part becomes a JSON record with the id of `schemas.formats`, to be encoded by `python -m pipeline preprocess`. Only
texts that every format changes are taken, so that all formats are compared on the same texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from pipeline.analysis.one_pass import DecodedBatch, collect
from pipeline.analysis.texts import held_out_rows
from schemas.errors import DatasetError
from schemas.files import replace_file
from schemas.formats import AS_IS, REST, part_id
from schemas.held_out import hash_share

SALT = "reformat"
"""Makes this order of ids another one than that which holds documents out."""
_INDENTATION = re.compile(r"^ +", re.MULTILINE)
_FOURS = re.compile(r"^(?: {4})+", re.MULTILINE)

FORMATS: dict[str, Callable[[str], str]] = {
    AS_IS: lambda text: text,
    "tabs": lambda text: _FOURS.sub(lambda blanks: "\t" * (len(blanks[0]) // 4), text),
    "deeper": lambda text: _INDENTATION.sub(lambda blanks: 2 * blanks[0], text),
    "blank-lines": lambda text: text.replace("\n", "\n\n"),
    "trailing-spaces": lambda text: text.replace("\n", "  \n"),
}
"""Name to what it does: every four spaces of indentation become a tab; indentation doubles; a blank line follows every
line; two spaces end every line."""


def halves(text: str) -> tuple[str, str] | None:
    """The text up to and including the newline nearest to its middle, and the rest; None without such a newline."""
    places = [newline.end() for newline in re.finditer("\n", text[:-1])]
    if not places:
        return None
    place = min(places, key=lambda place: (abs(2 * place - len(text)), place))
    return text[:place], text[place:]


class ReformattedTexts:
    """Collects held-out texts, cut in two, of which every format changes the first part."""

    def __init__(self, limit: int) -> None:
        """limit: texts to keep at most, those whose ids have the lowest hashes."""
        self._limit = limit
        self._halves: dict[str, tuple[str, str]] = {}

    def add(self, batch: DecodedBatch) -> None:
        """Consider the documents of a batch."""
        for row, doc_id in held_out_rows(batch):
            parts = halves(batch.documents.text(row).decode())
            if parts and all(change(parts[0]) != parts[0] for name, change in FORMATS.items() if name != AS_IS):
                self._halves[doc_id] = parts
        self._halves = {name: self._halves[name] for name in sorted(self._halves, key=_rank)[: self._limit]}

    def result(self) -> list[dict[str, str]]:
        """Records with `id` and `text`: of each text its first part in every format, then its rest."""
        records = []
        for doc_id, (context, rest) in self._halves.items():
            records += [{"id": part_id(doc_id, name), "text": change(context)} for name, change in FORMATS.items()]
            records.append({"id": part_id(doc_id, REST), "text": rest})
        return records


def reformatted(dataset: str, *, limit: int) -> list[dict[str, str]]:
    """Records of at most `limit` held-out texts, in the order of a hash of their ids.

    DatasetError where the dataset holds out no text that every format changes.
    """
    texts = ReformattedTexts(limit)
    collect(dataset, [texts])
    records = texts.result()
    if not records:
        raise DatasetError(f"{dataset} holds out no text of two lines with indentation; choose one of source code")
    return records


def write_reformatted(dataset: str, path: str, *, limit: int) -> int:
    """Write the records as JSON lines, replacing the file at `path` as a whole; returns the number of texts."""
    records = reformatted(dataset, limit=limit)
    replace_file(path, "".join(json.dumps(record) + "\n" for record in records).encode())
    return len(records) // (len(FORMATS) + 1)


def _rank(doc_id: str) -> tuple[float, str]:
    return hash_share(SALT, doc_id), doc_id
