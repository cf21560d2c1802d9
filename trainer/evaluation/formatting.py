"""How much worse does a model read on when what came before is formatted otherwise?

    <bos> <raw> context in a format, rest          bits of the rest, over its bytes; the context costs nothing
    <bos> <comp> c(context) c(rest)                the same for a model of tokens

The parts come encoded, as a dataset made from what `python -m pipeline reformat` writes. All formats are taken over the
same rests, so a difference to `as-is` is the harm of the format.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from schemas.encodings import symbols_of
from schemas.errors import DatasetError
from schemas.formats import AS_IS, REST, split_part_id
from schemas.shard_files import open_shards
from schemas.shards import DOC_ID, RAW, documents_from_array
from schemas.vocabulary import BOS, COMP_BASE, COMP_OPEN, RAW_BASE, RAW_OPEN
from trainer.evaluation.translation import bits_per_symbol
from trainer.model.evabyte import EvaByte

Ids = tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Reformatted:
    """Texts whose first half exists in several formats, as model ids of one encoding."""

    opening: Ids
    """The ids before a document: <bos> and the sentinel of its encoding."""
    contexts: dict[str, list[Ids]]
    """The first half of every text, by format."""
    rests: list[Ids]
    """The second half of every text."""
    rest_bytes: int
    """Raw bytes of all rests."""


def read_reformatted(directory: str, compressor: str | None) -> Reformatted:
    """The texts of a dataset in one encoding, None for raw bytes; DatasetError where it holds no such texts."""
    parts: dict[str, dict[str, tuple[Ids, int]]] = {}
    for batch in open_shards(directory):
        texts = documents_from_array(batch[RAW])
        values, offsets, base = texts.raw, texts.offsets, RAW_BASE
        if compressor is not None:
            if compressor not in batch.schema.names:
                raise DatasetError(f"{directory} has no compressor {compressor!r}; preprocess it with that one")
            values, offsets = symbols_of(batch, compressor)
            base = COMP_BASE
        for i, name in enumerate(batch[DOC_ID].to_pylist()):
            document, part = split_part_id(name)
            ids = tuple((values[offsets[i] : offsets[i + 1]].astype(np.int64) + base).tolist())
            parts.setdefault(document, {})[part] = ids, int(texts.offsets[i + 1] - texts.offsets[i])
    formats = sorted({part for own in parts.values() for part in own} - {REST})
    whole = [parts[name] for name in sorted(parts) if {*formats, REST} <= parts[name].keys()]
    if AS_IS not in formats or not whole:
        raise DatasetError(f"{directory} holds no reformatted texts; make it from `python -m pipeline reformat`")
    return Reformatted(
        opening=(BOS, RAW_OPEN if compressor is None else COMP_OPEN),
        contexts={format: [own[format][0] for own in whole] for format in formats},
        rests=[own[REST][0] for own in whole],
        rest_bytes=sum(own[REST][1] for own in whole),
    )


def format_bits(model: EvaByte, texts: Reformatted, *, rows: int = 16) -> dict[str, float]:
    """Bits per byte of the rests after their contexts in each format; no rounding but that of shapes."""
    symbols = sum(map(len, texts.rests))
    return {
        format: symbols
        / texts.rest_bytes
        * bits_per_symbol(
            model,
            [((*texts.opening, *context), rest) for context, rest in zip(contexts, texts.rests, strict=True)],
            rows,
        )
        for format, contexts in texts.contexts.items()
    }
