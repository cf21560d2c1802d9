"""Open bytes wherever they lie, on this machine or behind a URL."""

from __future__ import annotations

import io
import shutil
import tempfile
from typing import Any, BinaryIO, cast

import pyarrow as pa

from pipeline.storage import beam, objects
from pipeline.storage.resuming import ResumingFile
from schemas import stores
from schemas.files import is_remote
from schemas.patience import raise_if_transient

__all__ = ["BrokenInputError", "open_arrow", "open_binary", "raise_if_transient", "size_of"]

SKIP_BYTES = 1 << 20
SPOOLED_BYTES = 4 << 20
"""Smaller files of columns come from a web server at once, and not by a request for each look into them."""


class BrokenInputError(Exception):
    """The rest of a file cannot be read. Readers raise it after everything before the break was delivered."""

    def __init__(self, reason: str, detail: str, lost_share: float = 1.0) -> None:
        super().__init__(reason, detail)
        self.reason = reason
        """`truncated` or `unreadable`."""
        self.detail = detail
        self.lost_share = lost_share
        """Of the bytes that were to be read, where the reader knows; else all of them."""


def open_binary(path: str, *, at: int = 0) -> BinaryIO:
    """The stored bytes of `path` from byte `at`, never decompressed.

    Local paths are opened directly, which spares the second that importing Beam takes. A file behind a URL goes on
    where a connection breaks, and raises UnreachableError where that does not help.
    """
    file = _open(path)
    try:
        if at:
            file.seek(at)
    except (OSError, ValueError):
        # A store of smart_open's that cannot seek.
        file.close()
        file = _open(path)
        while at > 0 and (skipped := file.read(min(at, SKIP_BYTES))):
            at -= len(skipped)
    return file


def _open(path: str) -> BinaryIO:
    if not is_remote(path):
        return open(path, "rb")
    if _is_web(path):
        # Its libraries take a tenth of a second.
        from pipeline.storage import web

        return cast(BinaryIO, ResumingFile(web.WebSource(path)))
    if stores.is_store(path):
        return cast(BinaryIO, ResumingFile(objects.ObjectSource(path)))
    if beam.serves(path):
        return cast(BinaryIO, ResumingFile(beam.BeamSource(path)))
    import smart_open

    return smart_open.open(path, "rb", compression="disable")


def _is_web(path: str) -> bool:
    return path.lower().startswith(("http://", "https://"))


def open_arrow(path: str) -> Any:
    """`path` as a pyarrow.NativeFile. Not mapped into memory: a file that shrinks meanwhile would end the process.

    A file of a web server is copied to this machine's temporary directory first, unless it is long and the server
    serves ranges.
    """
    if not is_remote(path):
        return pa.OSFile(path, "rb")
    file = open_binary(path)
    size_bytes = size_of(file)
    if size_bytes is not None and file.seekable() and (size_bytes > SPOOLED_BYTES or not _is_web(path)):
        return pa.PythonFile(file, mode="r")
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as what is returned
    with file:
        shutil.copyfileobj(file, copy, SKIP_BYTES)
    copy.seek(0)
    return pa.PythonFile(copy, mode="r")


def size_of(file: BinaryIO) -> int | None:
    """Bytes in an open file; None where the store does not tell."""
    if isinstance(file, ResumingFile):
        return file.size_bytes
    try:
        here = file.tell()
        size = file.seek(0, io.SEEK_END)
        file.seek(here)
    except (OSError, ValueError):
        return None
    return size if isinstance(size, int) and size >= 0 else None
