"""A small, fixed part of the held-out documents, for what is measured again and again while a model trains.

    shards by a hash of (seed, number) ─► record batches of each, by such a hash ─► documents, by a hash of their ids
    the shards give one in turn: its first bytes, at most a sixteenth of the sample, until the sample is full

Eight shards are opened, further ones where these hold out too little: of a remote dataset each is fetched whole. A
document is cut at its end alone, so every byte that is left has all the bytes before it.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

from schemas.batches import Documents
from schemas.held_out import hash_share
from trainer.data.dataset import Dataset

SHARDS_OPENED = 8
"""Shards that a sample comes from where they hold out enough."""
MOST_OF_ONE_DOCUMENT = 1 / 16
"""Share of the sample that one document gives at most, so that no long one is all of it."""


def sample_held_out(dataset: Dataset, *, seed: int, limit_bytes: int) -> Documents:
    """At most `limit_bytes` of raw bytes of held-out documents, each byte once; fewer where no more are held out.

    A function of the dataset, its held-out share and the seed: of no rank, no epoch and no earlier call.
    """
    salt = f"held-out-sample-{seed}"
    shards = range(len(dataset.shards) if dataset.held_out.share else 0)
    order = sorted(shards, key=lambda shard: hash_share(salt, str(shard)))
    most = max(1, int(limit_bytes * MOST_OF_ONE_DOCUMENT))
    waiting = iter(_texts(dataset, shard, salt) for shard in order)
    opened = list(islice(waiting, SHARDS_OPENED))
    texts: list[bytes] = []
    left = limit_bytes
    while opened and left:
        for shard in list(opened):
            text = next(shard, b"")
            if not text:
                opened.remove(shard)
                opened += islice(waiting, 1)
            elif left:
                texts.append(text[: min(most, left)])
                left -= len(texts[-1])
    return Documents.from_bytes(texts)


def _texts(dataset: Dataset, shard: int, salt: str) -> Iterator[bytes]:
    """The held-out documents of a shard that have any bytes."""
    reader = dataset.reader(shard)
    for index in sorted(range(len(reader.starts) - 1), key=lambda index: hash_share(salt, f"{shard}/{index}")):
        doc_ids, documents = dataset.held_out_in(reader, index)
        for number in sorted(range(len(doc_ids)), key=lambda number: hash_share(salt, doc_ids[number])):
            begin, end = documents.offsets[number], documents.offsets[number + 1]
            if end > begin:
                yield documents.raw[begin:end].tobytes()
