"""What one process of a worker holds: the plan, and the compressors, loaded once for all its threads and steps."""

from __future__ import annotations

import os
import socket
import threading
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from apache_beam.utils.shared import Shared

from pipeline.compressors.base import Compressor
from pipeline.compressors.gzip import GzipCompressor
from pipeline.compressors.registry import load_compressors
from pipeline.job.compress_unit import UnitCompressor
from pipeline.job.job import WORK_DIRECTORY, Job
from pipeline.job.plan_file import PlanFile, open_plan
from pipeline.storage import files
from schemas.errors import SettingsError


class Held:
    """Plan and compressors of one process; a class of its own because `Shared` needs a weak reference to it."""

    def __init__(self, job: Job, plan: PlanFile, names: Sequence[str], device: str) -> None:
        self.plan = open_plan(plan)
        self.compressors = load_compressors(names, replace(job.loading, device=device))
        _check_same_digests(self.compressors, job)
        self._job = job
        self._lock = threading.Lock()
        self._unit_compressor: UnitCompressor | None = None

    def unit_compressor(self) -> UnitCompressor:
        """What compresses units; where a table was learned, it is opened now. ArtifactError where that is damaged."""
        with self._lock:
            if self._unit_compressor is None:
                self._unit_compressor = UnitCompressor(self._job, self._with_table())
            return self._unit_compressor

    def _with_table(self) -> dict[str, Compressor]:
        if not self._job.settings.learn_once:
            return self.compressors
        from pipeline.job.learning import open_table

        return open_table(self._job, self.compressors)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """The way to what a process holds. It travels to the workers by pickle; all of its copies lead to one `Held`."""

    job: Job
    plan: PlanFile
    names: tuple[str, ...]
    """Of the compressors."""
    device: str
    """Where the byte LM runs."""
    shared: Shared = field(default_factory=Shared)

    def acquire(self) -> Held:
        """Load what this process has not.

        SettingsError or ArtifactError where this machine lacks what the launcher has made: before any unit is read.
        """
        files.check_name_encoding()
        _check_sees(self.job.output)
        return self.shared.acquire(
            lambda: Held(self.job, self.plan, self.names, self.device), tag=f"{self.job.identity} {self.plan.sha256}"
        )


def _check_same_digests(compressors: Mapping[str, Compressor], job: Job) -> None:
    """SettingsError where this machine would encode otherwise than the launcher says in the manifest."""
    for name, compressor in compressors.items():
        if compressor.digest != job.compressors[name]["digest"]:
            library = f" (zlib {zlib.ZLIB_RUNTIME_VERSION})" if name == GzipCompressor.name else ""
            raise SettingsError(
                f"{socket.gethostname()} has another {name}{library} than the launcher; give all workers one image, "
                f"or leave {name} out of --compressors"
            )


def _check_sees(output: str) -> None:
    """SettingsError on a worker of another machine that does not share the launcher's directory."""
    if files.is_local(output) and not os.path.isdir(files.join(output, WORK_DIRECTORY)):
        raise SettingsError(
            f"there is no {output} on {socket.gethostname()}; give an --output that all workers share, or a bucket"
        )
