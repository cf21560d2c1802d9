"""Where shards of a remote dataset are kept, for every command that reads one. Imports nothing heavy."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.options import option

SHARD_CACHE_BYTES = 64 << 30
"""Bytes of shards in a cache, at most, where nothing else is asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheSettings:
    """A directory for shards of a remote dataset; a local one needs none."""

    cache: str = field(default="", metadata=option(metavar="DIR", path=True))
    """Local directory for shards of a remote dataset."""
    cache_bytes: int = SHARD_CACHE_BYTES
    """Bytes of shards that are kept there."""
