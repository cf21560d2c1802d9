"""The training loop: batches in, checkpoints and metrics out, resumed exactly.

    loader ─► batch ─► TrainStep: gradients summed over micro-batches and ranks ─► clip ─► optimizer ─► metrics
                                    ├─ now and then, at the end: bits per byte of held-out documents
                                    └─ now and then, on SIGTERM, at the end: checkpoint

SIGTERM is looked at before every micro-batch: the unfinished step is dropped, and the checkpoint is that of the last
whole one, so the next start goes on as if nothing had happened.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from schemas.config import to_json
from schemas.errors import TrainingError
from schemas.files import canonical_json, replace_file
from schemas.vocabulary import vocabulary_size
from trainer.data.blend import Blend
from trainer.data.dataset import Dataset, HeldOut
from trainer.data.loader import Loader, LoaderSettings, PackedBatch
from trainer.data.loader_state import merge_states
from trainer.data.settings import sources
from trainer.data.shard_cache import open_cache
from trainer.model.config import EvaByteConfig
from trainer.model.evabyte import meta_model
from trainer.training import checkpoint, preflight
from trainer.training.checkpoint_writer import CheckpointWriter
from trainer.training.held_out import HeldOutBits, HeldOutCurve, open_curve
from trainer.training.metrics import (
    EPOCHS_KEY,
    HELD_OUT_KEY,
    MetricsLog,
    bits_per_label,
    mean_visible_keys,
    peak_flop_per_second,
    terminal_line,
)
from trainer.training.optim import learning_rate, make_optimizers
from trainer.training.parallel import Distributed, parallelize
from trainer.training.settings import TrainSettings
from trainer.training.sizes import sized_config
from trainer.training.step import StepResult, TrainStep

logger = logging.getLogger(__name__)

SETTINGS_NAME = "settings.json"


def train(settings: TrainSettings, dist: Distributed) -> int:
    """Train to the last step, from the last checkpoint of the run directory if there is one; the steps that are done.

    They are fewer than the settings say where SIGTERM came.
    """
    blend = open_blend(settings, rank=dist.rank)
    config = model_config(settings, blend)
    recomputed = preflight.check(settings, config, blend, dist)
    bare = meta_model(config)
    bare.recompute_blocks(recomputed)
    if settings.compile or (settings.compile is None and dist.device.type == "cuda"):
        if dist.is_first:
            logger.info("blocks are compiled before the first step, which takes minutes; --no-compile leaves that out")
        bare.compile_blocks()
    model = parallelize(bare, dist, sharding=settings.sharding, seed=settings.seed, look_back=settings.look_back)
    optimizers = make_optimizers(model, settings)
    # More steps may be asked for than before.
    state = checkpoint.resume(settings.run_dir, model, *optimizers, content=settings.content(), free=("steps",))
    if dist.is_first:
        os.makedirs(settings.run_dir, exist_ok=True)
        replace_file(os.path.join(settings.run_dir, SETTINGS_NAME), canonical_json(to_json(settings)))
    loader = Loader(blend, loader_settings(settings), rank=dist.rank, world_size=dist.size)
    with loader, Sigterm() as sigterm:
        if state:
            with checkpoint.naming_last(settings.run_dir):
                checkpoint.refuse_other_step(state)
                loader.load_state_dict(state["loader"])
        curve = open_curve(settings, blend, model, dist)
        steps = TrainStep(settings, config, dist, model, *optimizers)
        keep = settings.keep_checkpoints
        with CheckpointWriter(settings.run_dir, model, *optimizers, dist=dist, keep=keep) as writer:
            try:
                return _Run(steps, loader, sigterm, curve, writer).to_the_end(state["step"] if state else 0)
            except torch.OutOfMemoryError as error:
                reason = str(error).partition("\n")[0][:200]
                raise TrainingError(
                    f"the device's memory ran out ({reason}); give --recompute, a smaller --micro-batch-size, or more "
                    "GPUs with --sharding fsdp, and run the command again"
                ) from error


def open_blend(settings: TrainSettings, *, rank: int = 0) -> Blend:
    """The datasets as this run sees them, shards of remote ones in folders of the cache that are this rank's own."""
    named = sources(settings.data)
    parts = []
    for number, source in enumerate(named):
        # Shards of two datasets may have one name.
        folder = os.path.join(f"rank-{rank}", *([f"dataset-{number}"] if len(named) > 1 else []))
        own = os.path.join(settings.cache, folder) if settings.cache else ""
        cache = open_cache(source.location, own, max(1, settings.cache_bytes // len(named)))
        part = Dataset(
            source.location,
            compressor=settings.compressor if settings.mixing.needs_comp else None,
            raw=settings.mixing.needs_raw,
            literals=settings.literals,
            held_out=HeldOut(share=settings.held_out_share),
            cache=cache,
        )
        parts.append(part)
    return Blend(parts, [source.weight for source in named])


def model_config(settings: TrainSettings, blend: Blend) -> EvaByteConfig:
    """The model's shape: the size's body, the datasets' alphabet, the heads asked for."""
    return sized_config(
        settings.size,
        vocabulary=vocabulary_size(blend.alphabet_size),
        symbol_heads=settings.symbol_heads,
        raw_heads=settings.raw_heads,
    )


def loader_settings(settings: TrainSettings) -> LoaderSettings:
    """The loader's part of the settings."""
    return LoaderSettings(
        sequence_length=settings.sequence_length,
        global_batch_size=settings.global_batch_size,
        mixing=settings.mixing,
        lanes=settings.lanes,
        interleave=settings.interleave,
        seed=settings.seed,
        lookahead=settings.symbol_heads + settings.raw_heads,
        prefetch=settings.prefetch,
    )


class _Run:
    """One process's part of the run."""

    def __init__(
        self,
        train_step: TrainStep,
        loader: Loader,
        sigterm: Sigterm,
        curve: HeldOutCurve | None,
        writer: CheckpointWriter,
    ) -> None:
        self.train_step, self.loader, self.sigterm, self.curve, self.writer = train_step, loader, sigterm, curve, writer
        self.settings, self.dist = train_step.settings, train_step.dist
        self.checkpoint_wait: dict[str, float | int] = {}
        """What the next line of metrics says of the last checkpoint."""

    def to_the_end(self, step: int) -> int:
        """Steps `step` … the last, saving as asked; SIGTERM ends it with a checkpoint of the last whole step."""
        if not self.dist.is_first:
            return self._steps(step, None)
        with MetricsLog(self.settings.run_dir, step=step, settings=to_json(self.settings)) as log:
            return self._steps(step, log)

    def _steps(self, step: int, log: MetricsLog | None) -> int:
        saved, pace = step, _Pace()
        while step < self.settings.steps:
            loader_before = self.loader.state_dict()
            batch = pace.wait_for(self.loader)
            assert batch.step == step, (batch.step, step)
            if not self.train_step.take(batch, stop=self._stop_asked, doc_ids=self._doc_ids):
                if saved != step:
                    self._save(step, loader_before, None)
                logger.info("stopped by a signal at step %d; the same command continues", step)
                return step
            step += 1
            saves = self._is_due(step, self.settings.checkpoint_steps)
            measures = self.curve is not None and (saves or self._is_due(step, self.settings.eval_every))
            logs = measures or step == 1 or self._is_due(step, self.settings.log_steps)
            if not logs and not saves:
                continue
            # Only here the host waits for a GPU, so only here times mean something.
            result = self.train_step.read()
            values = self._measured(batch, result, pace)
            held_out = self.curve.measure() if self.curve is not None and measures else None
            if logs:
                self._report(values, held_out, log)
            if saves:
                self._save(step, self.loader.state_dict(), held_out)
                saved = step
            pace = _Pace()
        return step

    def _is_due(self, step: int, every: int) -> bool:
        """Whether what happens every so many steps, and after the last one, happens after `step` steps."""
        return step % every == 0 or step == self.settings.steps

    def _stop_asked(self) -> bool:
        """Whether any rank was sent SIGTERM; all ranks get the same answer to the same call."""
        return self.dist.any(self.sigterm.received)

    def _doc_ids(self, batch: PackedBatch) -> list[str]:
        return [document.doc_id for document in self.loader.documents_of(batch)]

    def _report(self, values: dict[str, float | int], held_out: HeldOutBits | None, log: MetricsLog | None) -> None:
        """Write a line of metrics, on the first rank; all ranks must ask."""
        if held_out is not None:
            values |= {HELD_OUT_KEY: held_out.bits_per_byte, "evaluation_seconds": round(held_out.seconds, 4)}
        values |= self._epochs() | self.checkpoint_wait
        self.checkpoint_wait = {}
        if log is not None:
            log.write(values)
            logger.info("%s", terminal_line(values))

    def _measured(self, batch: PackedBatch, result: StepResult, pace: _Pace) -> dict[str, float | int]:
        """The metrics of one step, with units in their names; times are means since the host last waited."""
        settings, config = self.settings, self.train_step.config
        seconds, waited_share = pace.step_seconds()
        symbols_per_second = settings.batch_symbols / seconds
        values: dict[str, float | int] = {
            "step": batch.step,
            "loss_nats": result.loss_nats,
            **bits_per_label(result.nats, result.labels),
            "compressed_fraction": settings.mixing.phase(batch.step).compressed_fraction,
            "learning_rate": learning_rate(settings, batch.step),
            "gradient_norm": result.gradient_norm,
            "symbols_per_second": round(symbols_per_second, 1),
            "data_wait_share": round(waited_share, 4),
            "step_seconds": round(seconds, 4),
        }
        peak = peak_flop_per_second(self.dist.device)
        if peak is not None:
            keys = mean_visible_keys(batch.documents, window=config.attention_window, chunk=config.chunk)
            flop = config.flop_per_symbol(settings.sequence_length, keys=keys) * symbols_per_second
            values["mfu"] = round(flop / peak / self.dist.size, 4)
        return values

    def _epochs(self) -> dict[str, float]:
        """How often each dataset was read so far; all ranks must ask."""
        read = np.sum(self.dist.gather(self.loader.epochs()), axis=0).round(4).tolist()
        if len(read) == 1:
            return {EPOCHS_KEY: read[0]}
        return {f"{EPOCHS_KEY}/{name}": value for name, value in zip(self.loader.dataset_names, read, strict=True)}

    def _save(self, step: int, loader_state: dict[str, Any], held_out: HeldOutBits | None) -> None:
        """Begin to write the checkpoint before `step`, with every rank's part of the loader's state."""
        train_step = self.train_step
        train_step.check()
        state = {
            "step": step,
            "settings": self.settings.content(),
            "config": asdict(train_step.config),
            "loader": merge_states(self.dist.gather(loader_state)),
        }
        if held_out is not None:
            state[checkpoint.HELD_OUT] = held_out.to_json()
        self.checkpoint_wait = {"checkpoint_wait_seconds": round(self.writer.save(state), 4)}


class _Pace:
    """The time of some steps, from when the host last waited for the device."""

    def __init__(self) -> None:
        self._begin, self._steps, self._waited = time.perf_counter(), 0, 0.0

    def wait_for(self, loader: Loader) -> PackedBatch:
        """The next step's batch."""
        begin = time.perf_counter()
        batch = next(loader)
        self._waited += time.perf_counter() - begin
        self._steps += 1
        return batch

    def step_seconds(self) -> tuple[float, float]:
        """Seconds of a step, on average, and the share of them that the loader was waited for."""
        seconds = time.perf_counter() - self._begin
        return seconds / self._steps, self._waited / seconds


class Sigterm:
    """A context manager in which SIGTERM is only noted."""

    def __init__(self) -> None:
        self.received = False
        """Whether the signal came."""

    def __enter__(self) -> Sigterm:
        self._before = signal.signal(signal.SIGTERM, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _note(self, *_: object) -> None:
        self.received = True
