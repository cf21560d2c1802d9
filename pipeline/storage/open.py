"""Open bytes wherever they lie, on this machine or behind a URL, and tell bad data from a bad connection."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, cast

import pyarrow as pa

from pipeline.storage import beam
from schemas.files import is_remote

SKIP_BYTES = 1 << 20


class BrokenInputError(Exception):
    """The rest of a file cannot be read. Readers raise it after everything before the break was delivered."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        """`truncated` or `unreadable`."""
        self.detail = detail


def one_line(error: BaseException) -> str:
    """The error's own words on one line, or its class name if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def open_binary(path: str, *, at: int = 0) -> BinaryIO:
    """The stored bytes of `path` from byte `at`, never decompressed.

    Local paths are opened directly, which spares the second that importing Beam takes; URLs go through Beam's
    file systems, or through smart_open where Beam does not know the scheme.
    """
    file = _open(path)
    try:
        if at:
            file.seek(at)
    except (OSError, ValueError):
        # A web server that does not serve ranges.
        file.close()
        file = _open(path)
        while at > 0 and (skipped := file.read(min(at, SKIP_BYTES))):
            at -= len(skipped)
    return file


def _open(path: str) -> BinaryIO:
    if not is_remote(path):
        return open(path, "rb")
    if beam.serves(path):
        return beam.file_systems().open(path, compression_type=beam.STORED_AS_IT_IS)
    import smart_open

    return cast(BinaryIO, smart_open.open(path, "rb", compression="disable"))


def open_arrow(path: str) -> Any:
    """`path` as a pyarrow.NativeFile. Not mapped into memory: a file that shrinks meanwhile would end the process."""
    return pa.PythonFile(open_binary(path), mode="r") if is_remote(path) else pa.OSFile(path, "rb")


def raise_if_transient(error: BaseException) -> None:
    """Raise connection and time-out errors again: they say nothing about the data, and the runner can try once more."""
    if isinstance(error, (ConnectionError, TimeoutError)):
        raise error


def size_of(file: BinaryIO) -> int:
    """Bytes in an open file, 0 where the server does not tell."""
    try:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
    except (OSError, ValueError):
        return 0
    return max(size or 0, 0)
