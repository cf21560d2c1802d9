"""Held-out texts in two halves, the first one formatted anew: what does a model make of the second then?

    text ── cut behind the newline nearest to its middle ──► context, rest
    context ──► as-is, tabs, deeper, blank-lines, trailing-spaces          white space only, the same for all models

Each part becomes a JSON record with the id of `schemas.formats`, to be spelled by `python -m pipeline preprocess`. Only
texts that every format changes are taken, so that all formats are compared on the same ones.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator

from pipeline.corpus.sample import HELD_OUT_SHARE
from schemas.errors import DatasetError
from schemas.files import replace_file
from schemas.formats import AS_IS, REST, part_id
from schemas.held_out import hash_share, is_held_out
from schemas.manifest import open_shards
from schemas.shards import DOC_ID, RAW

_INDENTATION = re.compile(r"^ +", re.MULTILINE)
_FOURS = re.compile(r"^(?: {4})+", re.MULTILINE)

FORMATS: dict[str, Callable[[str], str]] = {
    AS_IS: lambda text: text,
    "tabs": lambda text: _FOURS.sub(lambda found: "\t" * (len(found[0]) // 4), text),
    "deeper": lambda text: _INDENTATION.sub(lambda found: 2 * found[0], text),
    "blank-lines": lambda text: text.replace("\n", "\n\n"),
    "trailing-spaces": lambda text: text.replace("\n", "  \n"),
}
"""Four spaces become a tab; indentation doubles; a blank line, or two spaces, after every line."""


def halves(text: str) -> tuple[str, str] | None:
    """The text before and behind the newline nearest to its middle, the newline with the first; None without one."""
    places = [found.end() for found in re.finditer("\n", text[:-1])]
    if not places:
        return None
    place = min(places, key=lambda place: (abs(2 * place - len(text)), place))
    return text[:place], text[place:]


def reformatted(dataset: str, *, limit: int) -> Iterator[dict[str, str]]:
    """Records `id`, `text` of at most `limit` held-out texts, in the order of a hash of their ids.

    DatasetError where the dataset holds out none that every format changes.
    """
    chosen: dict[str, tuple[str, str]] = {}
    for batch in open_shards(dataset):
        for doc_id, raw in zip(batch.column(DOC_ID).to_pylist(), batch.column(RAW), strict=True):
            if not is_held_out(doc_id, HELD_OUT_SHARE):
                continue
            cut = halves(raw.as_py().decode())
            if cut and all(change(cut[0]) != cut[0] for name, change in FORMATS.items() if name != AS_IS):
                chosen[doc_id] = cut
        chosen = {name: chosen[name] for name in sorted(chosen, key=_rank)[:limit]}
    if not chosen:
        raise DatasetError(f"{dataset} holds out no text of two lines with indentation; choose one of source code")
    for doc_id, (context, rest) in chosen.items():
        for name, change in FORMATS.items():
            yield {"id": part_id(doc_id, name), "text": change(context)}
        yield {"id": part_id(doc_id, REST), "text": rest}


def write_reformatted(dataset: str, path: str, *, limit: int) -> int:
    """Write the records as JSON lines, whole or not at all; the number of texts."""
    records = list(reformatted(dataset, limit=limit))
    replace_file(path, "".join(json.dumps(record) + "\n" for record in records).encode())
    return len(records) // (len(FORMATS) + 1)


def _rank(doc_id: str) -> tuple[float, str]:
    return hash_share("reformat", doc_id), doc_id
