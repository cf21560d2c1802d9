"""What analysis measured, as plain data: the border between measuring and drawing.

    statistics ─► Statistics ──┐
    stability  ─► StabilityRow ┤
    frontier   ─► FrontierRow  ┼─► Findings ─┬─ tables.py ─► *.csv, *.json
    collisions ─► CollisionTable               └─ report/   ─► report.html
    samples    ─► Excerpt ─────┘

`report` and `tables` import no other module of this package, so every number on the page is a field of these classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.manifest import Manifest

LONG_PREFIX_SHARE = 0.8
"""Common prefixes count as long from this share of a chunk's bytes on. The paper reports that over 90 % of the pairs of
colliding chunks have one."""
CONFIDENCE = 0.95
"""Share of the bootstrap resamples that lie within an interval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CompressorRow:
    """One compressor over the whole corpus."""

    compressor: str
    alphabet: int
    """Symbols that the compressor could use."""
    alphabet_used: int
    """Distinct symbols that occur in the corpus."""
    symbols: int
    """Length of the corpus in symbols."""
    segments: int
    bytes_per_symbol: float
    bytes_per_segment: float
    unigram_bits_per_byte: float
    """Entropy of the distribution of symbols times their number, over the raw bytes: what a model pays that knows only
    how often each symbol occurs."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LanguageRow:
    """One compressor over the documents of one language."""

    language: str
    compressor: str
    documents: int
    raw_bytes: int
    symbols: int
    bytes_per_symbol: float
    """All bytes over all symbols."""
    low: float
    """First quartile over documents of their bytes per symbol, rounded down to 0.01."""
    middle: float
    """Median over documents of their bytes per symbol, rounded down to 0.01."""
    high: float
    """Third quartile over documents of their bytes per symbol, rounded down to 0.01."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """Counts of a quantity in bins of equal width; bin i is [first + i·width, first + (i + 1)·width)."""

    quantity: str
    """entropy_bits or surprisal_bits, segment_bytes, segment_symbols, window_bytes."""
    compressor: str
    first: float
    """Lower edge of the first bin."""
    width: float
    """Width of each bin."""
    counts: tuple[int, ...]
    open_ended: bool
    """Whether the last bin also counts everything above it."""
    mean: float
    """Mean of the values themselves, not of their bins."""
    total: int
    """Number of values counted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Statistics:
    """What the shards of a dataset hold, counted."""

    documents: int
    raw_bytes: int
    compressors: tuple[CompressorRow, ...]
    """One row per compressor, by name."""
    languages: tuple[LanguageRow, ...]
    """One row per language and compressor: the language with most bytes first, then compressors by name."""
    histograms: tuple[Histogram, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class StabilityRow:
    """Distances between the symbols of texts before and after one kind and share of edits, by one compressor."""

    compressor: str
    """Name of a compressor, or `raw` for the bytes themselves."""
    kind: str
    """delete, insert or substitute."""
    share: float
    """Share of the characters that were edited."""
    documents: int
    """Number of texts."""
    bytes_per_symbol: float
    """Of the texts before editing."""
    distance: float
    """Median over texts of the Levenshtein distance over the longer length, 0 to 1."""
    low: float
    """Lower end of the 95 % bootstrap interval of the median."""
    high: float
    """Upper end of the 95 % bootstrap interval of the median."""
    mean: float
    """Mean over texts."""
    standard_error: float
    """Standard error of the mean."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FrontierRow:
    """Length and stability of a neural encoding with one boundary score and one θ, after deletion of characters."""

    context: str
    """What boundaries are cut at: `pairs`, a number of context bytes, `document` or `document-codes`."""
    quantile: float
    """Share of the texts' scores that are below θ."""
    theta_bits: float
    bytes_per_symbol: float
    """Of the texts before editing."""
    distance: float
    """Median over texts, as in StabilityRow."""
    low: float
    """Lower end of the 95 % bootstrap interval of the median."""
    high: float
    """Upper end of the 95 % bootstrap interval of the median."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PrefixShares:
    """Longest common prefixes of groups of chunks (pairs or cases), as shares of one of their lengths."""

    mean: float
    """Mean over groups."""
    long_share: float
    """Share of groups whose common prefix is at least LONG_PREFIX_SHARE."""
    mean_by_occurrence: float
    """Mean over groups, each weighted by how often it occurs: of a pair the product of its chunks' numbers of
    occurrences, of a case their sum."""
    long_share_by_occurrence: float
    """Share of groups with a long common prefix, weighted in the same way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CollisionExample:
    """A code of several chunks, with the most frequent of them."""

    code: tuple[int, ...]
    """Symbols of the code."""
    occurrences: int
    """Occurrences of all chunks of the code."""
    chunks: tuple[bytes, ...]
    """Most frequent first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CollisionTable:
    """Codes that name more than one chunk, at one level: segments, windows, or windows that begin a segment."""

    compressor: str
    level: str
    """segment, first-window or window."""
    occurrences: int
    """Chunks in the corpus."""
    distinct_chunks: int
    distinct_encodings: int
    """Distinct pairs of chunk and code; more than the distinct chunks where a code depends on what precedes it too."""
    codes: int
    """Distinct codes."""
    colliding_codes: int
    """Codes of at least two distinct chunks."""
    colliding_chunk_share: float
    """Share of the distinct chunks that have a code in common with another one."""
    colliding_occurrence_share: float
    """Share of the occurrences whose chunk has a code in common with another one."""
    pairs: int
    """Pairs of distinct chunks with the same code, a bounded number per code."""
    prefix_over_longer: PrefixShares
    """Common prefix of a pair over its longer chunk."""
    prefix_over_shorter: PrefixShares
    """Common prefix of a pair over its shorter chunk."""
    random_prefix_over_longer: PrefixShares
    """Control: common prefix over the longer chunk, of random chunks with the same lengths."""
    case_prefix_over_longest: PrefixShares
    """Common prefix of a case, which is all chunks of one code, over its longest chunk. Cases: `colliding_codes`."""
    case_prefix_over_mean: PrefixShares
    """The same over the mean length of its distinct chunks."""
    case_prefix_over_shortest: PrefixShares
    """The same over its shortest chunk."""
    bucket_sizes: Mapping[str, int]
    """Number of distinct chunks of a code to number of such codes."""
    longer_chunk_bytes: Mapping[str, int]
    """Length of a pair's longer chunk to number of such pairs: where one byte differs, a share of 0.8 needs 5 bytes."""
    tails: Mapping[str, int]
    """What the chunks of a pair consist of after their common prefix, to number of such pairs."""
    examples: tuple[CollisionExample, ...]
    """The colliding codes with most occurrences."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Excerpt:
    """Consecutive whole segments of one document, as its shard encodes them."""

    doc_id: str
    source: str
    language: str
    compressor: str
    """Name of the compressor that made the segments."""
    document_bytes: int
    """Length of the whole document."""
    document_symbols: Mapping[str, int]
    """Compressor to the number of symbols of the whole document."""
    start: int
    """Offset of the excerpt in the document, in bytes."""
    first_segment: int
    """Index in the document of the excerpt's first segment."""
    raw: bytes
    score: str
    """What boundaries are cut at: `entropy` or `surprisal`."""
    theta_bits: float
    """A boundary precedes every byte whose score is above this."""
    score_bits: tuple[float, ...] | None
    """Score of every byte; None where the dataset has no neural compressor."""
    segment_ends: tuple[int, ...]
    """End of each segment, in bytes of the excerpt."""
    symbol_ends: tuple[int, ...]
    """End of each segment, in symbols of the excerpt."""
    symbols: tuple[int, ...]
    window_ends: tuple[int, ...] | None
    """End of each window, in bytes of the excerpt; None where the compressor has no windows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Findings:
    """All that `analyze` measured of one dataset."""

    dataset: str
    """Name of the dataset's directory."""
    command: str
    """Command that produces the same findings again."""
    manifest: Manifest
    manifest_digest: str
    """sha256 of manifest.json, in hexadecimal digits."""
    score: str
    """What the neural compressor's boundaries are cut at: `entropy` or `surprisal`."""
    theta_bits: float | None
    """Threshold of the boundaries; None where the dataset has no neural compressor."""
    compressor_details: Mapping[str, Sequence[tuple[str, str]]]
    """Name of a compressor to (what, value) of all that the manifest says about it, where that is much."""
    statistics: Statistics
    stability: Sequence[StabilityRow]
    frontier: Sequence[FrontierRow]
    texts_note: str
    """Which texts the distances were measured on, for people."""
    frontier_note: str
    """Which part of them the frontier was measured on, for people."""
    collisions: Sequence[CollisionTable]
    excerpts: Sequence[Excerpt]
