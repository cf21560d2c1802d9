"""The loader: batches of packed rows, the same whatever the number of ranks.

    step k asks for rows g = k × batch_rows … (k + 1) × batch_rows − 1 of the global stream;
    row g is made by lane g mod lanes, with the mixing of step k for the documents that begin in it;
    rank r of n serves lanes r, r + n, …, which are the rows g ≡ r mod n.

Batches are made ahead in a background thread. Each carries the positions of its rank's lanes behind it, so the state of
a loader is that of the last batch it gave, however far the thread has run. The states of all ranks merge into one
that any number of ranks can go on from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from types import TracebackType
from typing import Any, Self

import numpy as np

from kernels.packing import REPRESENTATIONS, Rows
from schemas.errors import SettingsError
from trainer.data.dataset import Dataset
from trainer.data.lanes import Lane, LanePosition
from trainer.data.mixing import Mixing
from trainer.data.prefetch import Prefetcher
from trainer.data.row_ranges import Units

STATE_VERSION = 1
"""Raise it when equal settings give other batches than before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoaderSettings:
    """What the batches depend on, besides the dataset; the last two change only how they are handed over."""

    row_symbols: int
    """T, symbols per row."""
    batch_rows: int
    """Rows of the global batch, all ranks together."""
    mixing: Mixing = field(default_factory=Mixing)
    lanes: int = 16
    """Fixed for a run; the number of ranks must divide it. A rank holds about lanes / ranks × interleave record
    batches in memory."""
    interleave: int = 4
    """Places of the dataset that a lane reads from at once."""
    seed: int = 0
    lookahead: int = 0
    """Symbols given beyond each row's end, as labels for heads that predict so far ahead."""
    prefetch: int = 2
    """Batches made ahead in the background; 0 makes each when it is asked for."""

    def __post_init__(self) -> None:
        for name, least in (("row_symbols", 2), ("batch_rows", 1), ("lanes", 1), ("interleave", 1)):
            if getattr(self, name) < least:
                raise SettingsError(f"loader: {name} is {getattr(self, name)}, it must be at least {least}")
        for name in ("seed", "lookahead", "prefetch"):
            if not 0 <= getattr(self, name) < 1 << 63:
                raise SettingsError(f"loader: {name} is {getattr(self, name)}, it must be 0 or more, and below 2^63")

    def check_ranks(self, world_size: int) -> None:
        """SettingsError where lanes or rows cannot be dealt out evenly."""
        for name, count in (("lanes", self.lanes), ("batch_rows", self.batch_rows)):
            if count % world_size:
                raise SettingsError(
                    f"{world_size} ranks cannot share {count} {name} evenly: "
                    f"use a number of ranks that divides {count}, or another number of {name} in a new run"
                )


@dataclass(frozen=True, kw_only=True, slots=True)
class PackedBatch:
    """One rank's rows of one step: i = rank, rank + ranks, … of the global batch."""

    step: int
    ids: np.ndarray
    """int32 [rows, T]."""
    documents: np.ndarray
    """int32 [rows, T]: number of the document within its row, from 0, never falling. There is no padding."""
    spans: np.ndarray
    """uint8 [rows, T]: SPECIAL_SPAN, RAW_SPAN or COMP_SPAN of `kernels.packing`."""
    ahead: np.ndarray
    """int32 [rows, lookahead]: what follows the row in its last document, then pad."""
    pieces: np.ndarray
    """int64 [documents in all rows, 5]: row here, epoch, shard, row in the shard, representation; in order."""

    @property
    def symbols(self) -> int:
        """Symbols in the rows."""
        return self.ids.size


@dataclass(frozen=True, kw_only=True, slots=True)
class DocumentShown:
    """A document that a batch holds, whole or in part."""

    doc_id: str
    shard: str
    representation: str
    """Of REPRESENTATIONS."""


_Snapshot = dict[int, LanePosition]


class Loader:
    """An endless iterator over one rank's batches. A context manager: leaving it ends the background thread."""

    def __init__(
        self,
        dataset: Dataset,
        settings: LoaderSettings,
        *,
        rank: int = 0,
        world_size: int = 1,
        state: dict[str, Any] | None = None,
    ) -> None:
        """`state`: merged states of all ranks of an earlier run, to go on behind its last batch."""
        assert 0 <= rank < world_size, (rank, world_size)
        settings.check_ranks(world_size)
        mixing = settings.mixing
        if mixing.needs_comp and dataset.compressor is None:
            raise SettingsError(f"mixing mode {mixing.mode!r} shows compressed text: name a --compressor")
        assert dataset.raw or not mixing.needs_raw, "the dataset was opened without its raw bytes"
        self._dataset, self._settings = dataset, settings
        self._rank, self._world_size = rank, world_size
        self._identity = _identity(dataset, settings)
        self._step = 0
        positions: dict[int, LanePosition] = {}
        if state is not None:
            self._step, positions = _read_state(state, self._identity, settings)
        mine = range(rank, settings.lanes, world_size)
        dataset.check_cache(len(mine) * settings.interleave)
        units = Units(dataset.training_rows(), lanes=settings.lanes, interleave=settings.interleave, seed=settings.seed)
        self._lanes = {
            lane: Lane(dataset, units, lane=lane, interleave=settings.interleave, position=positions.get(lane))
            for lane in mine
        }
        self._snapshot: _Snapshot = {lane: made.position for lane, made in self._lanes.items()}
        source = self._made(self._step, dict(self._snapshot))
        self._source: Iterator[tuple[PackedBatch, _Snapshot]] = source
        if settings.prefetch:
            self._source = Prefetcher(source, settings.prefetch)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[PackedBatch]:
        return self

    def __next__(self) -> PackedBatch:
        batch, self._snapshot = next(self._source)
        self._step = batch.step + 1
        return batch

    def close(self) -> None:
        """End the background thread; no more batches come."""
        if isinstance(self._source, Prefetcher):
            self._source.close()

    def state(self) -> dict[str, Any]:
        """Where this rank stands behind the last batch given, as JSON values. Merge those of all ranks to resume."""
        return {
            "version": STATE_VERSION,
            "step": self._step,
            "identity": self._identity,
            "lanes": {str(lane): position.to_json() for lane, position in self._snapshot.items()},
        }

    def shown(self, batch: PackedBatch) -> list[DocumentShown]:
        """Which documents a batch holds, in the order of its rows; for messages, as it reads the shards again."""
        found: dict[tuple[int, int], str] = {}
        for shard in np.unique(batch.pieces[:, 2]).tolist():
            rows = np.unique(batch.pieces[batch.pieces[:, 2] == shard, 3]).tolist()
            found |= {(shard, row): name for row, name in zip(rows, self._dataset.doc_ids(shard, rows), strict=True)}
        return [
            DocumentShown(
                doc_id=found[shard, row],
                shard=self._dataset.shards[shard].name,
                representation=REPRESENTATIONS[representation],
            )
            for _, _, shard, row, representation in batch.pieces.tolist()
        ]

    def _made(self, step: int, snapshot: _Snapshot) -> Iterator[tuple[PackedBatch, _Snapshot]]:
        settings = self._settings
        shown = np.empty((settings.row_symbols // 2 + 2, 2), np.int64)
        while True:
            choice = settings.mixing.phase(step).choice
            rows = Rows.empty(settings.batch_rows // self._world_size, settings.row_symbols, settings.lookahead)
            pieces = []
            for row in range(len(rows.ids)):
                global_row = step * settings.batch_rows + row * self._world_size + self._rank
                lane = global_row % settings.lanes
                found = self._lanes[lane].fill(rows, row, choice, shown)
                pieces.append(np.insert(found, 0, row, axis=1))
                snapshot[lane] = self._lanes[lane].position
            batch = PackedBatch(
                step=step,
                ids=rows.ids,
                documents=rows.documents,
                spans=rows.spans,
                ahead=rows.ahead,
                pieces=np.concatenate(pieces),
            )
            yield batch, dict(snapshot)
            step += 1


def merge_states(states: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The state of the whole run from the states of all its ranks at the same step."""
    states = list(states)
    first = states[0]
    assert all(state["step"] == first["step"] and state["identity"] == first["identity"] for state in states)
    return {**first, "lanes": {lane: position for state in states for lane, position in state["lanes"].items()}}


def _identity(dataset: Dataset, settings: LoaderSettings) -> dict[str, Any]:
    """What a state must agree with, as JSON values."""
    return {
        "dataset": dataset.digest,
        "compressor": dataset.compressor,
        "held_out_share": dataset.held_out.share,
        "held_out_shards": sorted(dataset.held_out.shards),
        "row_symbols": settings.row_symbols,
        "batch_rows": settings.batch_rows,
        "lanes": settings.lanes,
        "interleave": settings.interleave,
        "seed": settings.seed,
        "mixing": asdict(settings.mixing),
    }


def _read_state(
    state: dict[str, Any], identity: dict[str, Any], settings: LoaderSettings
) -> tuple[int, dict[int, LanePosition]]:
    """Step and positions; SettingsError where the state is damaged or another run's."""
    remedy = "resume with the settings of that run, or begin a new one"
    try:
        version, step = state["version"], int(state["step"])
        given = {name: state["identity"][name] for name in identity} if version == STATE_VERSION else {}
        positions = {int(lane): LanePosition.from_json(value) for lane, value in state["lanes"].items()}
    except (KeyError, AttributeError, TypeError, ValueError) as error:
        raise SettingsError(f"the checkpoint's loader state is damaged ({error!r}): take an earlier one") from error
    if version != STATE_VERSION:
        raise SettingsError(
            f"the checkpoint's loader state has version {version}, this program reads {STATE_VERSION}: "
            "resume it with the release that wrote it"
        )
    for name, value in given.items():
        if value != identity[name]:
            raise SettingsError(f"the checkpoint was made with {name} {value}, this run has {identity[name]}: {remedy}")
    if sorted(positions) != list(range(settings.lanes)):
        raise SettingsError(
            f"the checkpoint's loader state has {len(positions)} of {settings.lanes} lanes: "
            "merge the states of all its ranks, or take an earlier one"
        )
    return step, positions
