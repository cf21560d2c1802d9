"""Seconds per stage of a unit of work; they go into the report, never into the dataset.

    clock = Clock()
    with clock.stage("neural"):              counted for "neural"
        ...
        with attribute_time_to("byte_lm"):   counted for "byte_lm" and taken from "neural"
            ...

The second form is for code that is called inside a stage and knows neither the clock nor the stage.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")


class Clock:
    """Adds up seconds per stage. One clock belongs to one thread."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        """Stage to its seconds so far."""

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds for a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the seconds of the body for a stage, also where the body raises."""
        begin = time.monotonic()
        token = _running.set((self, name))
        try:
            yield
        finally:
            _running.reset(token)
            self.add(name, time.monotonic() - begin)

    def each(self, stage: str, items: Iterator[Item]) -> Iterator[Item]:
        """Yield the items; the time spent on making them, not on using them, is counted for `stage`."""
        while True:
            begin = time.monotonic()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self.add(stage, time.monotonic() - begin)
            yield item


_running: ContextVar[tuple[Clock, str] | None] = ContextVar("running", default=None)
"""The clock and the stage that this thread is in; every thread has its own."""


@contextmanager
def attribute_time_to(stage: str) -> Iterator[None]:
    """Count the seconds of the body for `stage` and take them from the stage that this thread is in, if any."""
    running = _running.get()
    if running is None:
        yield
        return
    clock, outer = running
    begin = time.monotonic()
    try:
        with clock.stage(stage):
            yield
    finally:
        clock.add(outer, begin - time.monotonic())
