"""What is said and refused before a run allocates anything: the arithmetic, the memory, pairs that would be cut."""

from __future__ import annotations

import logging
from dataclasses import replace

from trainer.data.blend import Blend
from trainer.data.dataset import Dataset
from trainer.model.config import EvaByteConfig
from trainer.model.memory import Load, blocks_to_recompute, check_fits, describe, memory_bytes
from trainer.training.parallel import Distributed, ranks_per_node
from trainer.training.settings import TrainSettings

logger = logging.getLogger(__name__)


def check(settings: TrainSettings, config: EvaByteConfig, blend: Blend, dist: Distributed) -> int:
    """Log what the run will be, on the first rank; SettingsError for a run that cannot fit or be divided evenly.

    Returns how many blocks are recomputed in backward: what the settings say, or as few as memory asks for.
    """
    for part in blend.parts:
        part.check_vocabulary(config.vocabulary)
    accumulation = settings.accumulation(dist.size)
    load = Load(
        symbols=settings.micro_batch_size * settings.sequence_length,
        sharding=settings.sharding,
        world_size=dist.size,
        ranks_per_node=ranks_per_node(dist.size),
        micro_batches=accumulation,
        recompute=bool(settings.recompute),
        compute_bytes=dist.compute_dtype.itemsize,
    )
    device_bytes, name = _memory(dist)
    if settings.recompute is None:
        load = replace(load, recompute=blocks_to_recompute(config, load, device_bytes=device_bytes))
    recomputed = load.recomputed(config.layers)
    if dist.is_first:
        logger.info("%s: %s", settings.size, describe(config, load, sequence_length=settings.sequence_length))
        logger.info(
            "%d steps of %d symbols: %d ranks × %d micro-batches × %d sequences × %d; learning rate %g",
            settings.steps, settings.batch_symbols, dist.size, accumulation, settings.micro_batch_size,
            settings.sequence_length, settings.peak_lr,
        )  # fmt: skip
    if dist.is_first and recomputed:
        logger.info("backward computes %d of %d blocks again, to keep less", recomputed, config.layers)
    check_fits(config, load, device_bytes=device_bytes, device=name)
    if dist.is_first:
        if len(blend.parts) > 1:
            shares = zip(blend.parts, blend.shares, strict=True)
            logger.info("sequences: %s", ", ".join(f"{share:.1%} of {part.location}" for part, share in shares))
        for part in blend.parts:
            _warn_of_cut_pairs(settings, part)
    return recomputed


def _memory(dist: Distributed) -> tuple[int, str]:
    """Bytes that one rank may use, and of what."""
    if dist.device.type == "cuda":
        return memory_bytes(dist.device), "this GPU"
    return memory_bytes(dist.device) // ranks_per_node(dist.size), "this machine"


def _warn_of_cut_pairs(settings: TrainSettings, dataset: Dataset) -> None:
    """A pair that is cut between two sequences does not show a model that the two encodings are one text."""
    totals = dataset.manifest.totals
    if not settings.mixing.phase(0).pairing or not settings.compressor or not totals.written:
        return
    mean_symbols = (totals.raw_bytes + totals.symbols[settings.compressor]) // totals.written
    if mean_symbols > settings.sequence_length:
        logger.warning(
            "a document%s has %d symbols in both encodings on average, a sequence %d: most pairs are cut and align "
            "little; give a longer --sequence-length, or preprocess with --split-bytes",
            "" if dataset.location == settings.data else f" of {dataset.location}", mean_symbols,
            settings.sequence_length,
        )  # fmt: skip
