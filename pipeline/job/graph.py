"""The Beam graph, the same for every runner.

    Create(numbers of units) | Reshuffle | LearnOnce, if asked for | ParDo(CompressUnit)[GPU hint] | collect | publish

Only the units' numbers and commit records are shuffled, never text; what a unit reads, the plan's file says. A unit's
shard is committed inside the step, so a killed job has lost nothing that was finished.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.utils.shared import Shared

from pipeline.job import runners
from pipeline.job.compress_unit import Commit
from pipeline.job.job import Job
from pipeline.job.plan_file import PlanFile
from pipeline.job.publish import publish
from pipeline.job.traces import one_line_for_users
from pipeline.job.worker import Holder


class CompressUnit(beam.DoFn):
    """A unit's number to its commit record. One copy of plan and models serves all threads of a process."""

    def __init__(self, holder: Holder) -> None:
        self._holder = holder

    def setup(self) -> None:
        """Load the compressors, or share those that another thread has loaded."""
        self._held = self._holder.acquire()

    def process(self, element: int) -> Iterator[bytes]:
        """Compress one unit and hand on its commit record."""
        yield self._held.unit_compressor().process(self._held.plan.unit(element)).to_bytes()


def _publish(commits: Iterable[bytes], job: Job) -> int:
    records = [Commit.from_bytes(commit) for commit in commits]
    publish(records, job)
    return len(records)


def build(
    pipeline: beam.Pipeline, job: Job, plan: PlanFile, hints: Mapping[str, str] | None = None, *, parts: int = 0
) -> beam.PCollection:
    """Add the graph to a pipeline.

    hints: resources of the step where the byte LM works, in place of those its device asks for. parts: of the table
    that is learned before any shard, 0 for none.
    """
    device = job.settings.device
    wanted = {**(runners.GPU_HINTS if device != "cpu" else {}), **(hints or {})}
    coding = compressing = Holder(job=job, plan=plan, names=job.settings.compressors, device=device)
    needs_model = job.settings.models.neural.boundary_score != "pair_surprisal"
    if device != "cpu" and job.settings.learn_once and not needs_model:
        # All that the byte LM is asked beside the table is what had no room there.
        compressing = replace(coding, device="cpu", shared=Shared())
    units = pipeline | "Units" >> beam.Create(range(plan.units), reshuffle=False) | "Spread" >> beam.Reshuffle()
    if parts:
        from pipeline.job.learn_steps import LearnOnce

        units = units | "LearnOnce" >> LearnOnce(compressing, coding, parts, wanted)
    compress: beam.PTransform = beam.ParDo(CompressUnit(compressing))
    if wanted and compressing is coding:
        compress = compress.with_resource_hints(**wanted)
    return (
        units | "CompressUnit" >> compress | "Collect" >> beam.combiners.ToList() | "Publish" >> beam.Map(_publish, job)
    )


def run(job: Job, plan: PlanFile, pipeline_options: PipelineOptions, *, parts: int = 0) -> None:
    """Run the graph to its end; `parts` as in `build`. UserError for what a worker could not do by the user's doing."""
    hints = runners.take_hints(pipeline_options)
    try:
        with one_line_for_users(), beam.Pipeline(options=pipeline_options) as pipeline:
            build(pipeline, job, plan, hints, parts=parts)
    except Exception as error:
        user_error = runners.user_error(error)
        if user_error is None:
            raise
        raise user_error from error
