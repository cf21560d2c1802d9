"""Codes that name more than one chunk, and how alike such chunks are.

    DecodedBatch ── chunks with their codes ── distinct ──► counts of (code, chunk)
                                                              │ group by code
                             colliding codes, pairs of chunks, common prefixes, tails ◄┘

At level `segment` a chunk is a segment and its code the symbols of its windows; at level `window` a chunk is a window
and its code one symbol; `first-window` counts only windows that begin a segment, all coded in the same, empty context.
A code does not contain the number of bytes that it encodes, so chunks collide by design, above all where one chunk is
the other and a likely tail. Memory is bounded by the distinct pairs of code and chunk, not by the corpus.
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING

import numpy as np

from kernels.byte_spans import ByteSpans, span_indices
from kernels.string_table import StringTable, distinct
from pipeline.analysis.common_prefix import case_shares, chunk_pairs, prefix_shares, random_pairs, tail_counts
from pipeline.analysis.findings import CollisionExample, CollisionTable
from pipeline.analysis.one_pass import DecodedBatch
from schemas.errors import DatasetError, SettingsError

if TYPE_CHECKING:
    import pandas as pd

LEVELS = ("segment", "first-window", "window")
MAX_EXAMPLES = 20
MAX_EXAMPLE_CHUNKS = 6
SYMBOL_BYTES = 4
"""A symbol in a key, big-endian, so that codes sort as their symbols do."""
MAX_SYMBOLS = 255
"""Symbols of a code, whose number is one byte of a key."""
MAX_HISTOGRAM_VALUE = 16
"""Larger values are counted together."""


def require_pandas() -> None:
    """SettingsError where pandas is not installed."""
    if importlib.util.find_spec("pandas") is None:
        raise SettingsError("collisions are counted with pandas: pip install 'proxy-compression[analysis]'")


class CollisionCounter:
    """Collects the CollisionTable of one compressor at one level."""

    def __init__(self, compressor: str, level: str, *, seed: int = 0) -> None:
        """SettingsError for an unknown level. The seed draws pairs of chunks where a code has very many."""
        if level not in LEVELS:
            raise SettingsError(f"level {level!r} is unknown; choose one of {', '.join(LEVELS)}")
        self.compressor, self.level, self.seed = compressor, level, seed
        self._keys = StringTable()
        self._counts = np.zeros(0, np.int64)

    def add(self, batch: DecodedBatch) -> None:
        """Count the chunks of a batch; SettingsError where their codes have more than MAX_SYMBOLS symbols."""
        keys = self._batch_keys(batch)
        firsts, group = distinct(keys)
        entries, _ = self._keys.find(keys.take(firsts))
        unknown = keys.take(firsts[entries < 0])
        entries[entries < 0] = len(self._keys) + np.arange(len(unknown))
        self._keys.insert(unknown)
        if self._counts.size < len(self._keys):
            self._counts = np.concatenate((self._counts, np.zeros(len(self._keys), np.int64)))
        self._counts[entries] += np.bincount(group, minlength=firsts.size)

    def result(self) -> CollisionTable:
        """The table of all batches."""
        return collision_table(self.frame(), self.compressor, self.level, seed=self.seed)

    def frame(self) -> pd.DataFrame:
        """Columns code (bytes), chunk (bytes), count: a row per distinct pair of code and chunk, in that order."""
        require_pandas()
        import pandas as pd

        keys = self._keys.strings()
        joined, starts, ends = keys.data.tobytes(), keys.starts.tolist(), keys.ends.tolist()
        code_starts = (keys.ends - 1 - SYMBOL_BYTES * keys.data[keys.ends - 1].astype(np.int64)).tolist()
        frame = pd.DataFrame(
            {
                "code": [joined[code : end - 1] for code, end in zip(code_starts, ends, strict=True)],
                "chunk": [joined[start:code] for start, code in zip(starts, code_starts, strict=True)],
                "count": self._counts[: len(self._keys)],
            }
        )
        return frame.sort_values(["code", "chunk"], ignore_index=True)

    def _batch_keys(self, batch: DecodedBatch) -> ByteSpans:
        """Every chunk of a batch with its code, end to end.

        A key is the chunk, the symbols of its code (big-endian, SYMBOL_BYTES each), and one byte with their number.
        """
        starts, lengths, symbols, counts = self._chunks(batch)
        if counts.size and counts.max() > MAX_SYMBOLS:
            raise SettingsError(
                f"a segment of {self.compressor!r} has {counts.max()} symbols; collisions are counted of codes of at "
                f"most {MAX_SYMBOLS}, such as those of neural and tokenizer"
            )
        sizes = lengths + SYMBOL_BYTES * counts + 1
        key_ends = np.cumsum(sizes)
        key_starts = key_ends - sizes
        keys = np.empty(int(key_ends[-1]) if key_ends.size else 0, np.uint8)
        keys[span_indices(key_starts, lengths)] = batch.documents.raw[span_indices(starts, lengths)]
        keys[span_indices(key_starts + lengths, SYMBOL_BYTES * counts)] = symbols.astype(">u4").view(np.uint8)
        keys[key_ends - 1] = counts
        return ByteSpans(keys, key_starts, key_ends)

    def _chunks(self, batch: DecodedBatch) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Starts and lengths in bytes int64 [n] of the chunks, symbols of their codes end to end, and how many each."""
        pieces, symbols = batch.pieces(self.compressor), batch.encoding(self.compressor).symbols
        if self.level == "segment":
            lengths, counts = pieces.segment_bytes, pieces.segment_symbols
            return np.cumsum(lengths) - lengths, lengths, symbols, counts
        lengths_or_none = pieces.window_bytes
        if lengths_or_none is None:
            raise DatasetError(f"compressor {self.compressor!r} has no windows; count its collisions by segment")
        lengths = lengths_or_none
        starts = np.cumsum(lengths) - lengths
        if self.level == "first-window":
            first = np.cumsum(pieces.segment_symbols) - pieces.segment_symbols
            starts, lengths, symbols = starts[first], lengths[first], symbols[first]
        return starts, lengths, symbols, np.ones(symbols.size, np.int64)


def collision_table(frame: pd.DataFrame, compressor: str, level: str, *, seed: int = 0) -> CollisionTable:
    """What a frame of `CollisionCounter` says about codes of more than one chunk."""
    chunks_of = frame.groupby("code", sort=True)["chunk"].transform("size")
    colliding = frame[chunks_of > 1]
    sizes = frame.groupby("code", sort=True).size()
    pairs = chunk_pairs(colliding, seed)
    controls = random_pairs(pairs, frame["chunk"].to_list(), seed)
    over_longest, over_mean, over_shortest = case_shares(colliding)
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
        case_prefix_over_longest=over_longest,
        case_prefix_over_mean=over_mean,
        case_prefix_over_shortest=over_shortest,
        bucket_sizes=_histogram(sizes.to_numpy()),
        longer_chunk_bytes=_histogram(
            np.array([max(len(a), len(b)) for a, b in zip(pairs.left, pairs.right, strict=True)])
        ),
        tails=tail_counts(pairs),
        examples=_examples(colliding),
    )


def _histogram(values: np.ndarray) -> dict[str, int]:
    """Numbers of values by value, as text; values from MAX_HISTOGRAM_VALUE on are counted together."""
    counts = np.bincount(np.minimum(values, MAX_HISTOGRAM_VALUE).astype(np.int64), minlength=1)
    return {f"{i} or more" if i == MAX_HISTOGRAM_VALUE else str(i): int(n) for i, n in enumerate(counts) if n}


def _examples(colliding: pd.DataFrame) -> tuple[CollisionExample, ...]:
    totals = colliding.groupby("code", sort=True)["count"].sum().sort_values(ascending=False, kind="stable")
    examples = []
    for code, total in totals.head(MAX_EXAMPLES).items():
        rows = colliding[colliding["code"] == code].sort_values(["count", "chunk"], ascending=[False, True])
        examples.append(
            CollisionExample(
                code=tuple(np.frombuffer(code, ">u4").tolist()),
                occurrences=int(total),
                chunks=tuple(rows["chunk"].head(MAX_EXAMPLE_CHUNKS).to_list()),
            )
        )
    return tuple(examples)
