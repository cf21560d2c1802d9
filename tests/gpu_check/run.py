"""Rows in processes of their own: limits, what is printed, and the JSON file.

    Check ── fork server, which has imported torch ──► a process per row ── (what, value) … ──► table, JSON
                                                            └─ missing package, error, limit ──► one line

The fork server is single-threaded and has touched no device, so a row starts in no time and no row inherits another
one's state. Rows leave each other files in one scratch directory.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from schemas.files import replace_file
from tests.gpu_check.scale import Scale
from tests.gpu_check.table import Row

FORMAT = 1
DEPENDENCIES = (
    *("apache_beam", "numba", "numpy", "pyarrow", "safetensors", "sentencepiece", "smart_open", "torch", "triton"),
    *("tqdm", "zstandard"),
)
"""What a bare machine may lack."""
LEAST_SECONDS = 5.0
"""With less time left no row begins."""
Figure = tuple[str, "float | int | str"]


class CheckError(Exception):
    """What a row found to be wrong, in one line."""


@dataclass(kw_only=True, slots=True)
class Result:
    """What is known of a row."""

    row: str
    what: str
    status: str = "running"
    """ok; missing: a package; failed: see reason; stopped: by its limit; skipped: no time was left."""
    reason: str = ""
    seconds: float = 0.0
    import_seconds: float = 0.0
    """For the modules of the row, torch imported before."""
    cpu_seconds: float = 0.0
    """Of the row's process, all threads."""
    packages: list[str] = field(default_factory=list)
    """Of DEPENDENCIES, those that the row has imported."""
    figures: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As JSON values."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}


class Check:
    """One run of some rows on one device."""

    def __init__(self, scale: Scale, *, out: str, limit_seconds: float) -> None:
        self.scale, self.out, self.limit_seconds = scale, out, limit_seconds
        self.results: list[Result] = []
        self._begin = time.monotonic()

    def run(self, rows: Sequence[Row]) -> int:
        """Measure, print and write; 1 if a row failed or was stopped."""
        if self.scale.device == "cpu":  # more threads than cores that are free wait for each other
            os.environ.setdefault("OMP_NUM_THREADS", "1")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(["torch"])
        print("| row | figure | value |\n|---|---|---|", flush=True)
        with tempfile.TemporaryDirectory(prefix="gpu-check-", ignore_cleanup_errors=True) as scratch:
            for row in rows:
                result = Result(row=row.name, what=row.what)
                self.results.append(result)
                begin = time.monotonic()
                left = self.limit_seconds - (begin - self._begin)
                if left < LEAST_SECONDS:
                    result.status, result.reason = "skipped", "no time was left"
                else:
                    try:
                        self._measure(context, row, result, scratch, min(row.limit_seconds, left))
                    finally:
                        self._write()
                result.seconds = round(time.monotonic() - begin, 2)
                words = f"{result.status}, {result.seconds:.1f} s" + (f": {result.reason}" if result.reason else "")
                print(f"| {row.name} | | {words} |", flush=True)
                self._write()
        return int(any(result.status in ("failed", "stopped") for result in self.results))

    def _measure(self, context: Any, row: Row, result: Result, scratch: str, limit_seconds: float) -> None:
        receiver, sender = context.Pipe(duplex=False)
        process = context.Process(target=measure, args=(row, self.scale, scratch, sender), daemon=False)
        process.start()
        sender.close()
        stop = time.monotonic() + limit_seconds
        try:
            while receiver.poll(max(0.0, stop - time.monotonic())):
                self._take(result, receiver.recv())
                if result.status != "running":
                    break
            else:
                result.status, result.reason = "stopped", f"not done within {limit_seconds:.0f} s"
        except EOFError:
            process.join(LEAST_SECONDS)
            result.status, result.reason = "failed", f"the process ended with {process.exitcode}"
        finally:
            _end(process)

    def _take(self, result: Result, message: tuple[str, Any]) -> None:
        kind, value = message
        if kind == "figure":
            what, figure = value
            result.figures[what] = figure
            print(f"| {result.row} | {what} | {_shown(figure)} |", flush=True)
        elif kind == "imported":
            result.import_seconds = round(value, 2)
        else:
            result.status = kind
            result.reason, result.cpu_seconds, result.packages = value

    def _write(self) -> None:
        whole = {
            "format": FORMAT,
            "device": self.scale.device,
            "seconds": round(time.monotonic() - self._begin, 1),
            "rows": [result.to_json() for result in self.results],
        }
        replace_file(self.out, (json.dumps(whole, indent=1) + "\n").encode())


def measure(row: Row, scale: Scale, scratch: str, sender: Connection) -> None:
    """A row's process: send its figures one by one, then how it ended."""
    os.setsid()
    log = open(Path(scratch, f"{row.name}.log"), "w")  # noqa: SIM115 - the process ends with it
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    begin = time.monotonic()
    status, reason = "ok", ""
    try:
        module = importlib.import_module(row.module)
        sender.send(("imported", time.monotonic() - begin))
        for figure in getattr(module, row.program)(scale, Path(scratch), *row.arguments):
            sender.send(("figure", figure))
    except ImportError as error:
        status, reason = "missing", one_line(error)
    except BaseException as error:
        traceback.print_exc()
        status, reason = "failed", one_line(error)
    imported = [name for name in DEPENDENCIES if name in sys.modules]
    sender.send((status, (reason, round(time.process_time(), 2), imported)))


def one_line(error: BaseException) -> str:
    """The kind and the first line of an error, no longer than a table bears."""
    text = next((line for line in str(error).splitlines() if line.strip()), "").replace("|", "/")
    return text[:300] if isinstance(error, (CheckError, ImportError)) else f"{type(error).__name__}: {text}"[:300]


def _end(process: Any) -> None:
    """Kill a row's process with everything that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:  # it is over, or has not begun
        process.kill()
    process.join()


def _shown(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.4g}"
