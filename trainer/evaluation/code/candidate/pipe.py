"""One side's end of the two pipes: messages with their length in front."""

from __future__ import annotations

import os
from collections.abc import Callable

_HEAD = 8
_CHUNK = 1 << 16


class Pipe:
    """Sends and receives whole messages."""

    def __init__(self, receiving: int, sending: int, wait: Callable[[], None] | None = None) -> None:
        """wait: called before each read; returns once there is something to read."""
        self._receiving, self._sending = receiving, sending
        self._wait = wait or (lambda: None)
        self._rest = b""

    def send(self, message: bytes) -> None:
        """All of the message; OSError where nobody reads any more."""
        view = memoryview(len(message).to_bytes(_HEAD, "little") + message)
        while view:
            view = view[os.write(self._sending, view[: 1 << 20]) :]

    def receive(self) -> bytes:
        """The next message; EOFError where nobody writes any more."""
        size = int.from_bytes(self._take(_HEAD), "little")
        return self._take(size)

    def _take(self, size: int) -> bytes:
        parts, have = [self._rest], len(self._rest)
        while have < size:
            self._wait()
            parts.append(os.read(self._receiving, max(_CHUNK, min(size - have, 1 << 20))))
            if not parts[-1]:
                raise EOFError
            have += len(parts[-1])
        whole = b"".join(parts)
        self._rest = whole[size:]
        return whole[:size]
