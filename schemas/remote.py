"""Files of a dataset by path or URL: read whole, or copied to this machine.

s3:// gs:// file://  ── stores, with patience      any other URL (https://) ── smart_open      path ── the disk
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from schemas import stores
from schemas.files import is_remote

COPY_BYTES = 8 << 20


def join(directory: str | Path, *names: str) -> str:
    """The path or URL of what lies below a directory."""
    directory = str(directory)
    return stores.join(directory, *names) if is_remote(directory) else os.path.join(directory, *names)


def read_bytes(location: str) -> bytes:
    """A whole file; OSError where it cannot be read, UnreachableError where its store does not answer."""
    if not is_remote(location):
        return Path(location).read_bytes()
    if stores.is_store(location):
        return stores.read(location)
    return b"".join(_blocks(location))


def copy_file(url: str, path: Path, update: Callable[[bytes], None] = lambda _: None) -> None:
    """Copy a file from a URL, block by block; `update` is given each block in order. Errors as `read_bytes`."""
    with path.open("wb") as file:
        for block in stores.blocks(url) if stores.is_store(url) else _blocks(url):
            update(block)
            file.write(block)


def _blocks(url: str) -> Iterator[bytes]:
    import smart_open

    try:
        with smart_open.open(url, "rb", compression="disable") as file:
            while block := file.read(COPY_BYTES):
                yield block
    except (NotImplementedError, ImportError, ValueError) as error:
        raise OSError(f"{type(error).__name__}: {error}") from error
