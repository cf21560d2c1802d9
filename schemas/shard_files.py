"""The shards of a finished dataset as files of this machine, and the record batches in them.

    local    the file itself, its bytes held against the manifest's sha256
    at URL   a copy in the temporary directory (TMPDIR), held against it on the way, and gone when its rows are read

So of a remote dataset one shard at a time is on the disk, whatever its size. Who reads a dataset twice keeps copies
(`KeptShards`), as far as there is room.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Container, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pyarrow as pa

from schemas import stores
from schemas.errors import DatasetError, SettingsError, one_line
from schemas.files import file_sha256, is_remote
from schemas.manifest import MANIFEST_NAME, Manifest, ShardEntry, read_manifest
from schemas.patience import NO_ROOM
from schemas.remote import copy_file, join
from schemas.shards import open_shard, read_batch, record_batches

PART_SUFFIX = ".part"


def check_shard(path: str | Path, entry: ShardEntry) -> None:
    """DatasetError where a local shard's bytes are not those of the manifest; the whole file is read.

    Arrow files have no checksums: of 40 flipped bits, 11 gave other symbols without any error.
    """
    try:
        digest = file_sha256(path)
    except FileNotFoundError as error:
        raise _missing(str(path)) from error
    except OSError as error:
        raise DatasetError(f"shard {path} cannot be read ({error.strerror}); repair that, or write it again") from error
    if digest != entry.sha256:
        raise _damaged(str(path), digest, entry)


def _missing(location: str) -> DatasetError:
    return DatasetError(f"shard {location} is missing, {MANIFEST_NAME} names it: write it again")


def _damaged(location: str, digest: str, entry: ShardEntry) -> DatasetError:
    return DatasetError(
        f"shard {location} is damaged: its sha256 is {digest[:12]}…, {MANIFEST_NAME} says {entry.sha256[:12]}…: "
        "write it again"
    )


def fetch_shard(url: str, entry: ShardEntry, path: Path) -> None:
    """Copy a shard from a URL to `path`, where it appears when its sha256 is found right.

    DatasetError where it is missing, another, or cannot be read; SettingsError where there is no room for it;
    UnreachableError where its store does not answer.
    """
    digest = hashlib.sha256()
    part = path.with_name(path.name + PART_SUFFIX)
    try:
        copy_file(url, part, digest.update)
        if digest.hexdigest() != entry.sha256:
            raise _damaged(url, digest.hexdigest(), entry)
        part.replace(path)
    except FileNotFoundError as error:
        raise _missing(url) from error
    except OSError as error:
        if error.errno in NO_ROOM:
            raise SettingsError(
                f"no room in {path.parent} for a copy of {url} ({error.strerror}); free some, or set TMPDIR"
            ) from error
        raise DatasetError(f"cannot read {url} ({one_line(error)}): check the address and your access") from error
    finally:
        part.unlink(missing_ok=True)


class KeptShards:
    """Copies of remote shards in at most half of what is free in the temporary directory; gone after the body."""

    def __enter__(self) -> KeptShards:
        self._directory = tempfile.TemporaryDirectory(prefix="shards-")
        self._room_bytes = shutil.disk_usage(self._directory.name).free // 2
        self._paths: dict[str, Path] = {}
        return self

    def __exit__(self, *_: object) -> None:
        self._directory.cleanup()

    def path(self, url: str, entry: ShardEntry) -> Path | None:
        """The copy of a shard, fetched when it is first asked for; None where it has no room.

        Errors as `fetch_shard`.
        """
        if url not in self._paths and entry.file_bytes <= self._room_bytes:
            path = Path(self._directory.name, f"{len(self._paths)}.arrow")
            fetch_shard(url, entry, path)
            self._room_bytes -= entry.file_bytes
            self._paths[url] = path
        return self._paths.get(url)


@contextmanager
def shard_file(directory: str | Path, entry: ShardEntry, kept: KeptShards | None = None) -> Iterator[Path]:
    """A shard of a dataset as a file of this machine, checked as `check_shard` does; a copy is gone after the body.

    kept: copies that stay, for who reads the dataset again. What was memory-mapped stays readable. Errors as
    `check_shard` and `fetch_shard`.
    """
    location = join(directory, entry.name)
    if not is_remote(location):
        check_shard(location, entry)
        yield Path(location)
        return
    copy = kept.path(location, entry) if kept else None
    if copy is not None:
        yield copy
        return
    with tempfile.TemporaryDirectory(prefix="shard-") as temporary:
        path = Path(temporary, entry.name)
        fetch_shard(location, entry, path)
        yield path


def open_shards(directory: str | Path, kept: KeptShards | None = None) -> Iterator[pa.RecordBatch]:
    """The record batches of a finished dataset, shard by shard, memory-mapped; `kept` as in `shard_file`.

    The sizes of all shards are checked before the first batch, the sha256 of each before its own; DatasetError names
    the one that is damaged.
    """
    manifest = read_manifest(directory)
    _check_sizes(directory, manifest)
    for shard in manifest.shards:
        rows, location = 0, join(directory, shard.name)
        with shard_file(directory, shard, kept) as path:
            for batch in record_batches(open_shard(path), location):
                rows += batch.num_rows
                yield batch
        if rows != shard.rows:
            raise DatasetError(f"shard {location} has {rows} rows, {MANIFEST_NAME} says {shard.rows}: write it again")


def read_batches(
    directory: str | Path, numbers: Container[int], kept: KeptShards | None = None
) -> Iterator[pa.RecordBatch]:
    """The record batches of a finished dataset that have these numbers, counted from 0 over all shards.

    `kept` as in `shard_file`. The others are not decoded. DatasetError as `open_shards`, but for shards whose rows are
    not counted.
    """
    first = 0
    for shard in read_manifest(directory).shards:
        location = join(directory, shard.name)
        with shard_file(directory, shard, kept) if is_remote(location) else nullcontext(Path(location)) as path:
            reader = open_shard(path)
            for index in range(reader.num_record_batches):
                if first + index in numbers:
                    yield read_batch(reader, index, location)
        first += reader.num_record_batches


def _check_sizes(directory: str | Path, manifest: Manifest) -> None:
    """DatasetError for the first shard that is missing or has another size; of a store, a listing tells."""
    listed = stores.within(str(directory)) if stores.is_store(str(directory)) else {}
    for shard in manifest.shards:
        location = join(directory, shard.name)
        if stores.is_store(location):
            size = listed[shard.name].size_bytes if shard.name in listed else None
        elif is_remote(location):
            continue
        else:
            size = Path(location).stat().st_size if Path(location).is_file() else None
        if size != shard.file_bytes:
            found = "does not exist" if size is None else f"has {size} bytes"
            raise DatasetError(f"shard {location} {found}, {MANIFEST_NAME} says {shard.file_bytes}: write it again")
