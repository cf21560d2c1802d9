"""What a run learns before any shard, where --learn-once asks for it: the codes of all segments the codebook lacks.

    unit ── read, cut, look up ──► segments/unit-00003         distinct segments, a block for each part
    part ── its blocks of all units ── the byte LM ──► codes/part-00007.arrow
    all parts ──► table.json: from then on every unit looks up there

Each file is there whole or not at all, and is a function of the corpus and the models, so whatever a killed run has
left is used. What has no room in memory is left to the units, which code it as without a table: equal shards.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import cast

from kernels.byte_spans import ByteSpans
from kernels.prefix_trie import sort_strings
from pipeline.compressors.base import Compressor
from pipeline.compressors.neural.coder import BYTE_LM
from pipeline.compressors.neural.collected import MAX_SEGMENTS, SegmentSet, block_range, from_block, head_bytes, to_file
from pipeline.compressors.neural.compressor import NeuralCompressor
from pipeline.compressors.neural.learned import TablePart, part_bytes
from pipeline.corpus.units import WorkUnit
from pipeline.job.compress_unit import batches_of
from pipeline.job.job import Job
from pipeline.job.learned_table import REMEDY, PartRecord, part_name, part_path, read_table_record, segments_path
from pipeline.storage import files
from pipeline.timing import Clock, attribute_time_to
from schemas import stores
from schemas.batches import Documents
from schemas.errors import ArtifactError, refusing
from schemas.files import sha256_hex
from schemas.patience import patiently

COLLECT = "collect"
"""The stage that counts the first reading of the corpus, and all of the table's making but the byte LM's work."""
READERS = 16
"""Blocks that are read from a store at a time."""


class Learner:
    """Makes the pieces of a table, in any order, on any worker. Safe to share between threads."""

    def __init__(self, job: Job, compressors: Mapping[str, Compressor], parts: int) -> None:
        self._job, self._parts = job, parts
        self._compressor = cast(NeuralCompressor, compressors["neural"])

    def collect(self, unit: WorkUnit) -> dict[str, float]:
        """Write the segments of a unit that the codebook lacks, unless they are there; stage to its seconds."""
        return patiently(lambda: self._collect(unit), f"unit {unit.index} of {unit.total}")

    def _collect(self, unit: WorkUnit) -> dict[str, float]:
        path, clock = segments_path(self._job, unit.index), Clock()
        if files.exists(path):
            return clock.seconds
        with clock.stage(COLLECT), files.explain_no_room(self._job.output):
            found = SegmentSet(MAX_SEGMENTS)
            for batch in batches_of(unit, self._job.settings.corpus.read, []):
                documents = Documents.from_bytes([record.text for record in batch])
                found.add(self._compressor.unknown_segments(documents))
            self._put(path, to_file(found.strings(), self._parts))
        return clock.seconds

    def code(self, part: int, units: int) -> PartRecord:
        """Write a part of the table from the segments of all units, unless it is there.

        ArtifactError where a file of segments is damaged or gone.
        """
        return patiently(lambda: self._code(part, units), f"part {part} of {self._parts}")

    def _code(self, part: int, units: int) -> PartRecord:
        path, clock = part_path(self._job, part), Clock()
        if files.exists(path):
            return PartRecord(sha256=sha256_hex(files.read_bytes(path)), seconds=clock.seconds)
        with clock.stage(COLLECT), files.explain_no_room(self._job.output):
            union = SegmentSet(MAX_SEGMENTS)
            for block in self._blocks(part, units):
                union.add(block)
            segments = union.strings()
            segments = segments.take(sort_strings(segments))
            segments = ByteSpans.from_ends(segments.joined(), segments.lengths.cumsum())
            with attribute_time_to(BYTE_LM):
                codes = self._compressor.coder.codes(segments)
            data = part_bytes(segments, codes)
            self._put(path, data)
        return PartRecord(sha256=sha256_hex(data), seconds=clock.seconds)

    def _blocks(self, part: int, units: int) -> Iterator[ByteSpans]:
        """The segments of every unit that belong to a part, unit by unit."""
        longest = self._compressor.settings.max_segment_bytes

        def read(unit: int) -> ByteSpans:
            path = segments_path(self._job, unit)
            with refusing(path, ArtifactError, REMEDY):
                start, end = block_range(_range(path, 0, head_bytes(self._parts)), part, self._parts)
                segments = from_block(_range(path, start, end))
                if segments.lengths.max(initial=0) > longest:
                    raise ValueError(f"a segment of more than {longest} bytes")
            return segments

        numbers = iter(range(units))
        if not self._job.is_in_store:
            yield from map(read, numbers)
            return
        with ThreadPoolExecutor(READERS) as pool:
            while some := list(islice(numbers, 4 * READERS)):
                yield from pool.map(read, some)

    def _put(self, path: str, data: bytes) -> None:
        """Write a whole file, which another attempt may be writing at this moment too."""
        if self._job.is_in_store:
            files.write_bytes(path, data)
            return
        staged = self._job.staged_path(f"{os.path.basename(path)}.{os.getpid()}-{time.monotonic_ns()}")
        with files.create(staged) as created:
            created.file.write(data)
        files.rename(staged, path)


def _range(path: str, start: int, end: int) -> bytes:
    """Bytes [start, end) of a file, as far as it goes."""
    if not files.is_local(path):
        return stores.read_range(path, start, end)[0]
    with open(path, "rb") as file:
        file.seek(start)
        return file.read(end - start)


def open_table(job: Job, compressors: Mapping[str, Compressor]) -> dict[str, Compressor]:
    """The compressors, of which the neural one looks into the finished table; ArtifactError where that is damaged.

    A table in a store is copied to this machine first; its files lose their names when they are mapped.
    """
    digests = [part.sha256 for part in read_table_record(job).parts]
    copy = files.LocalCopy(job.learned_path("codes"))
    with copy.named_by_origin(ArtifactError):
        parts = [
            TablePart(files.join(copy.directory, part_name(number)), digest, REMEDY)
            for number, digest in enumerate(digests)
        ]
    neural = cast(NeuralCompressor, compressors["neural"]).with_table(parts)
    return {**compressors, "neural": neural}
