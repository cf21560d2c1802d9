r"""Sample documents, byte by byte: each byte a cell, shaded by its entropy (or what decides), segments marked.

    shard row ── excerpt (whole segments) ── entropies ──► Sample ──► cells  <i class="h9 s">f</i>
                                                                  └─► data   numbers that the page's script shows

A byte is one cell, also where a character has several: the first carries the character, the others their hex digits.
What shows nothing or moves its neighbours (controls, bidirectional marks) is shown by its number. The data are numbers
only, so nothing in a document can end the script element that holds them.
"""

from __future__ import annotations

import html
import json
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import pyarrow as pa

from kernels.counter_rng import draws, hash_strings, key
from pipeline.analysis.report.markup import visible
from pipeline.analysis.statistics import score_name
from schemas.batches import Documents
from schemas.manifest import Manifest, open_shards
from schemas.shards import DOC_ID, ENTROPY, LANGUAGE, RAW, SOURCE, documents_from_array, encoding_from_array

EXCERPT_BYTES = 1200
PURPOSE = 0x5A4D
"""What the seed is drawn for, so that other draws of one seed differ."""
SHADES = 12
MIN_THETA_BITS = 0.25
THETA_SHADE = 8
"""The first shade above θ, so that a boundary stands before every byte of this shade or a darker one."""
NAMED = {0x0A: "↵", 0x09: "→", 0x20: "·"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """An excerpt of a document in whole segments, as its shard spells it."""

    doc_id: str
    source: str
    language: str
    compressor: str
    """Whose segments these are."""
    document_bytes: int
    document_symbols: dict[str, int]
    """Per compressor, of the whole document."""
    start: int
    """Byte of the document at which the excerpt begins."""
    first_segment: int
    """Index of its first segment in the document."""
    raw: bytes
    score: str
    """What decides boundaries: `entropy` or `surprisal`."""
    theta_bits: float
    score_bits: tuple[float, ...] | None
    """Of every byte, or None where the dataset has no neural compressor."""
    segment_ends: tuple[int, ...]
    """In bytes of the excerpt."""
    symbol_ends: tuple[int, ...]
    """Of the segments, in symbols of the excerpt."""
    symbols: tuple[int, ...]
    window_ends: tuple[int, ...] | None
    """In bytes of the excerpt; None where the compressor has no windows."""


def choose_samples(
    directory: str,
    manifest: Manifest,
    entropies: Callable[[Documents], np.ndarray] | None,
    *,
    number: int,
    seed: int,
) -> list[Sample]:
    """Documents drawn by the hash of their ids: one of each language, those with most bytes first, then any.

    Among them is one that is not plain ASCII, if there is one. Empty where no compressor cuts documents into segments.
    """
    compressor = _segmenter(manifest)
    if compressor is None:
        return []
    chosen = _draw(directory, number, seed)
    found: dict[int, Sample] = {}
    position = 0
    for batch in open_shards(directory):
        for row in chosen:
            if position <= row < position + batch.num_rows:
                found[row] = _sample(batch.slice(row - position, 1), compressor, entropies, manifest)
        position += batch.num_rows
    return [found[row] for row in chosen]


def _segmenter(manifest: Manifest) -> str | None:
    """The compressor whose segments are drawn: neural, or else the one with most segments."""
    if "neural" in manifest.compressors:
        return "neural"
    segments = {name: sum(shard.segments[name] for shard in manifest.shards) for name in sorted(manifest.compressors)}
    most = max(segments, key=segments.__getitem__, default=None)
    return most if most is not None and segments[most] > manifest.totals.written else None


def _draw(directory: str, number: int, seed: int) -> list[int]:
    """Row numbers in the dataset."""
    places: list[tuple[int, int]] = []
    languages: list[str] = []
    raw_bytes: dict[str, int] = {}
    plain: list[bool] = []
    sizes: list[int] = []
    for batch in open_shards(directory):
        ids = [value.encode() for value in batch[DOC_ID].to_pylist()]
        packed = Documents.from_bytes(ids)
        drawn = draws(key(seed, PURPOSE), hash_strings(packed.raw, packed.offsets))
        places += [(int(value), len(places) + i) for i, value in enumerate(drawn)]
        documents = documents_from_array(batch[RAW])
        above = np.concatenate(([0], np.cumsum(documents.raw >= 0x80)))
        plain += (np.diff(above[documents.offsets]) == 0).tolist()
        languages += batch[LANGUAGE].to_pylist()
        sizes += np.diff(documents.offsets).tolist()
    # A short document shows little; it is drawn only where there is nothing longer.
    order = [row for _, row in sorted(places, key=lambda place: (sizes[place[1]] < EXCERPT_BYTES // 2, place))]
    firsts: dict[str, int] = {}
    for row in order:
        firsts.setdefault(languages[row], row)
        raw_bytes[languages[row]] = raw_bytes.get(languages[row], 0) + sizes[row]
    largest = sorted(firsts, key=lambda language: (-raw_bytes[language], language))
    chosen = [firsts[language] for language in largest[: max(1, number - 2)]]
    other = next((row for row in order if not plain[row] and row not in chosen), None)
    if other is not None and all(plain[row] for row in chosen):
        chosen.append(other)
    chosen += [row for row in order if row not in chosen]
    return chosen[:number]


def _sample(
    row: pa.RecordBatch, compressor: str, entropies: Callable[[Documents], np.ndarray] | None, manifest: Manifest
) -> Sample:
    documents = documents_from_array(row[RAW])
    raw = documents.raw
    encoding = encoding_from_array(row[compressor])
    ends = encoding.raw_ends.astype(np.int64)
    first, last = _excerpt(raw, ends)
    start, stop = (int(ends[first - 1]) if first else 0), int(ends[last - 1]) if last else 0
    symbol_ends = encoding.symbol_ends.astype(np.int64)
    symbol_start, symbol_stop = (int(symbol_ends[first - 1]) if first else 0), int(symbol_ends[last - 1]) if last else 0
    windows = encoding.window_ends
    return Sample(
        doc_id=row[DOC_ID][0].as_py(),
        source=row[SOURCE][0].as_py(),
        language=row[LANGUAGE][0].as_py(),
        compressor=compressor,
        document_bytes=int(raw.size),
        document_symbols={
            name: int(encoding_from_array(row[name]).symbols.size) for name in sorted(manifest.compressors)
        },
        start=start,
        first_segment=first,
        raw=raw[start:stop].tobytes(),
        score=score_name(manifest),
        theta_bits=manifest.compressors.get("neural", {}).get("settings", {}).get("theta_bits", 0.0),
        score_bits=_entropies(row, documents, entropies, start, stop),
        segment_ends=tuple((ends[first:last] - start).tolist()),
        symbol_ends=tuple((symbol_ends[first:last] - symbol_start).tolist()),
        symbols=tuple(encoding.symbols[symbol_start:symbol_stop].tolist()),
        window_ends=None
        if windows is None
        else tuple((windows[symbol_start:symbol_stop].astype(np.int64) - start).tolist()),
    )


def _excerpt(raw: np.ndarray, ends: np.ndarray) -> tuple[int, int]:
    """Segments [first, last) of about EXCERPT_BYTES from a line in a document's middle, no character cut in two."""
    starts = np.concatenate((np.zeros(1, np.int64), ends[:-1])) if ends.size else ends
    character = (raw[starts] & 0xC0) != 0x80
    middle = max(0, (raw.size - EXCERPT_BYTES) // 2)
    lines = np.flatnonzero(raw[:middle] == 0x0A)
    line = int(lines[-1]) + 1 if lines.size else 0
    after = np.flatnonzero(character & (starts >= line))
    first = int(after[0]) if after.size else 0
    last = int(np.searchsorted(ends, starts[first] + EXCERPT_BYTES)) + 1 if ends.size else 0
    while last < ends.size and not character[last]:
        last += 1
    return first, min(last, int(ends.size))


def _entropies(
    row: pa.RecordBatch,
    documents: Documents,
    entropies: Callable[[Documents], np.ndarray] | None,
    start: int,
    stop: int,
) -> tuple[float, ...] | None:
    if ENTROPY in row.schema.names:
        bits = np.asarray(row[ENTROPY][0].values)
    elif entropies is not None:
        # What follows a byte does not change its entropy, so the document's rest is not read.
        bits = entropies(Documents(raw=documents.raw[:stop], offsets=np.array([0, stop], np.int64)))
    else:
        return None
    return tuple(bits[start:stop].astype(np.float64).tolist())


def shade(bits: float, theta_bits: float) -> int:
    """0 to SHADES - 1: equal steps up to θ, and on as far as there are shades."""
    if bits > theta_bits:
        return min(SHADES - 1, THETA_SHADE + int((bits - theta_bits) / step_bits(theta_bits)))
    return min(THETA_SHADE - 1, max(0, int(bits / step_bits(theta_bits))))


def step_bits(theta_bits: float) -> float:
    """Bits from one shade to the next."""
    return max(theta_bits, MIN_THETA_BITS) / THETA_SHADE


def cells(sample: Sample) -> str:
    """The excerpt as one <i> per byte, in order."""
    segment_starts = {0, *sample.segment_ends[:-1]}
    window_starts = set(sample.window_ends[:-1]) - segment_starts if sample.window_ends else set()
    written = []
    for i, (shown, kind) in enumerate(faces(sample.raw)):
        marks = [f"h{shade(sample.score_bits[i], sample.theta_bits)}"] if sample.score_bits else []
        marks += ["s"] * (i in segment_starts) + ["w"] * (i in window_starts) + [kind] * bool(kind)
        focus = ' tabindex="0"' if i == 0 else ""
        written.append(f'<i class="{" ".join(marks)}"{focus}>{shown}</i>' + "\n" * (sample.raw[i] == 0x0A))
    return "".join(written)


def faces(raw: bytes) -> Iterator[tuple[str, str]]:
    """Per byte what stands in its cell, as markup, and its kind: "" text, "q" a mark for white space, "x" a number."""
    text = raw.decode("utf-8", "surrogateescape")
    for character in text:
        data = character.encode("utf-8", "surrogateescape")
        yield _face(character)
        yield from ((f"{byte:02x}", "x") for byte in data[1:])


@cache
def _face(character: str) -> tuple[str, str]:
    code = ord(character)
    if code in NAMED:
        return NAMED[code], "q"
    if "\udc80" <= character <= "\udcff":
        return f"{code - 0xDC00:02x}", "x"
    if code < 0x20 or code == 0x7F:
        return f"{code:02x}", "x"
    shown = visible(character)
    if shown != character or unicodedata.category(character).startswith("Z"):
        return f"U+{code:04X}", "x"
    # A mark without its letter would sit on the cell before it.
    return html.escape("◌" + character if unicodedata.category(character).startswith("M") else character), ""


def data(sample: Sample) -> str:
    """What the page's script needs, as JSON of numbers."""
    return json.dumps(
        {
            "start": sample.start,
            "segment": sample.first_segment,
            "bytes": list(sample.raw),
            "score": sample.score,
            "bits": None if sample.score_bits is None else [round(bits, 3) for bits in sample.score_bits],
            "ends": sample.segment_ends,
            "symbolEnds": sample.symbol_ends,
            "symbols": sample.symbols,
            "windows": sample.window_ends,
        },
        separators=(",", ":"),
    )
