"""Opening bytes wherever they lie, and telling bad data from a bad connection."""

from __future__ import annotations

import io
from typing import Any, BinaryIO, cast

import pyarrow as pa


class BrokenInput(Exception):
    """The rest of a file cannot be read. Readers raise it after everything before the break was delivered."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        """`truncated` or `unreadable`."""
        self.detail = detail


def is_remote(path: str) -> bool:
    """Whether `path` is a URL and not a local path."""
    return "://" in path


def one_line(error: BaseException) -> str:
    """The error's own words on one line, or its class name if it has none."""
    return " ".join(str(error).split()) or type(error).__name__


def known_to_beam(path: str) -> bool:
    """Whether one of Beam's file systems serves the scheme of `path`."""
    from apache_beam.io.filesystems import FileSystems

    try:
        FileSystems.get_filesystem(path)
    except ValueError:
        return False
    return True


def open_binary(path: str) -> BinaryIO:
    """The stored bytes of `path`, never decompressed.

    Local paths are opened directly, which spares the second that importing Beam takes; URLs go through Beam's
    file systems, or through smart_open where Beam does not know the scheme.
    """
    if not is_remote(path):
        return open(path, "rb")
    if known_to_beam(path):
        from apache_beam.io.filesystem import CompressionTypes
        from apache_beam.io.filesystems import FileSystems

        return FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED)
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
