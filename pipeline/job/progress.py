"""Progress of the shards on every runner: it counts commit records in the output directory."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pipeline.corpus.units import WorkUnit
from pipeline.job.job import WORK_DIRECTORY, Job, commit_name
from pipeline.storage import files
from schemas.progress import Progress

LOCAL_POLL_SECONDS = 0.5
REMOTE_POLL_SECONDS = 10.0


@contextmanager
def shown_progress(job: Job, units: Sequence[WorkUnit]) -> Iterator[None]:
    """Show input bytes done over all input bytes while the body runs."""
    sizes = {commit_name(unit.index): unit.size_bytes for unit in units}
    done = job.path(WORK_DIRECTORY, "done")
    stop = threading.Event()

    def poll(progress: Progress) -> None:
        period = LOCAL_POLL_SECONDS if files.is_local(job.output) else REMOTE_POLL_SECONDS
        while not stop.wait(period):
            progress.to(sum(sizes.get(name, 0) for name in files.list_files(done)))

    with Progress("shards", total=sum(sizes.values()), unit="B") as progress:
        progress.to(sum(sizes.get(name, 0) for name in files.list_files(done)))
        thread = threading.Thread(target=poll, args=(progress,), daemon=True)
        thread.start()
        try:
            yield
            progress.to(sum(sizes.values()))
        finally:
            stop.set()
            thread.join()
