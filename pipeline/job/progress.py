"""Progress of a run on every runner: it counts files in the output directory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from pipeline.corpus.units import WorkUnit
from pipeline.job.job import WORK_DIRECTORY, Job, commit_name
from pipeline.job.learned_table import part_name, segments_name
from pipeline.storage import files
from schemas.beside import beside
from schemas.progress import Progress

LOCAL_POLL_SECONDS = 0.5
REMOTE_POLL_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stage:
    """Files that appear one by one."""

    what: str
    directory: str
    sizes: Mapping[str, int]
    """File name to what it counts when it is there."""
    unit: str

    @property
    def total(self) -> int:
        """What all of them count."""
        return sum(self.sizes.values())

    def done(self) -> int:
        """What those that are there count."""
        return sum(self.sizes.get(name, 0) for name in files.list_files(self.directory))


@contextmanager
def shown_progress(job: Job, units: Sequence[WorkUnit], parts: int = 0) -> Iterator[None]:
    """Show input bytes done over all input bytes while the body runs; of a table of `parts`, first how it is made."""
    done, segments, codes = job.path(WORK_DIRECTORY, "done"), job.learned_path("segments"), job.learned_path("codes")
    stages = [
        _Stage(what="shards", directory=done, sizes={commit_name(u.index): u.size_bytes for u in units}, unit="B")
    ]
    if parts:
        sizes = {segments_name(unit.index): unit.size_bytes for unit in units}
        stages.insert(0, _Stage(what="segments", directory=segments, sizes=sizes, unit="B"))
        sizes = {part_name(part): 1 for part in range(parts)}
        stages.insert(1, _Stage(what="codes", directory=codes, sizes=sizes, unit="parts"))
    period_seconds = LOCAL_POLL_SECONDS if files.is_local(job.output) else REMOTE_POLL_SECONDS
    with beside(partial(_show, stages, period_seconds)):
        yield


def _show(stages: Sequence[_Stage], period_seconds: float, ended: threading.Event) -> None:
    """Show one stage after the other, each until its files are there, the last until the run has ended."""
    for stage in stages:
        with Progress(stage.what, total=stage.total, unit=stage.unit) as progress:
            found = stage.done()
            progress.to(found)
            while (stage is stages[-1] or found < stage.total) and not ended.wait(period_seconds):
                found = stage.done()
                progress.to(found)
            progress.to(stage.done())
