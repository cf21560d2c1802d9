"""The steps of the graph that learn before any shard, see `learning`; units come out when the table is whole.

    units ── Collect ──► done ── all ──► parts ── Code[GPU hint] ──► records ── all ──► table.json ──► units

Only numbers, seconds and digests are shuffled. A step that waits for all of another's elements has them in one list, as
publication has the commit records.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

import apache_beam as beam

from pipeline.job.job import Job
from pipeline.job.learned_table import PartRecord, finish
from pipeline.job.learning import Learner
from pipeline.job.worker import Holder

Seconds = dict[str, float]
"""Stage to its seconds."""


class _Step(beam.DoFn):
    def __init__(self, holder: Holder, parts: int) -> None:
        self._holder, self._parts = holder, parts

    def setup(self) -> None:
        """Load what this process has not."""
        self._held = self._holder.acquire()
        self._learner = Learner(self._holder.job, self._held.compressors, self._parts)


class Collect(_Step):
    """A unit's number to the seconds that its first reading took."""

    def process(self, element: int) -> Iterator[Seconds]:
        """Write the unit's segments that the codebook lacks."""
        yield self._learner.collect(self._held.plan.unit(element))


class Code(_Step):
    """A part's number to its record."""

    def process(self, element: tuple[int, Seconds]) -> Iterator[tuple[int, PartRecord]]:
        """Write the part of the table; the seconds that come with it are counted with its own."""
        part, before = element
        record = self._learner.code(part, self._holder.plan.units)
        stages = {**before, **record.seconds}
        yield part, replace(record, seconds={s: before.get(s, 0.0) + record.seconds.get(s, 0.0) for s in stages})


class LearnOnce(beam.PTransform):
    """Numbers of units to the same numbers, when the table is whole."""

    def __init__(self, readers: Holder, coders: Holder, parts: int, hints: Mapping[str, str]) -> None:
        """readers, coders: what the first reading and the coding of parts hold. hints: resources of the latter."""
        super().__init__()
        self._readers, self._coders, self._parts, self._hints = readers, coders, parts, hints

    def expand(self, units: beam.PCollection) -> beam.PCollection:
        """The graph of the steps."""
        code: beam.PTransform = beam.ParDo(Code(self._coders, self._parts))
        if self._hints:
            code = code.with_resource_hints(**self._hints)
        return (
            units
            | "Collect" >> beam.ParDo(Collect(self._readers, self._parts))
            | "AllSegments" >> beam.combiners.ToList()
            | "Parts" >> beam.FlatMap(_elements, self._parts)
            | "SpreadParts" >> beam.Reshuffle()
            | "Code" >> code
            | "AllParts" >> beam.combiners.ToList()
            | "Table" >> beam.FlatMap(_finished, self._coders.job, self._coders.plan.units)
            | "SpreadUnits" >> beam.Reshuffle()
        )


def _elements(collecting: list[Seconds], parts: int) -> Iterator[tuple[int, Seconds]]:
    """All parts; the first one carries the seconds of the first reading."""
    total: Counter[str] = Counter()
    for seconds in collecting:
        total.update(seconds)
    for part in range(parts):
        yield part, {} if part else dict(total)


def _finished(records: list[tuple[int, PartRecord]], job: Job, units: int) -> Iterator[int]:
    """Write down that the table is whole; then all units."""
    by_number = dict(records)
    finish(job, (by_number[part] for part in range(len(by_number))))
    yield from range(units)
