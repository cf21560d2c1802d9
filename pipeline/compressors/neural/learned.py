"""The table of segments that were coded once for a whole corpus: sorted parts on disk, mapped into memory.

    SegmentSet of a part ── sort ── the byte LM, once ──► part-00007.arrow: segment, symbols, window_bytes
    unknown segments of a unit ── parts_of ── binary search ──► codes; what is in no part the byte LM codes as ever

A part is one record batch without compression, so that processes of a machine share its pages. It is believed when its
digest is the one that was written down, Arrow has validated it, its segments rise, and their windows fill them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from kernels.byte_spans import ByteSpans, Codes, merged_codes, span_indices
from kernels.sorted_strings import find_sorted, parts_of, rises
from pipeline.compressors.codebook_cache import Coder
from pipeline.compressors.neural.artifact import coded_columns, coded_strings
from pipeline.compressors.neural.coder import BYTE_LM
from pipeline.timing import attribute_time_to
from schemas.errors import ArtifactError, refusing
from schemas.files import file_sha256

LEARNED = "learned"
"""The stage that counts look-ups in the table."""
_SCHEMA = pa.schema(
    [("segment", pa.binary()), ("symbols", pa.list_(pa.uint16())), ("window_bytes", pa.list_(pa.uint8()))]
)


def part_bytes(segments: ByteSpans, codes: Codes) -> bytes:
    """The file of sorted, distinct segments that follow each other from 0 on, with their codes."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, _SCHEMA) as writer:
        writer.write_batch(pa.record_batch(list(coded_columns(segments, codes)), schema=_SCHEMA))
    data: bytes = sink.getvalue().to_pybytes()
    return data


class TablePart:
    """One part, mapped. Safe to share between threads."""

    def __init__(self, path: str, sha256: str, remedy: str) -> None:
        """Open a local file; ArtifactError, which ends in the remedy, where it is not the file of that digest."""
        with refusing(path, ArtifactError, remedy, pa.ArrowException):
            if file_sha256(path) != sha256:
                raise ValueError("it is not the file that was written")
            with pa.memory_map(path) as file, pa.ipc.open_file(file) as reader:
                if not reader.schema.equals(_SCHEMA) or reader.num_record_batches != 1:
                    raise ValueError("it is no part of a table")
                batch = reader.get_batch(0)
            batch.validate(full=True)
            if any(column.null_count for column in batch.columns):
                raise ValueError("nulls in it")
            self.segments, self._codes = coded_strings(*batch.columns)
            if not rises(self.segments):
                raise ValueError("its segments are not sorted")

    def find(self, segments: ByteSpans) -> tuple[np.ndarray, Codes]:
        """Which of n segments are here, bool [n], and the codes of those, in their order."""
        entries = find_sorted(self.segments, segments)
        known = entries >= 0
        found = entries[known]
        stops = self._codes.ends[found].astype(np.int64)
        starts = np.where(found > 0, self._codes.ends[found - 1], 0).astype(np.int64)
        chosen = span_indices(starts, stops - starts)
        return known, Codes(self._codes.symbols[chosen], self._codes.window_bytes[chosen], np.cumsum(stops - starts))


class LearnedCodes:
    """A `Coder` that looks segments up in a table before it asks the byte LM. Safe to share between threads."""

    def __init__(self, parts: Sequence[TablePart], coder: Coder) -> None:
        """parts: all of a table, in their order. coder: what codes a segment that is in none."""
        self._parts, self._coder = parts, coder

    def codes(self, segments: ByteSpans) -> Codes:
        """The codes of n distinct segments."""
        part_of = parts_of(segments, len(self._parts))
        groups: list[tuple[np.ndarray, Codes]] = []
        unknown = np.zeros(len(segments), np.bool_)
        for part in np.unique(part_of):
            members = np.flatnonzero(part_of == part)
            known, codes = self._parts[part].find(segments.take(members))
            groups.append((members[known], codes))
            unknown[members[~known]] = True
        if unknown.any():
            with attribute_time_to(BYTE_LM):
                groups.append((np.flatnonzero(unknown), self._coder(segments.take(unknown))))
        return merged_codes(groups)
