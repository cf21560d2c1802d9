"""A progress bar that works on every runner: it counts commit records in the output directory."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from tqdm import tqdm

from pipeline.corpus.units import WorkUnit
from pipeline.job.job import WORK_DIRECTORY, Job, commit_name
from pipeline.storage import files

LOCAL_POLL_SECONDS = 0.5
REMOTE_POLL_SECONDS = 10.0


@contextmanager
def progress_bar(job: Job, units: Sequence[WorkUnit]) -> Iterator[None]:
    """Show input bytes done over all input bytes while the body runs; nothing where stderr is no terminal."""
    sizes = {commit_name(unit.index): unit.size_bytes for unit in units}
    done = job.path(WORK_DIRECTORY, "done")
    stop = threading.Event()
    bar = tqdm(total=sum(sizes.values()), unit="B", unit_scale=True, desc="shards", disable=not sys.stderr.isatty())

    def poll() -> None:
        period = LOCAL_POLL_SECONDS if files.is_local(job.output) else REMOTE_POLL_SECONDS
        while not stop.wait(period):
            bar.n = sum(sizes.get(name, 0) for name in files.list_files(done))
            bar.refresh()

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
        bar.n = bar.total
    finally:
        stop.set()
        thread.join()
        bar.close()
