"""Seconds per stage of a unit; they go into the report, never into the dataset."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")
_running = threading.local()


class Clock:
    """`with clock("read"): …` counts the body's seconds for the stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.stage, self._begin = "", 0.0

    def __call__(self, stage: str) -> Clock:
        """The stage that the next `with` counts for."""
        self.stage = stage
        return self

    def __enter__(self) -> None:
        self._begin = time.monotonic()
        _running.clock = self

    def __exit__(self, *_: object) -> None:
        _running.clock = None
        self.add(self.stage, time.monotonic() - self._begin)

    def add(self, stage: str, seconds: float) -> None:
        """Count seconds for a stage."""
        self.seconds[stage] = self.seconds.get(stage, 0.0) + seconds

    def each(self, stage: str, items: Iterator[Item]) -> Iterator[Item]:
        """The items, the time spent on making them counted for `stage`."""
        while True:
            begin = time.monotonic()
            try:
                item = next(items)
            except StopIteration:
                return
            finally:
                self.add(stage, time.monotonic() - begin)
            yield item


@contextmanager
def apart(stage: str) -> Iterator[None]:
    """Count the body's seconds for a stage of its own, not for the one that this thread's clock runs for, if any."""
    begin = time.monotonic()
    try:
        yield
    finally:
        clock: Clock | None = getattr(_running, "clock", None)
        if clock is not None:
            seconds = time.monotonic() - begin
            clock.add(stage, seconds)
            clock.add(clock.stage, -seconds)
