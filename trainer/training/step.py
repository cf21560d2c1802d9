"""One optimizer step of one rank: forward and backward by micro-batches, the check, the update.

    ids of the step ─► weight of the whole step, all ranks together
    micro-batch     ─► loss / weight ─► gradients, summed over micro-batches and ranks
    loss and gradient norm, in one transfer ─► finite? ─► AdamW

Every position of the global batch weighs the same, whatever the number of ranks and micro-batches: the weight of a step
follows from its ids alone and is added up before the first forward.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from schemas.errors import TrainingError
from trainer.data.loader import PackedBatch
from trainer.model.config import EvaByteConfig
from trainer.model.heads import HeadLosses, targets
from trainer.training.optim import learning_rate
from trainer.training.parallel import Distributed, loss_scale, synchronised
from trainer.training.schedule import set_learning_rate
from trainer.training.settings import TrainSettings

DOCUMENTS_NAMED = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """What one step measured, over all ranks."""

    loss_nats: float
    """Mean loss of the step, over the weight of its labels."""
    nats: Tensor
    """[heads, 3]: Σ nats per head and kind of label, of `HeadLosses`."""
    labels: Tensor
    """[heads, 3]: number of labels per head and kind."""
    gradient_norm: float
    """Norm of the whole gradient before clipping."""


class TrainStep:
    """The steps of one rank, on a model and an optimizer that it changes."""

    def __init__(
        self,
        settings: TrainSettings,
        config: EvaByteConfig,
        dist: Distributed,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        self.settings, self.config, self.dist = settings, config, dist
        self.model, self.optimizer = model, optimizer
        self.accumulation = settings.accumulation(dist.size)

    def take(
        self,
        batch: PackedBatch,
        *,
        stop: Callable[[], bool] = lambda: False,
        doc_ids: Callable[[PackedBatch], Sequence[str]] = lambda batch: (),
    ) -> StepResult | None:
        """Forward, backward and update for this rank's sequences of one step.

        stop: asked before every micro-batch; where it says so, on every rank alike, the step is dropped and None comes
        back. TrainingError where loss or gradients are not finite, with the documents that `doc_ids` names. In both
        cases the weights and moments are as before the step.
        """
        sums = self._accumulate(batch, stop)
        if sums is None:
            self.optimizer.zero_grad(set_to_none=True)
            return None
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        loss_nats, gradient_norm = torch.stack((sums[0], norm)).tolist()
        for name, value in (("loss", loss_nats), ("gradient norm", gradient_norm)):
            if not math.isfinite(value):
                self.optimizer.zero_grad(set_to_none=True)
                raise self._not_finite(f"the {name} of step {batch.step} is {value}", doc_ids(batch))
        set_learning_rate(self.optimizer, learning_rate(self.settings, batch.step))
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        nats, labels = sums[1:].view(2, -1, 3)
        return StepResult(loss_nats=loss_nats, nats=nats, labels=labels, gradient_norm=gradient_norm)

    def _accumulate(self, batch: PackedBatch, stop: Callable[[], bool]) -> Tensor | None:
        """Add up gradients; [1 + 2 · heads · 3]: mean loss, nats and labels of the whole step. None: stopped."""
        device, config = self.dist.device, self.config
        ids, next_ids = (
            torch.from_numpy(part.astype(np.int64)).to(device, non_blocking=True)
            for part in (batch.ids, batch.next_ids)
        )
        documents = torch.from_numpy(batch.documents).to(device, non_blocking=True)
        _, weights = targets(ids, config.symbol_heads, config.raw_heads, next_ids)
        weight = self.dist.total(weights.sum())
        scale = loss_scale(self.model, self.dist) / weight
        sums = torch.zeros(1 + 2 * (config.symbol_heads + config.raw_heads) * 3, device=device)
        size = self.settings.micro_batch_size
        for number in range(self.accumulation):
            if stop():
                return None
            part = slice(number * size, (number + 1) * size)
            with synchronised(self.model, number == self.accumulation - 1):
                with torch.autocast(device.type, torch.bfloat16, enabled=self.dist.compute_dtype == torch.bfloat16):
                    losses = HeadLosses(*self.model(ids[part], documents[part], next_ids[part]))
                (losses.loss_sum * scale).backward()
            sums += torch.cat((losses.loss_sum.detach()[None], losses.nats.flatten(), losses.labels.flatten()))
        sums = self.dist.total(sums)
        sums[0] /= weight
        return sums

    def _not_finite(self, what: str, doc_ids: Sequence[str]) -> TrainingError:
        """The error, with some documents of all ranks."""
        every = [name for part in self.dist.gather(list(dict.fromkeys(doc_ids))) for name in part]
        more = f" and {len(every) - DOCUMENTS_NAMED} more" if len(every) > DOCUMENTS_NAMED else ""
        return TrainingError(
            f"{what}, the weights are as before it; it showed documents {', '.join(every[:DOCUMENTS_NAMED])}{more}; "
            "lower --peak-lr, or look at them, and run the command again"
        )
