"""The training loop: batches in, checkpoints and metrics out, resumed exactly.

    loader ─► micro-batches ─► loss / weight of the whole step ─► gradients summed over ranks ─► clip ─► AdamW
                                                                    └─ now and then, on SIGTERM, at the end: save

Every position of the global batch weighs the same, whatever the number of ranks and micro-batches: the weight of a step
follows from its ids alone and is added up before the first forward. A loss that is not finite stops the run before the
weights change, and names the documents.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from schemas.errors import ArtifactError, TrainingError
from schemas.files import canonical_json, replace_file
from schemas.vocabulary import vocabulary_size
from trainer.data.dataset import Dataset, HeldOut
from trainer.data.loader import Loader, LoaderSettings, PackedBatch
from trainer.data.loader_state import merge_states
from trainer.data.shard_cache import ShardCache
from trainer.model.config import EvaByteConfig, sized_config
from trainer.model.evabyte import meta_model
from trainer.model.heads import HeadLosses, targets
from trainer.model.memory import check_fits, describe
from trainer.training import checkpoint
from trainer.training.metrics import MetricsLog, bits_per_label, one_line, peak_flop_per_second
from trainer.training.optim import learning_rate, make_optimizer, set_learning_rate
from trainer.training.parallel import Distributed, loss_scale, parallelize, synchronised
from trainer.training.settings import TrainSettings

logger = logging.getLogger(__name__)

SETTINGS_NAME = "settings.json"
DOCUMENTS_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """What one step found, over all ranks."""

    loss_nats: float
    """Mean over the weight of the step."""
    nats: Tensor
    """[heads, 3], of `HeadLosses`."""
    labels: Tensor
    gradient_norm: float


def train(settings: TrainSettings, dist: Distributed) -> None:
    """Train to the last step, from the last checkpoint of the run directory if there is one."""
    dataset = open_dataset(settings)
    config = model_config(settings, dataset)
    dataset.check_vocabulary(config.vocabulary)
    accumulation = settings.accumulation(dist.size)
    _announce(settings, config, dist, accumulation)
    if dist.is_first:
        _warn_of_cut_pairs(settings, dataset)
    bare = meta_model(config)
    if settings.recompute:
        bare.recompute_blocks()
    if settings.compile:
        bare.compile_blocks()
    model = parallelize(bare, dist, sharding=settings.parallelism, seed=settings.seed)
    optimizer = make_optimizer(model, settings)
    state = _resume(settings, model, optimizer)
    if dist.is_first:
        os.makedirs(settings.run, exist_ok=True)
        replace_file(os.path.join(settings.run, SETTINGS_NAME), canonical_json(settings.content()))
    loader = Loader(dataset, loader_settings(settings), rank=dist.rank, world_size=dist.size)
    if state:
        loader.load_state_dict(state["loader"])
    with loader, _Terminated() as terminated:
        _Run(settings, config, dist, model, optimizer, loader, accumulation, terminated).to_the_end(
            state["step"] if state else 0
        )


def open_dataset(settings: TrainSettings) -> Dataset:
    """The dataset as this run sees it."""
    cache = ShardCache(settings.cache, limit_bytes=64 << 30) if settings.cache else None
    return Dataset(
        settings.data,
        compressor=settings.compressor if settings.mixing.needs_comp else None,
        raw=settings.mixing.needs_raw,
        held_out=HeldOut(share=settings.held_out_share),
        cache=cache,
    )


def model_config(settings: TrainSettings, dataset: Dataset) -> EvaByteConfig:
    """The model's shape: the size's body, the dataset's alphabet, the heads asked for."""
    return sized_config(
        settings.size,
        vocabulary=vocabulary_size(dataset.alphabet_size),
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
        seed=settings.seed,
        lookahead=settings.symbol_heads + settings.raw_heads,
    )


def _announce(settings: TrainSettings, config: EvaByteConfig, dist: Distributed, accumulation: int) -> None:
    """Print the arithmetic, and refuse what cannot fit, before anything is allocated."""
    size, length, sharding = settings.micro_batch_size, settings.sequence_length, settings.parallelism
    if dist.is_first:
        text = describe(config, micro_batch_size=size, sequence_length=length, sharding=sharding, world_size=dist.size)
        logger.info("%s: %s", settings.size, text)
        logger.info(
            "%d steps of %d symbols: %d ranks × %d micro-batches × %d rows × %d; learning rate %g",
            settings.steps, settings.batch_symbols, dist.size, accumulation, settings.micro_batch_size,
            settings.sequence_length, settings.learning_rate,
        )  # fmt: skip
    if dist.device.type == "cuda":
        device_bytes, name = torch.cuda.get_device_properties(dist.device).total_memory, "this GPU"
    else:
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        device_bytes, name = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // local, "this machine"
    check_fits(
        config,
        micro_batch_size=size,
        sequence_length=length,
        sharding=sharding,
        world_size=dist.size,
        device_bytes=device_bytes,
        device=name,
    )


def _warn_of_cut_pairs(settings: TrainSettings, dataset: Dataset) -> None:
    """A pair that is cut between two rows shows no model that the two encodings are one text."""
    totals = dataset.manifest.totals
    if not settings.mixing.phase(0).pairing or not settings.compressor or not totals.written:
        return
    mean_symbols = (totals.raw_bytes + totals.symbols[settings.compressor]) // totals.written
    if mean_symbols > settings.sequence_length:
        logger.warning(
            "a document has %d symbols in both encodings on average, a row %d: most pairs are cut and align little; "
            "give longer rows, or preprocess with --split-bytes",
            mean_symbols, settings.sequence_length,
        )  # fmt: skip


def _resume(settings: TrainSettings, model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
    """Restore the run's last checkpoint, if it has one; ArtifactError where it is another configuration's."""
    found = checkpoint.checkpoints(settings.run)
    if not found:
        return None
    state = checkpoint.read_state(found[-1])
    for key, value in settings.content().items():
        if key != "steps" and state["settings"].get(key) != value:
            raise ArtifactError(
                f"{found[-1]} was made with {key}={state['settings'].get(key)}, this run has {value}; "
                "choose another --out, or the settings of that one"
            )
    checkpoint.restore(found[-1], model, optimizer, state["step"])
    logger.info("resumed at step %d from %s", state["step"], found[-1])
    return state


class _Run:
    """One process's part of the run."""

    def __init__(
        self,
        settings: TrainSettings,
        config: EvaByteConfig,
        dist: Distributed,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        loader: Loader,
        accumulation: int,
        terminated: _Terminated,
    ) -> None:
        self.settings, self.config, self.dist = settings, config, dist
        self.model, self.optimizer, self.loader = model, optimizer, loader
        self.accumulation, self.terminated = accumulation, terminated

    def to_the_end(self, step: int) -> None:
        """Steps `step` … the last, saving as asked; SIGTERM ends after the step it came in, with a checkpoint."""
        if not self.dist.is_first:
            self._steps(step, None)
            return
        with MetricsLog(self.settings.run, step=step, settings=self.settings.content()) as log:
            self._steps(step, log)

    def _steps(self, step: int, log: MetricsLog | None) -> None:
        while step < self.settings.steps:
            begin = time.perf_counter()
            batch = next(self.loader)
            waited = time.perf_counter() - begin
            assert batch.step == step, (batch.step, step)
            result = self._step(batch, step)
            seconds = time.perf_counter() - begin
            step += 1
            if log is not None and (step % self.settings.log_steps == 0 or step in (1, self.settings.steps)):
                values = self._measured(step - 1, result, seconds, waited)
                log.write(values)
                logger.info("%s", one_line(values))
            stop = self.dist.any(self.terminated.flag)
            if stop or step % self.settings.checkpoint_steps == 0 or step == self.settings.steps:
                self._save(step)
            if stop:
                logger.info("stopped by a signal at step %d; the same command continues", step)
                return

    def _step(self, batch: PackedBatch, step: int) -> StepResult:
        """Forward, backward and update for this rank's rows of one step."""
        device = self.dist.device
        ids, next_ids = (
            torch.from_numpy(part.astype(np.int64)).to(device, non_blocking=True)
            for part in (batch.ids, batch.next_ids)
        )
        documents = torch.from_numpy(batch.documents).to(device, non_blocking=True)
        config = self.config
        _, weights = targets(ids, config.symbol_heads, config.raw_heads, next_ids)
        weight = self.dist.total(weights.sum())
        sums = torch.zeros(1 + 2 * (config.symbol_heads + config.raw_heads) * 3, device=device)
        scale = loss_scale(self.model, self.dist) / weight
        rows = self.settings.micro_batch_size
        for part in range(self.accumulation):
            taken = slice(part * rows, (part + 1) * rows)
            with synchronised(self.model, part == self.accumulation - 1):
                with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
                    losses = HeadLosses(*self.model(ids[taken], documents[taken], next_ids[taken]))
                (losses.loss_sum * scale).backward()
            sums += torch.cat((losses.loss_sum.detach()[None], losses.nats.flatten(), losses.labels.flatten()))
        loss_nats = float(self.dist.total(sums)[0] / weight)
        if not math.isfinite(loss_nats):
            self._blame(batch, step, loss_nats)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        set_learning_rate(self.optimizer, learning_rate(self.settings, step))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        nats, labels = sums[1:].view(2, -1, 3)
        return StepResult(loss_nats=loss_nats, nats=nats, labels=labels, gradient_norm=float(norm))

    def _blame(self, batch: PackedBatch, step: int, loss_nats: float) -> None:
        """Stop with the documents of this rank's rows."""
        names = list(dict.fromkeys(document.doc_id for document in self.loader.documents_of(batch)))
        every = [name for part in self.dist.gather(names) for name in part]
        more = f" and {len(every) - DOCUMENTS_NAMED} more" if len(every) > DOCUMENTS_NAMED else ""
        raise TrainingError(
            f"the loss of step {step} is {loss_nats}, the weights are as before it; it showed documents "
            f"{', '.join(every[:DOCUMENTS_NAMED])}{more}; lower --peak-lr, or look at them, and run the command again"
        )

    def _measured(self, step: int, result: StepResult, seconds: float, waited: float) -> dict[str, float | int]:
        """A line of metrics."""
        settings = self.settings
        symbols_per_second = settings.batch_symbols / seconds
        values: dict[str, float | int] = {
            "step": step,
            "loss_nats": result.loss_nats,
            **bits_per_label(result.nats, result.labels),
            "compressed_fraction": settings.mixing.phase(step).compressed_fraction,
            "learning_rate": learning_rate(settings, step),
            "gradient_norm": result.gradient_norm,
            "symbols_per_second": round(symbols_per_second, 1),
            "data_wait_share": round(waited / seconds, 4),
            "step_seconds": round(seconds, 4),
        }
        peak = peak_flop_per_second(self.dist.device)
        if peak is not None:
            flop = self.config.flop_per_symbol(settings.sequence_length) * symbols_per_second
            values["mfu"] = round(flop / peak / self.dist.size, 4)
        return values

    def _save(self, step: int) -> None:
        loaders = merge_states(self.dist.gather(self.loader.state_dict()))
        state = {"step": step, "settings": self.settings.content(), "config": _shape(self.config), "loader": loaders}
        checkpoint.save(
            self.settings.run, self.model, self.optimizer, self.dist, state=state, keep=self.settings.keep_checkpoints
        )


def _shape(config: EvaByteConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__dataclass_fields__}


class _Terminated:
    """A context manager in which SIGTERM only raises a flag."""

    def __init__(self) -> None:
        self.flag = False

    def __enter__(self) -> _Terminated:
        self._before = signal.signal(signal.SIGTERM, self._set)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)

    def _set(self, *_: object) -> None:
        self.flag = True
