"""The Beam graph, the same for every runner.

    Create(units) | Reshuffle | ParDo(CompressUnit)[GPU hint] | collect | publish

Only unit descriptors and commit records are shuffled, never text. A unit's shard is committed inside the step, so a
killed job has lost nothing that was finished.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import create_runner
from apache_beam.utils.shared import Shared

from pipeline.loading import load_compressors
from pipeline.publish import Publication, publish
from pipeline.unit import Commit, UnitCompressor, UnitJob
from pipeline.units import Unit
from schemas.errors import SettingsError

logger = logging.getLogger(__name__)


class _Holder:
    """Compressors of one process; a class of its own because `Shared` needs a weak reference to it."""

    def __init__(self, job: UnitJob, loading: dict[str, Any]) -> None:
        self.unit_compressor = UnitCompressor(job, load_compressors(**loading))


class CompressUnit(beam.DoFn):
    """A unit descriptor to its commit record. One copy of the models serves all threads of a process."""

    def __init__(self, job: UnitJob, loading: dict[str, Any]) -> None:
        self._job, self._loading = job, loading
        self._shared = Shared()

    def setup(self) -> None:
        """Load the compressors, or share those that another thread has loaded."""
        self._holder = self._shared.acquire(lambda: _Holder(self._job, self._loading), tag=self._job.identity)

    def process(self, element: dict[str, Any]) -> Iterator[bytes]:
        """Compress one unit and hand on its commit record."""
        unit = Unit.from_dict(element)
        yield self._holder.unit_compressor.process(unit).to_bytes()


def _publish(commits: Iterable[bytes], publication: Publication) -> int:
    records = [Commit.from_bytes(commit) for commit in commits]
    publish(records, publication)
    return len(records)


def build(
    pipeline: beam.Pipeline, units: Sequence[Unit], job: UnitJob, loading: dict[str, Any], publication: Publication
) -> beam.PCollection:
    """Add the graph to a pipeline."""
    compress: beam.PTransform = beam.ParDo(CompressUnit(job, loading))
    if loading["device"] != "cpu":
        compress = compress.with_resource_hints(
            accelerator="type:nvidia-l4;count:1;install-nvidia-driver", min_ram="12GB"
        )
    return (
        pipeline
        | "Units" >> beam.Create([unit.to_dict() for unit in units], reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "CompressUnit" >> compress
        | "Collect" >> beam.combiners.ToList()
        | "Publish" >> beam.Map(_publish, publication)
    )


def options(runner: str, workers: int, extra: Sequence[str]) -> PipelineOptions:
    """Beam's options; the local runner gets one thread per worker. SettingsError for what it does not know."""
    try:
        create_runner(runner)
    except (ValueError, ImportError, AttributeError, TypeError) as error:
        raise SettingsError(f"--runner {runner} cannot be had: {' '.join(str(error).split())}") from error
    flags = [f"--runner={runner}", *extra]
    if runner == "FnApiRunner":
        if extra:
            raise SettingsError(
                f"the local runner takes no Beam options; remove {' '.join(extra)!r} or choose --runner"
            )
        flags += [f"--direct_num_workers={workers}"]
        flags += ["--direct_running_mode=" + ("multi_threading" if workers > 1 else "in_memory")]
    else:
        flags += ["--no_save_main_session"]
    return PipelineOptions(flags)


def run(
    units: Sequence[Unit],
    job: UnitJob,
    loading: dict[str, Any],
    publication: Publication,
    pipeline_options: PipelineOptions,
) -> None:
    """Run the graph to its end."""
    with beam.Pipeline(options=pipeline_options) as pipeline:
        build(pipeline, units, job, loading, publication)
