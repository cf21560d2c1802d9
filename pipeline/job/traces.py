"""One line where Beam's workers print pages: users' errors that end as one line are not told with traces before."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any, TextIO

from schemas.errors import UserError

WORKER_ERROR = re.compile(r"schemas\.errors\.(\w+): (.+?)(?: \[while running|\\n|\n|$)")
"""A user's error in what a runner says of a worker: its class and its message."""
_WORKER_LOGGERS = ("apache_beam.runners.common", "apache_beam.runners.worker.sdk_worker")


class _WithoutTraces:
    """The error stream without the traces of users' errors, which Beam's workers print whole."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._thread: int | None = None
        """That has printed a trace, and will end it with a newline."""

    def write(self, text: str) -> int:
        """Pass on what is no such trace."""
        thread = threading.get_ident()
        if text.startswith("Traceback (most recent") and WORKER_ERROR.search(text) is not None:
            self._thread = thread
            return len(text)
        if text == "\n" and self._thread == thread:
            self._thread = None
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def one_line_for_users() -> Iterator[None]:
    """Keep the workers that Beam has in this process from telling with traces what `user_error` tells in one line."""

    def keep(record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return not isinstance(error, UserError) and WORKER_ERROR.search(record.getMessage()) is None

    loggers = [logging.getLogger(name) for name in _WORKER_LOGGERS]
    for logger in loggers:
        logger.addFilter(keep)
    try:
        with redirect_stderr(_WithoutTraces(sys.stderr)):
            yield
    finally:
        for logger in loggers:
            logger.removeFilter(keep)
