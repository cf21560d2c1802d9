"""Codes that name more than one chunk, and how alike such chunks are.

    shards ── record batch ── chunks with their codes ── distinct ──► counts of (code, chunk)
                                                                        │ group by code
                                       colliding codes, pairs of chunks, common prefixes, tails ◄┘

At level `segment` a chunk is a segment and its code the symbols of its windows; at level `window` a chunk is a window
and its code one symbol; `first-window` counts only windows that begin a segment, all coded in the same, empty context.
A code says nothing of how many bytes it stands for, so chunks collide by design, above all where one is the other and a
likely tail. Memory is bounded by the distinct pairs of code and chunk, not by the corpus.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from kernels.string_table import distinct, span_indices
from pipeline.analysis.common_prefix import PrefixShares, chunk_pairs, prefix_shares, random_pairs, tail_counts
from schemas.batches import Documents
from schemas.errors import SettingsError
from schemas.manifest import open_shards
from schemas.shards import RAW, SYMBOLS, documents_from_array, list_parts
from schemas.views import SYMBOL, WINDOW, paired_view, window_view

if TYPE_CHECKING:
    import pandas as pd

LEVELS = ("segment", "first-window", "window")
EXAMPLES = 20
SYMBOL_BYTES = 4
MAX_SYMBOLS = 255
MAX_COUNTED = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Example:
    """A code and the most frequent of its chunks."""

    code: tuple[int, ...]
    occurrences: int
    chunks: tuple[bytes, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class CollisionTable:
    """What was counted at one level."""

    compressor: str
    level: str
    occurrences: int
    """Chunks in the corpus."""
    distinct_chunks: int
    distinct_encodings: int
    """Pairs of chunk and code: more than the chunks where a code depends on what stands before the chunk too."""
    codes: int
    colliding_codes: int
    """Codes with at least two distinct chunks."""
    colliding_chunk_share: float
    """Of the distinct chunks, those that share their code with another one."""
    colliding_occurrence_share: float
    """The same of all occurrences."""
    pairs: int
    """Pairs of distinct chunks of one code, at most 1,000 a code."""
    prefix_over_longer: PrefixShares
    """Longest common prefix of a pair over its longer chunk."""
    prefix_over_shorter: PrefixShares
    random_prefix_over_longer: PrefixShares
    """The control: random chunks of the same lengths."""
    bucket_sizes: Mapping[str, int]
    """Codes by their number of distinct chunks."""
    longer_chunk_bytes: Mapping[str, int]
    """Pairs by the length of the longer chunk: a prefix share of 0.8 needs 5 bytes where one differs."""
    tails: Mapping[str, int]
    """Pairs by what the chunks are made of behind their common prefix."""
    examples: tuple[Example, ...]
    """The colliding codes with most occurrences."""


def collision_table(dataset: str, compressor: str, level: str, *, seed: int = 0) -> CollisionTable:
    """Count the collisions of a finished dataset; SettingsError for an unknown level, DatasetError as `open_shards`."""
    if level not in LEVELS:
        raise SettingsError(f"level {level!r} is unknown; choose one of {', '.join(LEVELS)}")
    frame = chunk_frame(dataset, compressor, level)
    chunks_of = frame.groupby("code", sort=True)["chunk"].transform("size")
    colliding = frame[chunks_of > 1]
    sizes = frame.groupby("code", sort=True).size()
    pairs = chunk_pairs(colliding, seed)
    controls = random_pairs(pairs, frame["chunk"].to_list(), seed)
    occurrences, distinct_chunks = int(frame["count"].sum()), frame["chunk"].nunique()
    return CollisionTable(
        compressor=compressor,
        level=level,
        occurrences=occurrences,
        distinct_chunks=distinct_chunks,
        distinct_encodings=len(frame),
        codes=len(sizes),
        colliding_codes=int((sizes > 1).sum()),
        colliding_chunk_share=colliding["chunk"].nunique() / max(1, distinct_chunks),
        colliding_occurrence_share=int(colliding["count"].sum()) / max(1, occurrences),
        pairs=len(pairs.left),
        prefix_over_longer=prefix_shares(pairs, max),
        prefix_over_shorter=prefix_shares(pairs, min),
        random_prefix_over_longer=prefix_shares(controls, max),
        bucket_sizes=_histogram(sizes.to_numpy(), MAX_COUNTED),
        longer_chunk_bytes=_histogram(
            np.array([max(len(a), len(b)) for a, b in zip(pairs.left, pairs.right, strict=True)]), MAX_COUNTED
        ),
        tails=tail_counts(pairs),
        examples=_examples(colliding),
    )


def require_pandas() -> None:
    """SettingsError where pandas is not installed."""
    if importlib.util.find_spec("pandas") is None:
        raise SettingsError("collisions are counted with pandas: pip install 'proxy-compression[analysis]'")


def chunk_frame(dataset: str, compressor: str, level: str) -> pd.DataFrame:
    """Columns code (bytes), chunk (bytes), count: a row per distinct pair of code and chunk, in that order."""
    require_pandas()
    import pandas as pd

    counts: dict[bytes, int] = {}
    for keys, ends in _keys(dataset, compressor, level):
        starts = np.concatenate(([0], ends[:-1])).astype(np.int64)
        firsts, group = distinct(keys, starts, ends)
        numbers = np.bincount(group, minlength=firsts.size)
        data = keys.tobytes()
        for start, end, number in zip(starts[firsts].tolist(), ends[firsts].tolist(), numbers.tolist(), strict=True):
            name = data[start:end]
            counts[name] = counts.get(name, 0) + number
    names = list(counts)
    code_bytes = [SYMBOL_BYTES * name[-1] for name in names]
    frame = pd.DataFrame(
        {
            "code": [name[-1 - size : -1] for name, size in zip(names, code_bytes, strict=True)],
            "chunk": [name[: -1 - size] for name, size in zip(names, code_bytes, strict=True)],
            "count": [counts[name] for name in names],
        }
    )
    return frame.sort_values(["code", "chunk"], ignore_index=True)


def _keys(dataset: str, compressor: str, level: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Per record batch, every chunk with its code, end to end: uint8 keys and their ends int64.

    A key is the chunk, the symbols of its code (big-endian, 4 bytes each), and one byte with their number.
    """
    for batch in open_shards(dataset):
        chunks, symbols, bounds = _chunks(batch, compressor, level)
        counts, lengths = np.diff(bounds), np.diff(chunks.offsets)
        if counts.size and counts.max() > MAX_SYMBOLS:
            raise SettingsError(
                f"a segment of {compressor!r} has {counts.max()} symbols; collisions are counted of codes of at most "
                f"{MAX_SYMBOLS}, such as those of neural and tokenizer"
            )
        sizes = lengths + SYMBOL_BYTES * counts + 1
        ends = np.cumsum(sizes)
        starts = ends - sizes
        keys = np.empty(int(ends[-1]) if ends.size else 0, np.uint8)
        keys[span_indices(starts, lengths)] = chunks.raw
        keys[span_indices(starts + lengths, SYMBOL_BYTES * counts)] = symbols.astype(">u4").view(np.uint8)
        keys[ends - 1] = counts
        yield keys, ends


def _chunks(batch: pa.RecordBatch, compressor: str, level: str) -> tuple[Documents, np.ndarray, np.ndarray]:
    """The chunks of a batch, the symbols of their codes end to end, and int64 [chunks + 1] which are whose."""
    if level == "segment":
        rows = paired_view(batch, compressor)
        symbols, bounds = list_parts(rows.column(SYMBOLS).chunk(0), SYMBOLS)
    else:
        rows = window_view(batch, compressor)
        if level == "first-window":
            rows = rows.filter(pc.equal(rows.column(WINDOW), 0)).combine_chunks()
        symbols = rows.column(SYMBOL).to_numpy()
        bounds = np.arange(symbols.size + 1)
    return documents_from_array(rows.column(RAW).chunk(0)), symbols, bounds


def _histogram(values: np.ndarray, most: int) -> dict[str, int]:
    """Counts by value; those of `most` and above together."""
    found = np.bincount(np.minimum(values, most).astype(np.int64), minlength=1)
    return {f"{i} or more" if i == most else str(i): int(number) for i, number in enumerate(found) if number}


def _examples(colliding: pd.DataFrame) -> tuple[Example, ...]:
    totals = colliding.groupby("code", sort=True)["count"].sum().sort_values(ascending=False, kind="stable")
    examples = []
    for code, total in totals.head(EXAMPLES).items():
        rows = colliding[colliding["code"] == code].sort_values(["count", "chunk"], ascending=[False, True])
        examples.append(
            Example(
                code=tuple(np.frombuffer(code, ">u4").tolist()),
                occurrences=int(total),
                chunks=tuple(rows["chunk"].head(6).to_list()),
            )
        )
    return tuple(examples)
