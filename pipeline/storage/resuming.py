"""A remote file that goes on where a connection broke.

read ──► body at the position ──► bytes
           └─ cut, stalled, refused ──► opened again at the position, with patience
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from schemas.patience import patiently

MAX_READ_BYTES = 1 << 20
"""Read at once, so that little is read twice when a connection breaks."""
SKIP_BYTES = 1 << 20
"""A forward seek of at most this reads on; a longer one opens the file anew."""


class Body(Protocol):
    """Bytes of a file from some position to its end."""

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; none at the end."""

    def close(self) -> None:
        """Give the connection back."""


class Source(Protocol):
    """A file of a remote store, which can be opened anywhere."""

    name: str
    """For people: its URL, without a query, which may be a secret."""
    size_bytes: int | None
    """Known after the first `open_at`, if ever."""
    is_seekable: bool
    """Whether opening it in its middle is cheap."""

    def open_at(self, position: int) -> Body:
        """Its bytes from `position` on, which is not behind its end."""


class ResumingFile(io.RawIOBase):
    """A binary file over a `Source`. Reads end in bytes, in the end of the file, or in UnreachableError."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._position = 0
        self._body: Body | None = None
        self._body_position = 0
        self._attempt(self._open)

    @property
    def size_bytes(self) -> int | None:
        """Bytes in the file; None where the store does not tell."""
        return self.source.size_bytes

    def readable(self) -> bool:
        """Yes."""
        return True

    def seekable(self) -> bool:
        """Whether any place of it can be reached at little cost."""
        return self.size_bytes is not None and self.source.is_seekable

    def tell(self) -> int:
        """Where the next read begins."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move; nothing is asked of the store before the next read. OSError for the end of a file of unknown size."""
        if whence == io.SEEK_END and self.size_bytes is None:
            raise io.UnsupportedOperation(f"{self.source.name} has no known size")
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size_bytes or 0}[whence]
        if base + offset < 0:
            raise ValueError(f"a position of {base + offset} bytes")
        self._position = base + offset
        return self._position

    def size(self) -> int:
        """Bytes in the file, as pyarrow asks for them."""
        if self.size_bytes is None:
            raise io.UnsupportedOperation(f"{self.source.name} has no known size")
        return self.size_bytes

    def read(self, size: int | None = -1, /) -> bytes:
        """Exactly `size` bytes, or what is left of the file; all that is left where `size` is negative or None."""
        parts: list[bytes] = []
        left = size if size is not None and size >= 0 else None
        while left is None or left > 0:
            wanted = MAX_READ_BYTES if left is None else min(left, MAX_READ_BYTES)
            part = self._attempt(partial(self._read_some, wanted))
            if not part:
                break
            parts.append(part)
            left = left - len(part) if left is not None else None
        return b"".join(parts)

    def readall(self) -> bytes:
        """All that is left."""
        return self.read()

    def readinto(self, buffer: Any, /) -> int:
        """Fill a buffer, as far as the file goes."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        """Give the connection back."""
        self._drop()
        super().close()

    def _attempt(self, action: Callable[[], bytes]) -> bytes:
        def once() -> bytes:
            try:
                return action()
            except BaseException:
                self._drop()
                raise

        return patiently(once, self.source.name)

    def _open(self) -> bytes:
        self._body, self._body_position = self.source.open_at(self._position), self._position
        return b""

    def _read_some(self, size: int) -> bytes:
        """At least one byte, if there is one before the end."""
        end = self.size_bytes
        if end is not None and self._position >= end:
            return b""
        if self._body is None or not 0 <= self._position - self._body_position <= SKIP_BYTES:
            self._drop()
            self._open()
        assert self._body is not None
        while self._body_position < self._position:
            skipped = self._body.read(self._position - self._body_position)
            if not skipped:
                return self._at_end_of_body()
            self._body_position += len(skipped)
        data = self._body.read(size)
        if not data:
            return self._at_end_of_body()
        self._body_position += len(data)
        self._position += len(data)
        return data

    def _at_end_of_body(self) -> bytes:
        """The end of the file, or, where it is not, an error that opens it again."""
        if self.size_bytes is not None and self._body_position < self.size_bytes:
            raise ConnectionError(f"the connection ended after {self._body_position} of {self.size_bytes} bytes")
        return b""

    def _drop(self) -> None:
        body, self._body = self._body, None
        if body is not None:
            body.close()
