"""A bounded directory of remote shards on this machine's disk.

A shard is downloaded whole, checked against the manifest's sha256 on the way, and renamed when it is complete; then it
is memory-mapped like a local one. Where the directory would pass its limit, the files that were used longest ago go,
but never one in use. Each process has a directory of its own, so that none removes what another is about to open; what
an earlier run left there is used again.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
import weakref
from collections import OrderedDict
from pathlib import Path

from schemas.errors import SettingsError
from schemas.files import is_remote
from schemas.manifest import ShardEntry
from schemas.shard_files import PART_SUFFIX, fetch_shard

logger = logging.getLogger(__name__)


def open_cache(location: str, directory: str, limit_bytes: int) -> ShardCache | None:
    """A cache for a dataset in `directory`; None for a local dataset, which needs none.

    Where no directory is named, shards are in the temporary directory (TMPDIR), take at most half of what is free there
    for all processes of this machine, and go with the process. SettingsError where the directory cannot be made.
    """
    if directory or not is_remote(location):
        return ShardCache(directory, limit_bytes=limit_bytes) if directory else None
    temporary = tempfile.mkdtemp(prefix="shards-")
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    limit_bytes = min(limit_bytes, shutil.disk_usage(temporary).free // (2 * processes))
    cache = ShardCache(temporary, limit_bytes=limit_bytes)
    weakref.finalize(cache, shutil.rmtree, temporary, ignore_errors=True)
    logger.info(
        "shards of %s are copied to %s, at most %.1f GB; --cache DIR keeps them for later runs",
        *(location, temporary, limit_bytes / 1e9),
    )
    return cache


class ShardCache:
    """At most `limit_bytes` of shards in `directory`."""

    def __init__(self, directory: str | Path, *, limit_bytes: int) -> None:
        self.directory, self.limit_bytes = Path(directory), limit_bytes
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise SettingsError(f"cannot make cache directory {directory} ({error}): choose another") from error
        self._sizes: OrderedDict[str, int] = OrderedDict()
        """Bytes by file name, the least recently used first."""
        files = [(path.stat().st_mtime_ns, path.name, path) for path in sorted(self.directory.glob("*.arrow"))]
        for _, name, path in sorted(files):
            self._sizes[name] = path.stat().st_size
        for path in self.directory.glob(f"*{PART_SUFFIX}"):
            path.unlink()

    def check_room(self, shards: tuple[ShardEntry, ...], open_shards: int) -> None:
        """SettingsError where `open_shards` of these at once may not fit."""
        sizes = sorted((shard.file_bytes for shard in shards), reverse=True)
        needed = sum(sizes[: open_shards + 1])
        if needed > self.limit_bytes:
            raise SettingsError(
                f"the shard cache holds {self.limit_bytes:,} bytes, {open_shards} open shards may need {needed:,}: "
                "raise --cache-bytes, or use fewer lanes or more ranks"
            )

    def fetch(self, url: str, entry: ShardEntry, in_use: set[str]) -> Path:
        """The local copy of a shard, downloaded if need be. `in_use`: names of the shards that must stay."""
        name = _file_name(entry)
        path = self.directory / name
        if self._sizes.get(name) == entry.file_bytes and path.exists():
            self._sizes.move_to_end(name)
            os.utime(path)
            return path
        self._sizes.pop(name, None)
        self._make_room(entry.file_bytes, in_use)
        fetch_shard(url, entry, path)
        self._sizes[name] = entry.file_bytes
        return path

    def _make_room(self, size_bytes: int, in_use: set[str]) -> None:
        for name in list(self._sizes):
            if sum(self._sizes.values()) + size_bytes <= self.limit_bytes:
                return
            if name.split("-", 1)[1] not in in_use:
                (self.directory / name).unlink(missing_ok=True)
                del self._sizes[name]
        held = sum(self._sizes.values())
        if held + size_bytes > self.limit_bytes:
            raise SettingsError(
                f"the shard cache {self.directory} holds {self.limit_bytes:,} bytes, of which {held:,} are in use and "
                f"{size_bytes:,} more are needed: raise --cache-bytes, or use fewer lanes or more ranks"
            )


def _file_name(entry: ShardEntry) -> str:
    return f"{entry.sha256[:16]}-{entry.name}"
