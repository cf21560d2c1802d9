"""Which datasets are read, and where shards of remote ones are kept. Imports nothing heavy."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field

from schemas.errors import SettingsError
from schemas.options import option

SHARD_CACHE_BYTES = 64 << 30
"""Bytes of shards in a cache, at most, where nothing else is asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheSettings:
    """A directory for shards of a remote dataset; a local one needs none."""

    cache: str = field(default="", metadata=option(metavar="DIR", default="a temporary one", path=True))
    """Local directory for shards of a remote dataset, which later runs find there."""
    cache_bytes: int = SHARD_CACHE_BYTES
    """Bytes of shards that are kept there."""

    def __post_init__(self) -> None:
        if self.cache_bytes < 1:
            raise SettingsError(f"--cache-bytes is {self.cache_bytes}; give at least the bytes of a shard")


@dataclass(frozen=True, kw_only=True, slots=True)
class Source:
    """A dataset of a run and its weight among the others."""

    location: str
    weight: float


def sources(text: str) -> tuple[Source, ...]:
    """The datasets of `DIR`, or of `DIR:WEIGHT,DIR:WEIGHT,…`; SettingsError for a list with anything else in it."""
    if "," not in text:
        return (Source(location=text, weight=1.0),)
    found = []
    for word in text.split(","):
        location, _, weight = word.rpartition(":")
        try:
            value = float(weight)
        except ValueError:
            value = math.nan
        if not location or not 0 < value < math.inf:
            raise SettingsError(
                f"--data {text} names several datasets, and {word!r} is none with a weight above 0; write "
                "DIR:WEIGHT,DIR:WEIGHT, such as data/code:0.7,data/text:0.3"
            )
        found.append(Source(location=os.path.expanduser(location), weight=value))
    places = [source.location for source in found]
    for place in places:
        if places.count(place) > 1:
            raise SettingsError(f"--data {text} names {place} twice; give it once, with both weights added")
    return tuple(found)
