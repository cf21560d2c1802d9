"""A server of this process, answering from a thread while a test's body runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import HTTPServer
from typing import TypeVar

Server = TypeVar("Server", bound=HTTPServer)
POLL_SECONDS = 0.02
"""Between looks whether it shall end."""


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """The server, up while the body runs; then it is closed and its thread is gone."""
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
