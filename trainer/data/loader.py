"""The loader: batches of packed sequences, the same whatever the number of ranks.

    step k asks for sequences g = k × global_batch_size … (k + 1) × global_batch_size − 1 of the global stream;
    sequence g is made by lane g mod lanes, with the mixing of step k for the documents that begin in it;
    of several datasets each has all the lanes, and one of them is drawn for g (`trainer.data.blend`);
    rank r of n serves lanes r, r + n, …, which are the sequences g ≡ r mod n.

Batches are made ahead in a background thread. Each carries the positions of its rank's lanes after it, so the state of
a loader is that of the last batch it gave, however far the thread has run. The states of all ranks merge into one
(`trainer.data.loader_state`) from which any number of ranks can go on.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np

from kernels.packing import REPRESENTATIONS, PackedSequences
from schemas.errors import SettingsError
from trainer.data.blend import Blend
from trainer.data.dataset import Dataset
from trainer.data.lanes import Lane, LanePosition
from trainer.data.loader_state import rank_state, read_state
from trainer.data.mixing import Mixing
from trainer.data.prefetch import Prefetcher
from trainer.data.row_ranges import RowRanges


@dataclass(frozen=True, kw_only=True, slots=True)
class LoaderSettings:
    """What the batches depend on, besides the dataset; the last two change only how they are handed over."""

    sequence_length: int
    """T, ids per sequence."""
    global_batch_size: int
    """Sequences per step, all ranks together."""
    mixing: Mixing = field(default_factory=Mixing)
    """Which encodings are shown."""
    lanes: int = 16
    """Fixed for a run; the number of ranks must divide it. A rank holds about lanes / ranks × interleave record
    batches in memory."""
    interleave: int = 4
    """Places of the dataset that a lane reads from at once."""
    seed: int = 0
    """Decides the order of the documents and the encoding of each."""
    lookahead: int = 0
    """Number of ids after each sequence's end in `next_ids`, as labels for heads that predict so far ahead."""
    prefetch: int = 2
    """Batches made ahead in the background; 0 makes each when it is asked for."""

    def __post_init__(self) -> None:
        for name, minimum in (("sequence_length", 2), ("global_batch_size", 1), ("lanes", 1), ("interleave", 1)):
            if getattr(self, name) < minimum:
                raise SettingsError(f"loader: {name} is {getattr(self, name)}, it must be at least {minimum}")
        for name in ("seed", "lookahead", "prefetch"):
            if not 0 <= getattr(self, name) < 1 << 63:
                raise SettingsError(f"loader: {name} is {getattr(self, name)}, it must be 0 or more, and below 2^63")

    def check_ranks(self, world_size: int) -> None:
        """SettingsError where lanes or sequences cannot be divided evenly among ranks."""
        for name, count in (("lanes", self.lanes), ("global_batch_size", self.global_batch_size)):
            if count % world_size:
                raise SettingsError(
                    f"{world_size} ranks cannot share {name} {count} evenly: "
                    f"use a number of ranks that divides {count}, or another {name} in a new run"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedBatch:
    """One rank's sequences of one step: number rank, rank + ranks, … of the global batch."""

    step: int
    """Number of the step that trains on it, from 0."""
    ids: np.ndarray
    """int32 [sequences, T]: model ids."""
    documents: np.ndarray
    """int32 [sequences, T]: number of the document within its sequence, from 0, never falling. There is no padding."""
    spans: np.ndarray
    """uint8 [sequences, T]: SPECIAL_SPAN, RAW_SPAN or COMP_SPAN of `schemas.vocabulary`."""
    next_ids: np.ndarray
    """int32 [sequences, lookahead]: what follows the sequence in its last document, then pad."""
    pieces: np.ndarray
    """int64 [documents in all sequences, 5]: sequence, epoch, shard, row in the shard, representation; in order.
    Shards of several datasets are numbered through."""

    @property
    def symbols(self) -> int:
        """Ids in the sequences."""
        return self.ids.size


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchDocument:
    """A document that a batch holds, whole or in part."""

    doc_id: str
    """The document's id in the dataset."""
    shard: str
    """File name of the shard."""
    representation: str
    """One of `kernels.packing.REPRESENTATIONS`."""


_Snapshot = dict[int, LanePosition]
"""By lane × datasets + dataset."""


class Loader:
    """An endless iterator over one rank's batches, stateful after torch's protocol.

    `state_dict` gives this rank's part of the state after the last batch; `load_state_dict` takes the merged state of
    all ranks (`trainer.data.loader_state.merge_states`). A context manager: leaving it ends the background thread.
    """

    def __init__(
        self, dataset: Dataset | Blend, settings: LoaderSettings, *, rank: int = 0, world_size: int = 1
    ) -> None:
        """SettingsError where dataset, settings and number of ranks do not fit together."""
        assert 0 <= rank < world_size, (rank, world_size)
        settings.check_ranks(world_size)
        mixing = settings.mixing
        blend = Blend.of(dataset)
        if mixing.needs_comp and blend.compressor is None:
            raise SettingsError(f"mixing mode {mixing.mode!r} shows compressed text: name a --compressor")
        self._blend, self._settings = blend, settings
        self._rank, self._world_size = rank, world_size
        self._identity = {**blend.identity(), **_identity(settings)}
        self._ranges = []
        for part in blend.parts:
            assert part.raw or not mixing.needs_raw, "the dataset was opened without its raw bytes"
            rows = part.training_rows()
            self._ranges.append(
                RowRanges(rows, lanes=settings.lanes, interleave=settings.interleave, seed=settings.seed)
            )
            part.check_cache(len(self._own_lanes) * settings.interleave)
        self._step = 0
        self._lanes: dict[int, Lane] = {}
        self._snapshot: _Snapshot = {}
        self._source: Iterator[tuple[PackedBatch, _Snapshot]] | None = None
        self._begin(0, {})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[PackedBatch]:
        return self

    def __next__(self) -> PackedBatch:
        if self._source is None:
            self._source = self._batches(self._step, dict(self._snapshot))
            if self._settings.prefetch:
                self._source = Prefetcher(self._source, self._settings.prefetch)
        batch, self._snapshot = next(self._source)
        self._step = batch.step + 1
        return batch

    def close(self) -> None:
        """End the background thread."""
        if isinstance(self._source, Prefetcher):
            self._source.close()

    def state_dict(self) -> dict[str, Any]:
        """How far this rank has come with the last batch that it returned, as JSON values."""
        return rank_state(self._step, self._identity, self._snapshot)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue after the last batch of the run whose merged state this is, whatever its number of ranks.

        SettingsError where the state is damaged or another run's.
        """
        step, positions = read_state(state, self._identity, self._settings.lanes * len(self._blend.parts))
        self.close()
        self._begin(step, positions)

    def documents_of(self, batch: PackedBatch) -> list[BatchDocument]:
        """Which documents a batch holds, in the order of its sequences; for messages, as it reads the shards again."""
        names: dict[tuple[int, int], str] = {}
        for shard in np.unique(batch.pieces[:, 2]).tolist():
            rows = np.unique(batch.pieces[batch.pieces[:, 2] == shard, 3]).tolist()
            part, own = self._blend.locate(shard)
            names |= {(shard, row): name for row, name in zip(rows, part.doc_ids(own, rows), strict=True)}
        return [
            BatchDocument(
                doc_id=names[shard, row],
                shard=part.shards[own].name,
                representation=REPRESENTATIONS[representation],
            )
            for _, _, shard, row, representation in batch.pieces.tolist()
            for part, own in [self._blend.locate(shard)]
        ]

    @property
    def dataset_names(self) -> list[str]:
        """What tells the datasets apart, in their order."""
        return self._blend.names

    def epochs(self) -> np.ndarray:
        """float64 [datasets]: this rank's share of how often each was read; those of all ranks add up to the whole.

        Documents that are completely in batches, over the number that is left where `held_out_share` is held out.
        """
        parts = self._blend.parts
        documents = np.zeros(len(parts))
        for number, position in self._snapshot.items():
            documents[number % len(parts)] += position.drawn + position.document
        return documents / [sum(part.training_rows()) * (1 - part.held_out.share) for part in parts]

    @property
    def _own_lanes(self) -> range:
        return range(self._rank, self._settings.lanes, self._world_size)

    def _begin(self, step: int, positions: _Snapshot) -> None:
        """Set the lanes to some positions, or to the beginning; batches are made from the first request on."""
        interleave = self._settings.interleave
        self._step, self._source = step, None
        self._lanes = {}
        for lane in self._own_lanes:
            for number, (part, ranges) in enumerate(zip(self._blend.parts, self._ranges, strict=True)):
                at = lane * len(self._ranges) + number
                self._lanes[at] = Lane(part, ranges, lane=lane, interleave=interleave, position=positions.get(at))
        self._snapshot = {lane: made.position for lane, made in self._lanes.items()}

    def _batches(self, step: int, snapshot: _Snapshot) -> Iterator[tuple[PackedBatch, _Snapshot]]:
        settings = self._settings
        listing = np.empty((settings.sequence_length // 2 + 2, 2), np.int64)
        while True:
            choice = settings.mixing.phase(step).choice
            count = settings.global_batch_size // self._world_size
            sequences = PackedSequences.empty(count, settings.sequence_length, settings.lookahead)
            pieces = []
            for index in range(count):
                global_index = step * settings.global_batch_size + index * self._world_size + self._rank
                part = self._blend.part_of(settings.seed, global_index)
                lane = global_index % settings.lanes * len(self._ranges) + part
                documents = self._lanes[lane].fill(sequences, index, choice, listing)
                documents[:, 1] += self._blend.first_shards[part]
                pieces.append(np.insert(documents, 0, index, axis=1))
                snapshot[lane] = self._lanes[lane].position
            batch = PackedBatch(step=step, **sequences._asdict(), pieces=np.concatenate(pieces))
            yield batch, dict(snapshot)
            step += 1


def _identity(settings: LoaderSettings) -> dict[str, Any]:
    """What decides the batches of a dataset, as JSON values."""
    return {
        "sequence_length": settings.sequence_length,
        "global_batch_size": settings.global_batch_size,
        "lanes": settings.lanes,
        "interleave": settings.interleave,
        "seed": settings.seed,
        "mixing": asdict(settings.mixing),
    }
