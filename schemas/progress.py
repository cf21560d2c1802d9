"""Work that takes long says what it does, how fast, and how long it will still take.

    on a terminal   byte LM:  32%|███▏      | 120/370 [00:20<00:41, 6.1 steps/s]
    in a log        byte LM: 120 of 370 steps (32 %), 6.1 steps/s, 41 s left; 2.71 bits per byte

In a log a line comes every few seconds, later at most a minute apart, also while nothing moves. Lines are messages of
this module's logger, so a program that wants none sees none.
"""

from __future__ import annotations

import logging
import sys
import threading
import time
from types import TracebackType
from typing import Any

logger = logging.getLogger(__name__)

FIRST_LINE_SECONDS = 5.0
LONGEST_SILENCE_SECONDS = 60.0


class Progress:
    """How far some work is. A context manager; `to` may be called from any thread."""

    def __init__(self, what: str, *, total: float | None = None, unit: str = "", show: bool = True) -> None:
        """what: its name. total: all there is to do, None where unknown. unit: of it, `B` for bytes, `steps`."""
        self.what, self.total, self.unit, self.show = what, total, unit, show
        self._first: float | None = None
        self._done, self._note = 0.0, ""
        self._stop = threading.Event()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        self._begin = time.monotonic()
        if not self.show:
            return self
        if sys.stderr.isatty():
            from tqdm import tqdm

            # Of work that is not counted, only the time is known.
            shape = None if self.total or self.unit else "{desc}: {elapsed}"
            unit = "B" if self.unit == "B" else f" {self.unit}"
            scaled = self.unit == "B"
            self._bar = tqdm(total=self.total, unit=unit, unit_scale=scaled, desc=self.what, bar_format=shape)
        self._thread = threading.Thread(target=self._report, name=f"progress of {self.what}", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        if self.show:
            self._thread.join()
        if self._bar is not None:
            self._refresh()
            self._bar.close()

    def to(self, done: float, note: str = "") -> None:
        """So much is done, counted from the beginning, not from the last call. note: what else is worth a glance."""
        if self._first is None:
            # What an earlier process did tells nothing of this one's speed.
            self._first, self._begin = done, time.monotonic()
        self._done, self._note = done, note

    def _report(self) -> None:
        begin, wait = time.monotonic(), FIRST_LINE_SECONDS
        while not self._stop.wait(0.2 if self._bar is not None else wait):
            if self._bar is not None:
                self._refresh()
                continue
            first = self._done if self._first is None else self._first
            seconds = time.monotonic() - self._begin
            logger.info(
                "%s: %s",
                self.what,
                progress_line(self._done, self.total, self._done - first, seconds, self.unit, self._note),
            )
            wait = min(LONGEST_SILENCE_SECONDS, max(FIRST_LINE_SECONDS, (time.monotonic() - begin) / 10))

    def _refresh(self) -> None:
        self._bar.n = self._done
        self._bar.set_postfix_str(self._note, refresh=False)
        self._bar.refresh()


def progress_line(done: float, total: float | None, lately: float, seconds: float, unit: str, note: str = "") -> str:
    """A line of a log: `done` of `total` units, of which this process did `lately` in `seconds`."""
    if total is None and not done:
        return f"{duration(seconds)} so far"
    parts = []
    if total is None:
        parts.append(_amount(done, unit))
    else:
        parts.append(
            f"{_amount(done, unit, named=False)} of {_amount(total, unit)} ({100 * done / max(total, 1):.0f} %)"
        )
    rate = lately / seconds if seconds > 0 else 0.0
    if rate > 0:
        per_second = unit == "B" or rate >= 0.5
        parts.append(f"{_rate(rate, unit)}/s" if per_second else f"{duration(1 / rate)} each")
        if total is not None:
            parts.append(f"{duration(max(0.0, total - done) / rate)} left")
    else:
        parts.append(f"{duration(seconds)} so far")
    return ", ".join(parts) + (f"; {note}" if note else "")


def duration(seconds: float) -> str:
    """A time for people: 41 s, 12 min, 3.5 h, 90 days."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 2 * 3600:
        return f"{seconds / 60:.0f} min"
    if seconds < 2 * 86400:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:,.0f} days"


def _amount(number: float, unit: str, *, named: bool = True) -> str:
    if unit == "B":
        return f"{number / 1e6:,.1f}" + (" MB" if named else "")
    return f"{number:,.0f}" + (f" {unit}" if unit and named else "")


def _rate(rate: float, unit: str) -> str:
    if unit == "B":
        return f"{rate / 1e6:,.1f} MB"
    return f"{rate:,.1f} {unit}".rstrip()
