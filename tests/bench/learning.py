"""What --learn-once costs and saves on text that the codebook's sample is foreign to.

    the dataset's models, the corpus ── whole runs, 1 and 2 workers, without and with ──► CPU seconds by stage, prefixes
    the corpus's segments ── dealt to 1, 2, 8, 64 processes, a trie for each batch ──► prefixes that these would read

Seconds are CPU time of the threads that did the work, so other work on the machine moves them little. The shards of all
runs are compared.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from kernels.byte_spans import ByteSpans
from kernels.prefix_coding import PrefixCoder
from kernels.prefix_trie import build_trie, sort_strings
from kernels.string_table import StringTable, distinct
from pipeline import timing
from pipeline.__main__ import main as command
from pipeline.compressors.registry import COMPRESSORS_DIRECTORY
from pipeline.corpus.settings import ReadSettings
from pipeline.job.compress_unit import batches_of
from pipeline.job.settings import SETTINGS_NAME
from schemas.batches import Documents
from tests.bench.common import dataset, neural
from tests.bench.corpora import corpus
from tests.pipeline.corpora import plan_units

REPEATS = int(os.environ.get("BENCH_REPEATS", "3"))
STAGES = ("collect", "read", "neural", "learned", "byte_lm", "write")
PROCESSES = (1, 2, 8, 64)
UNIT_BYTES = 8 << 20


def run(directory: str, location: str, workers: int, learn_once: bool) -> dict[str, Any]:
    """One run in this process: CPU seconds by stage and of all, prefixes read, peak memory, digest of the shards."""
    timing.time = SimpleNamespace(monotonic=time.thread_time)  # type: ignore[assignment]
    coders: set[PrefixCoder] = set()
    count = PrefixCoder._count

    def spy(self: PrefixCoder, prefixes: int) -> None:
        coders.add(self)
        count(self, prefixes)

    PrefixCoder._count = spy  # type: ignore[method-assign]
    with tempfile.TemporaryDirectory() as place:
        output = Path(place, "out")
        options = [*_arguments(directory, location, output, learn_once), "--workers", str(workers)]
        begin = resource.getrusage(resource.RUSAGE_SELF)
        assert command(options) == 0
        end = resource.getrusage(resource.RUSAGE_SELF)
        report = json.loads((output / "report.json").read_bytes())
        shards = b"".join(path.read_bytes() for path in sorted(output.glob("shard-*")))
    return {
        **{stage: report["stage_seconds"].get(stage, 0.0) for stage in STAGES},
        "all": end.ru_utime + end.ru_stime - begin.ru_utime - begin.ru_stime,
        "prefixes": sum(coder.prefixes_read for coder in coders if coder is not None),
        "peak": end.ru_maxrss / 1e6,
        "shards": hashlib.sha256(shards).hexdigest(),
    }


def _arguments(directory: str, location: str, output: Path, learn_once: bool) -> list[str]:
    """A command whose models are a dataset's, which lie in the output when this returns."""
    shutil.copytree(Path(directory, COMPRESSORS_DIRECTORY), output / COMPRESSORS_DIRECTORY)
    options = ["preprocess", "--config", str(Path(directory, SETTINGS_NAME).resolve())]
    options += ["--input", str(Path(location).resolve()), "--output", str(output), "--compressors", "neural"]
    return [*options, "--learn-once"] if learn_once else options


def whole_runs(directory: str, location: str) -> None:
    """A row for each number of workers, without and with: medians, and half the range of the CPU seconds of all."""
    print(f"workers  table  {'  '.join(f'{stage:>8}' for stage in STAGES)}       all  spread   prefixes  peak GB")
    digests = set()
    for workers in (1, 2):
        for learn_once in (False, True):
            with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
                rows = [pool.apply(run, (directory, location, workers, learn_once)) for _ in range(REPEATS)]
            digests |= {row["shards"] for row in rows}
            middle = {name: sorted(row[name] for row in rows)[len(rows) // 2] for name in rows[0]}
            spread = (max(row["all"] for row in rows) - min(row["all"] for row in rows)) / 2
            shown = "  ".join(f"{middle[stage]:8.2f}" for stage in STAGES)
            print(
                f"{workers:7}  {'with' if learn_once else 'none':>5}  {shown}  {middle['all']:8.2f}  "
                f"±{spread:5.2f}  {middle['prefixes']:9,}  {middle['peak']:.2f}",
                flush=True,
            )
    print("shards equal in all runs" if len(digests) == 1 else f"SHARDS DIFFER: {digests}")


def prefixes_of_processes(directory: str, location: str) -> None:
    """What the byte LM would read in processes that deal the units round and keep all that they learn."""
    compressor = neural(directory)
    known = {processes: [StringTable() for _ in range(processes)] for processes in PROCESSES}
    read = dict.fromkeys(PROCESSES, 0)
    raw_bytes = 0
    for unit in plan_units((location,), shards=None, unit_bytes=UNIT_BYTES):
        for batch in batches_of(unit, ReadSettings(), []):
            documents = Documents.from_bytes([record.text for record in batch])
            raw_bytes += documents.raw.size
            segments = compressor.unknown_segments(documents)
            segments = segments.take(distinct(segments)[0])
            for processes, tables in known.items():
                table = tables[unit.index % processes]
                new = segments.take(table.find(segments)[0] < 0)
                table.insert(new)
                read[processes] += _prefixes(new)
    together = known[1][0].strings()
    print(
        f"{raw_bytes / 1e6:.0f} MB, {len(together):,} segments that the codebook lacks; prefixes that the byte LM reads"
    )
    for processes, prefixes in read.items():
        print(f"  {processes:3} processes, each by itself: {prefixes:11,}")
    print(f"  one table for all:              {_prefixes(together):11,}")


def _prefixes(segments: ByteSpans) -> int:
    return build_trie(segments.take(sort_strings(segments))).inner_nodes if len(segments) else 0


def main() -> None:
    """Print both tables; the dataset and the corpus are those of the command line."""
    directory, location = dataset(), corpus()
    if not location:
        sys.exit("give --corpus: text that the dataset's models have not seen")
    prefixes_of_processes(directory, location)
    whole_runs(directory, location)


if __name__ == "__main__":
    main()
