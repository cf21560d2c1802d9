"""Beam's file systems, for input at URLs that are neither of a store of `schemas.stores` nor of a web server (hdfs://).

Beam is imported when a path first needs it, for that takes a second.
"""

from __future__ import annotations

import io
from typing import Any

from schemas.patience import patiently

STORED_AS_IT_IS = "uncompressed"
"""The compression to name to Beam, which would pack and unpack by a path's suffix otherwise."""


def file_systems() -> Any:
    """Beam's FileSystems class, with default options where no pipeline has set any: some do not open without."""
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.options.value_provider import RuntimeValueProvider

    if FileSystems._pipeline_options is None and RuntimeValueProvider.runtime_options is None:
        FileSystems.set_options(PipelineOptions([]))
    return FileSystems


def serves(path: str) -> bool:
    """Whether one of Beam's file systems is for the scheme of `path`."""
    try:
        file_systems().get_filesystem(path)
    except ValueError:
        return False
    return True


def sizes(pattern: str) -> dict[str, int | None]:
    """Path to size in bytes of every object that a remote pattern matches, sorted by path; directories are left out.

    A size that the store does not tell is None.
    """
    matches = patiently(lambda: file_systems().match([pattern])[0].metadata_list, pattern)
    by_path = sorted(matches, key=lambda match: match.path)
    return {match.path: _known(match.size_in_bytes) for match in by_path if not match.path.endswith("/")}


def _known(size: int | None) -> int | None:
    return size if size is not None and size >= 0 else None


class BeamSource:
    """A file of one of Beam's file systems, for a `ResumingFile`."""

    def __init__(self, path: str) -> None:
        self.name = path
        self.size_bytes: int | None = None
        self.is_seekable = True
        self._path = path

    def open_at(self, position: int) -> Any:
        """The file from `position` on; whatever the store's client raises where it cannot be opened."""
        file = file_systems().open(self._path, compression_type=STORED_AS_IT_IS)
        if self.size_bytes is None:
            self.size_bytes = _known(file.seek(0, io.SEEK_END))
        file.seek(position)
        return file
