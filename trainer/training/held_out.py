"""The held-out curve: bits per raw byte of a few documents that training never sees, measured while it goes on.

    sample of held-out documents, read once by the first rank ─► windows of trainer.evaluation.bits_per_byte
    windows dealt out to the ranks ─► Σ nats ─► one number, the same to the bit on every rank and for any number of them

All ranks take part, because a sharded model needs that. The model is asked without its DDP; nothing random is drawn and
no batch is read, so a run with the curve has the losses of one without. The checkpoint with the lowest number is kept.
"""

from __future__ import annotations

import hashlib
import logging
import math
import time
from dataclasses import asdict, dataclass
from typing import Any, cast

from torch import nn
from torch.distributed.fsdp import FSDPModule, register_fsdp_forward_method
from torch.nn.parallel import DistributedDataParallel

from schemas.batches import Documents
from schemas.errors import TrainingError
from trainer.data.blend import Blend
from trainer.data.held_out_sample import sample_held_out
from trainer.evaluation.bits_per_byte import HEAD, nats_by_turns
from trainer.generation.opening import opening
from trainer.model.evabyte import EvaByte
from trainer.training import checkpoint
from trainer.training.parallel import Distributed
from trainer.training.settings import TrainSettings

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class HeldOutBits:
    """One point of the curve."""

    bits_per_byte: float
    """Σ −log2 p over the bytes, divided by their number."""
    raw_bytes: int
    """Number of bytes, each scored once."""
    documents: int
    """Number of documents that they come from."""
    digest: str
    """Names the bytes and the length of the windows: figures of equal digests compare."""
    seconds: float
    """Time that it took."""

    def to_json(self) -> dict[str, Any]:
        """What a checkpoint says of it; the time is no property of a model."""
        values = asdict(self)
        del values["seconds"]
        return values


class HeldOutCurve:
    """Measures a model that trains, on one rank of a run, as often as it is asked to on all of them."""

    def __init__(
        self,
        model: nn.Module,
        texts: Documents,
        dist: Distributed,
        *,
        sequence_length: int,
        rows: int,
        head: tuple[int, ...] = HEAD,
    ) -> None:
        """model: as it came from `parallelize`. texts: the same on all ranks. rows: windows that a rank takes."""
        self.texts, self.dist, self.head = texts, dist, head
        self.sequence_length, self.rows = sequence_length, rows
        self._model = cast(EvaByte, model.module if isinstance(model, DistributedDataParallel) else model)
        # FSDP gathers weights around `forward`; these two are what scoring calls instead.
        register_fsdp_forward_method(self._model, "hidden")
        register_fsdp_forward_method(self._model.heads, "symbol_nats")
        text = texts.offsets.tobytes() + texts.raw.tobytes() + str(sequence_length).encode()
        self._digest = hashlib.sha256(text).hexdigest()[:16]

    def measure(self) -> HeldOutBits:
        """The next point; all ranks must ask, and get the same numbers but for the time."""
        begin = time.perf_counter()
        own = nats_by_turns(
            self._model,
            self.texts,
            sequence_length=self.sequence_length,
            rows=self.rows,
            turn=self.dist.rank,
            turns=self.dist.size,
            head=self.head,
        )
        # Forward leaves some weights whole; a checkpoint must find each rank's own part.
        for module in self._model.modules():
            if isinstance(module, FSDPModule):
                module.reshard()
        nats = math.fsum(part for parts in self.dist.gather(own) for part in parts)
        raw_bytes = int(self.texts.offsets[-1])
        if not math.isfinite(nats):
            raise TrainingError(
                f"the loss on held-out documents is {nats}, so the weights are broken; the last checkpoint is from "
                "before: lower --peak-lr and run the command again"
            )
        return HeldOutBits(
            bits_per_byte=nats / math.log(2) / raw_bytes,
            raw_bytes=raw_bytes,
            documents=len(self.texts),
            digest=self._digest,
            seconds=time.perf_counter() - begin,
        )


def open_curve(settings: TrainSettings, blend: Blend, model: nn.Module, dist: Distributed) -> HeldOutCurve | None:
    """The curve that a run asks for; None, with a line that says why, where there is nothing to measure it on."""
    if not settings.eval_every:
        return None
    if not settings.mixing.needs_raw:
        if dist.is_first:
            logger.info(
                "no held-out curve: it is measured on raw bytes, which mode %s never shows; `evaluate bpb` scores the "
                "run by its symbols", settings.mixing.mode,
            )  # fmt: skip
        return None
    texts = dist.gather(_sample(settings, blend) if dist.is_first else None)[0]
    if not len(texts):
        if dist.is_first:
            logger.warning(
                "%s holds out no documents at a share of %g: there is no held-out curve, and no checkpoint is the "
                "best; give a larger --held-out-share, or --eval-every 0",
                settings.data, settings.held_out_share,
            )  # fmt: skip
        return None
    return HeldOutCurve(
        model,
        texts,
        dist,
        sequence_length=settings.sequence_length,
        rows=settings.micro_batch_size,
        head=opening(settings.mixing.mode),
    )


def _sample(settings: TrainSettings, blend: Blend) -> Documents:
    """The bytes that are measured, of each dataset its share."""
    samples = [
        sample_held_out(part, seed=settings.seed, limit_bytes=max(1, int(settings.eval_bytes * share)))
        for part, share in zip(blend.parts, blend.shares, strict=True)
    ]
    return Documents.from_bytes([sample.text(i) for sample in samples for i in range(len(sample))])


def summary(run: str) -> str:
    """What the last and the best checkpoint of a run are worth, as the end of a line; empty where none is known."""
    best = checkpoint.best_checkpoint(run)
    if best is None:
        return ""
    last = checkpoint.read_state(checkpoint.checkpoints(run)[-1])
    words = f"best {best[1]['bits_per_byte']:.4f} in {best[0]}"
    if checkpoint.HELD_OUT in last:
        words = f"{last[checkpoint.HELD_OUT]['bits_per_byte']:.4f} at the end, {words}"
    return f"; bits per held-out raw byte: {words}"
