"""A bounded directory of remote shards on this machine's disk.

A shard is downloaded whole, checked against the manifest's sha256 on the way, and renamed when it is complete; then it
is memory-mapped like a local one. Where the directory would pass its limit, the files that were used longest ago go,
but never one in use. Each process has a directory of its own, so that none removes what another is about to open; what
an earlier run left there is used again.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from pathlib import Path

from schemas.errors import DatasetError, SettingsError
from schemas.manifest import ShardEntry
from trainer.data.settings import CacheSettings

COPY_BYTES = 8 << 20
PART_SUFFIX = ".part"


def read_remote(url: str) -> bytes:
    """A whole small file; DatasetError where it cannot be read."""
    import smart_open

    try:
        with smart_open.open(url, "rb", compression="disable") as file:
            return file.read()
    except Exception as error:
        raise _unreadable(url, error) from error


def open_cache(settings: CacheSettings) -> ShardCache | None:
    """The cache that is asked for; None where no directory is given. SettingsError where it cannot be made."""
    return ShardCache(settings.cache, limit_bytes=settings.cache_bytes) if settings.cache else None


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
        _download(url, path, entry)
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


def _download(url: str, path: Path, entry: ShardEntry) -> None:
    import smart_open

    digest = hashlib.sha256()
    part = path.with_name(path.name + PART_SUFFIX)
    try:
        with smart_open.open(url, "rb", compression="disable") as source, part.open("wb") as target:
            while data := source.read(COPY_BYTES):
                digest.update(data)
                target.write(data)
        if digest.hexdigest() != entry.sha256:
            raise DatasetError(f"{url} is not the shard that the manifest names (other sha256): write it again")
        part.replace(path)
    except DatasetError:
        raise
    except Exception as error:
        raise _unreadable(url, error) from error
    finally:
        part.unlink(missing_ok=True)


def _unreadable(url: str, error: Exception) -> DatasetError:
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return DatasetError(f"cannot read {url} ({reason}): finish the dataset there, or check the address and your access")
