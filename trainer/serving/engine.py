"""One thread that continues texts, as many at once as there are rows; the others wait in their order.

    submit ─► waiting ─► rows of a Batch ─► a forward at a time ─► on_bytes(job, bytes, reason), from this thread
                  └ cancelled, or out of time: it leaves before the next forward

Prompts that come while others are being continued join them at the next forward pass. What a job becomes depends on its
ids, sampling and seed alone.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from schemas.vocabulary import RAW_BASE
from trainer.generation.batch import Batch, Continuation
from trainer.generation.settings import Sampling
from trainer.model.evabyte import EvaByte
from trainer.serving.stops import StopFinder

logger = logging.getLogger(__name__)

Reason = Literal["stop", "length", "timeout", "error"]


class BusyError(Exception):
    """So many jobs wait already that no more are taken."""


@dataclass(kw_only=True, slots=True, eq=False)
class Job:
    """One continuation that somebody waits for."""

    prompt: bytes
    max_bytes: int
    sampling: Sampling
    seed: int
    deadline: float
    """When it is given up, by time.monotonic."""
    on_bytes: Callable[[Job, bytes, Reason | None], None]
    """Is told, in the engine's thread, the next bytes and, with the last ones, why they are the last."""
    stops: StopFinder
    cancelled: bool = False
    """Set by `Engine.cancel`: nobody waits any more."""
    text: Continuation | None = field(default=None)
    """Once it has a row."""
    sent: int = 0
    """Bytes of the continuation that the stops have seen."""


class Engine:
    """The thread. `start` it, `submit` jobs from any thread, `close` it."""

    def __init__(self, model: EvaByte, *, rows: int, waiting: int, capacity: int, opening: Sequence[int]) -> None:
        """capacity: bytes of a prompt and its continuation together. opening: ids before every prompt."""
        self.opening, self.waiting_limit = tuple(opening), waiting
        self._batch = Batch(model, rows, capacity + len(self.opening))
        self._waiting: deque[Job] = deque()
        self._running: list[Job] = []
        self._changed = threading.Condition(threading.RLock())
        self._closing = False
        self.failed = False
        """Whether an error of our own has ended the thread."""
        self._thread = threading.Thread(target=self._run, name="continuations", daemon=True)

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def close(self) -> None:
        """End after the forward pass that is under way; jobs that are left are told an error."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def submit(self, jobs: Sequence[Job]) -> None:
        """Take all of these jobs; BusyError where not all of them can wait."""
        with self._changed:
            if self._closing or self.failed or len(self._waiting) + len(jobs) > self._batch.free + self.waiting_limit:
                raise BusyError
            self._waiting += jobs
            self._changed.notify()

    def cancel(self, jobs: Sequence[Job]) -> None:
        """Give these jobs up; those that are done already stay so."""
        with self._changed:
            for job in jobs:
                job.cancelled = True
            self._changed.notify()

    @property
    def in_flight(self) -> int:
        """Jobs that have a row or wait for one."""
        with self._changed:
            return len(self._waiting) + len(self._running)

    def _run(self) -> None:
        try:
            while self._admit():
                if self._running:
                    self._batch.step()
                    self._deliver()
        except Exception:
            logger.exception("the server's model failed; every request is answered with an error from now on")
            self.failed = True
        with self._changed:
            left = [*self._running, *self._waiting]
            self._running.clear()
            self._waiting.clear()
        for job in left:
            job.on_bytes(job, b"", "error")

    def _admit(self) -> bool:
        """Wait for work, drop what nobody waits for, give free rows away; False: the engine is closing."""
        with self._changed:
            while not (self._closing or self._waiting or self._running):
                self._changed.wait()
            if self._closing:
                return False
            now = time.monotonic()
            for job in [job for job in self._running if job.cancelled or now > job.deadline]:
                self._leave(job, "timeout")
            for job in [job for job in self._waiting if job.cancelled or now > job.deadline]:
                self._waiting.remove(job)
                if not job.cancelled:
                    job.on_bytes(job, b"", "timeout")
            new = [self._waiting.popleft() for _ in range(min(self._batch.free, len(self._waiting)))]
            self._running += new
        for job in new:
            ids = [*self.opening, *(RAW_BASE + byte for byte in job.prompt)]
            job.text = Continuation(ids=ids, max_bytes=job.max_bytes, sampling=job.sampling, seed=job.seed)
        self._batch.add([job.text for job in new if job.text is not None])
        self._deliver()
        return True

    def _deliver(self) -> None:
        """Tell every job its new bytes; the jobs that are done leave."""
        for job in list(self._running):
            text = job.text
            assert text is not None
            new = job.stops.feed(bytes(id - RAW_BASE for id in text.accepted[job.sent :]))
            job.sent = len(text.accepted)
            if job.stops.stopped:
                self._leave(job, "stop", new)
            elif text.done:
                self._leave(job, "stop" if text.ended else "length", new + job.stops.flush())
            elif new:
                job.on_bytes(job, new, None)

    def _leave(self, job: Job, reason: Reason, new: bytes = b"") -> None:
        """Free a job's row and tell it its end."""
        with self._changed:
            self._running.remove(job)
        if job.text in self._batch.texts:
            self._batch.remove(job.text)
        if not job.cancelled:
            job.on_bytes(job, new, reason)
