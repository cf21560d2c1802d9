"""The Beam graph, the same for every runner.

    Create(numbers of units) | Reshuffle | ParDo(CompressUnit)[GPU hint] | collect | publish

Only the units' numbers and commit records are shuffled, never text; what a unit reads, the plan's file says. A unit's
shard is committed inside the step, so a killed job has lost nothing that was finished.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterable, Iterator, Mapping

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared

from pipeline.compressors.registry import load_compressors
from pipeline.job import runners
from pipeline.job.compress_unit import Commit, UnitCompressor
from pipeline.job.job import WORK_DIRECTORY, Job
from pipeline.job.plan_file import PlanFile, open_plan
from pipeline.job.publish import publish
from pipeline.job.traces import one_line_for_users
from pipeline.storage import files
from schemas.errors import SettingsError

logger = logging.getLogger(__name__)


class _Holder:
    """Plan and compressors of one process; a class of its own because `Shared` needs a weak reference to it."""

    def __init__(self, job: Job, plan: PlanFile) -> None:
        self.plan = open_plan(plan)
        self.unit_compressor = UnitCompressor(job, load_compressors(job.settings.compressors, job.loading))


class CompressUnit(beam.DoFn):
    """A unit's number to its commit record. One copy of plan and models serves all threads of a process."""

    def __init__(self, job: Job, plan: PlanFile) -> None:
        self._job, self._plan = job, plan
        self._shared = Shared()

    def setup(self) -> None:
        """Load the compressors, or share those that another thread has loaded.

        SettingsError or ArtifactError where this machine lacks what the launcher has made: before any unit is read.
        """
        _check_sees(self._job.output)
        self._holder = self._shared.acquire(
            lambda: _Holder(self._job, self._plan), tag=f"{self._job.identity} {self._plan.sha256}"
        )

    def process(self, element: int) -> Iterator[bytes]:
        """Compress one unit and hand on its commit record."""
        yield self._holder.unit_compressor.process(self._holder.plan.unit(element)).to_bytes()


def _check_sees(output: str) -> None:
    """SettingsError on a worker of another machine that does not share the launcher's directory."""
    if files.is_local(output) and not os.path.isdir(files.join(output, WORK_DIRECTORY)):
        raise SettingsError(
            f"there is no {output} on {socket.gethostname()}; give an --output that all workers share, or a bucket"
        )


def _publish(commits: Iterable[bytes], job: Job) -> int:
    records = [Commit.from_bytes(commit) for commit in commits]
    publish(records, job)
    return len(records)


def build(
    pipeline: beam.Pipeline,
    job: Job,
    plan: PlanFile,
    hints: Mapping[str, str] | None = None,
) -> beam.PCollection:
    """Add the graph to a pipeline. `hints`: resources of the compress step, in place of those its device asks for."""
    compress: beam.PTransform = beam.ParDo(CompressUnit(job, plan))
    wanted = {**(runners.GPU_HINTS if job.settings.device != "cpu" else {}), **(hints or {})}
    if wanted:
        compress = compress.with_resource_hints(**wanted)
    return (
        pipeline
        | "Units" >> beam.Create(range(plan.units), reshuffle=False)
        | "Spread" >> beam.Reshuffle()
        | "CompressUnit" >> compress
        | "Collect" >> beam.combiners.ToList()
        | "Publish" >> beam.Map(_publish, job)
    )


def run(job: Job, plan: PlanFile, pipeline_options: PipelineOptions) -> None:
    """Run the graph to its end. UserError for what a worker could not do by the user's doing."""
    hints = runners.take_hints(pipeline_options)
    try:
        with one_line_for_users(), beam.Pipeline(options=pipeline_options) as pipeline:
            build(pipeline, job, plan, hints)
    except Exception as error:
        user_error = runners.user_error(error)
        if user_error is None:
            raise
        raise user_error from error
