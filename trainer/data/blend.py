"""Several datasets in one run, by weights: which of them a sequence comes from is a draw by (seed, its number).

    --data a:0.7,b:0.3 ─► sources ─► a Dataset each, whose encodings are those of one compressor ─► Blend
    sequence g ── draw(seed, g) ──► dataset p ── lane g mod lanes of p ──► the next sequence of that lane

Each lane of the loader has a lane for every dataset, and each of these is what it would be in a run on that dataset
alone. So weights are shares of the ids that are trained on, whatever the lengths of documents; a small dataset begins
its next epoch while a large one is still in its first.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from kernels.counter_rng import UNIT_BITS, Purpose, draws, key
from schemas.errors import DatasetError
from trainer.data.dataset import Dataset


class Blend:
    """One dataset or several, and the share of the sequences that each gives."""

    def __init__(self, parts: Sequence[Dataset], weights: Sequence[float] = (1.0,)) -> None:
        """weights: one for each part, above 0. DatasetError where the parts' encodings are not of one compressor."""
        assert len(parts) == len(weights) > 0 and all(weight > 0 for weight in weights), weights
        self.parts = tuple(parts)
        total = math.fsum(weights)  # Not `sum`, whose rounding changed with Python 3.12.
        self.shares = tuple(weight / total for weight in weights)
        """Shares of the sequences, which add up to 1."""
        self.first_shards = np.cumsum([0, *(len(part.shards) for part in parts)]).tolist()
        """Shards are numbered through the parts; part p has those from first_shards[p] on."""
        ends = np.cumsum(self.shares)[:-1] * (1 << UNIT_BITS)
        self._ends = ends.astype(np.uint64)
        for part in parts[1:]:
            _check_same_encoding(parts[0], part)

    @classmethod
    def of(cls, dataset: Dataset | Blend) -> Blend:
        """A blend as it is, a dataset as a blend of one."""
        return dataset if isinstance(dataset, Blend) else cls([dataset])

    @property
    def compressor(self) -> str | None:
        """The compressor whose encodings are read, of all parts; None where only raw bytes are."""
        return self.parts[0].compressor

    @property
    def alphabet_size(self) -> int:
        """Number of symbols of the compressor; 0 where only raw bytes are read."""
        return self.parts[0].alphabet_size

    @property
    def names(self) -> list[str]:
        """What tells the parts apart in a report: the last name of each place, or all of it where these are equal."""
        places = [part.location.rstrip("/") for part in self.parts]
        names = [os.path.basename(place) for place in places]
        return names if len(set(names)) == len(names) else places

    def identity(self) -> dict[str, Any]:
        """What decides the order of the documents, as JSON values; a blend of one has those of its dataset."""
        digests = [part.digest for part in self.parts]
        listed = [f"{share:.12g} of {digest}" for share, digest in zip(self.shares, digests, strict=True)]
        return {
            "dataset": digests[0] if len(digests) == 1 else listed,
            "compressor": self.compressor,
            "held_out_share": self.parts[0].held_out.share,
        }

    def part_of(self, seed: int, sequence: int) -> int:
        """The part that a sequence of the global stream comes from."""
        if len(self.parts) == 1:
            return 0
        (drawn,) = draws(key(seed, Purpose.DATASET), np.array([sequence], np.uint64))
        return int(np.searchsorted(self._ends, drawn >> np.uint64(64 - UNIT_BITS), side="right"))

    def locate(self, shard: int) -> tuple[Dataset, int]:
        """The part that has a shard, and the shard's number there."""
        part = int(np.searchsorted(self.first_shards, shard, side="right")) - 1
        return self.parts[part], shard - self.first_shards[part]


def _check_same_encoding(one: Dataset, other: Dataset) -> None:
    """DatasetError where a symbol of one dataset means something else in the other."""
    name = one.compressor
    if name is None:
        return
    if one.alphabet_size != other.alphabet_size:
        what = f"have alphabets of {one.alphabet_size} and {other.alphabet_size} symbols"
    elif one.manifest.compressors[name]["digest"] != other.manifest.compressors[name]["digest"]:
        what = "were made with different models"
    else:
        return
    raise DatasetError(
        f"{one.location} and {other.location} cannot be mixed: their {name} encodings {what}, so that one id would "
        f"mean two things; preprocess {other.location} anew with --compressors-of {one.location}, or take another "
        "--compressor"
    )
