"""One optimizer step of one rank: forward and backward by micro-batches, the check, the update.

    ids of the step ─► weight of the whole step, all ranks together
    micro-batch     ─► loss / weight ─► gradients, summed over micro-batches and ranks
    loss and gradient norm ─► finite? ─► AdamW, or Muon and AdamW
    read: what the last step measured, in one transfer

Every position of the global batch weighs the same, whatever the number of ranks and micro-batches: the weight of a step
follows from its ids alone and is added up before the first forward.

The host does not wait for a GPU but in `read`. Whether loss and norm are finite is decided on the device: from the
first step on where they are not, the fused AdamW leaves weights and moments as they are, and the next `read` or `check`
says so. On a CPU, where AdamW is another kernel and asking costs nothing, and where Muon moves weights, the step itself
says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from schemas.errors import TrainingError
from trainer.data.loader import PackedBatch
from trainer.model.config import EvaByteConfig
from trainer.model.heads import HeadLosses, targets
from trainer.training.optim import set_learning_rates
from trainer.training.parallel import Distributed, loss_scale, synchronised
from trainer.training.settings import TrainSettings

DOCUMENTS_NAMED = 5
MAX_UNREAD = 64
"""Steps whose batches are kept so that their documents can be named; then the host waits for the device."""
DocIds = Callable[[PackedBatch], Sequence[str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class StepResult:
    """What one step measured, over all ranks."""

    loss_nats: float
    """Mean loss of the step, over the weight of its labels."""
    nats: Tensor
    """[heads, 3] on the CPU: Σ nats per head and kind of label, of `HeadLosses`."""
    labels: Tensor
    """[heads, 3] on the CPU: number of labels per head and kind."""
    gradient_norm: float
    """Norm of the whole gradient before clipping."""


class TrainStep:
    """The steps of one rank, on a model and optimizers that it changes."""

    def __init__(
        self,
        settings: TrainSettings,
        config: EvaByteConfig,
        dist: Distributed,
        model: nn.Module,
        *optimizers: torch.optim.Optimizer,
    ) -> None:
        self.settings, self.config, self.dist = settings, config, dist
        self.model, self.optimizers = model, optimizers
        self.accumulation = settings.accumulation(dist.size)
        self._fused = all(group.get("fused") for optimizer in optimizers for group in optimizer.param_groups)
        self._measured = torch.zeros(0)
        """[2 + 2 · heads · 3] on the device: loss, norm, nats and labels of the last step."""
        self._bad = torch.tensor([0.0, 0.0, 0.0, 0.0], device=dist.device)
        """On the device: 1 from the first step on that is not finite, its number in `_unread`, its loss and norm."""
        self._unread: list[tuple[PackedBatch, DocIds]] = []

    def take(
        self, batch: PackedBatch, *, stop: Callable[[], bool] = lambda: False, doc_ids: DocIds = lambda batch: ()
    ) -> bool:
        """Forward, backward and update for this rank's sequences of one step; False where it was stopped.

        stop: asked before every micro-batch; where it says so, on every rank alike, the step is dropped. TrainingError
        where loss or gradients are not finite, with the documents that `doc_ids` names, at once or in the next `check`
        or `read`. In all these cases weights and moments are as before the step, and stay so.
        """
        if len(self._unread) == MAX_UNREAD:
            self.check()
        sums = self._accumulate(batch, stop)
        if sums is None:
            self._forget_gradients()
            return False
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.settings.clip_norm)
        self._note(batch, doc_ids, sums, norm.full_tensor() if isinstance(norm, DTensor) else norm)
        if not self._fused:
            self.check()
        set_learning_rates(self.optimizers, self.settings, batch.step)
        for optimizer in self.optimizers:
            if self._fused:
                optimizer.found_inf = self._bad[0]  # type: ignore[attr-defined]
            optimizer.step()
        self._forget_gradients()
        return True

    def read(self) -> StepResult:
        """What the last step measured; TrainingError as in `check`. Waits for the device."""
        values = torch.cat((self._bad, self._measured)).cpu()
        self._raise_if_bad(values)
        loss_nats, gradient_norm = values[4:6].tolist()
        nats, labels = values[6:].view(2, -1, 3)
        return StepResult(loss_nats=loss_nats, nats=nats, labels=labels, gradient_norm=gradient_norm)

    def check(self) -> None:
        """TrainingError where a step since the last `read` or `check` was not finite. Waits for the device."""
        if self._unread:
            self._raise_if_bad(self._bad.cpu())

    def _note(self, batch: PackedBatch, doc_ids: DocIds, sums: Tensor, norm: Tensor) -> None:
        """Keep what a step measured and whether it was finite, on the device."""
        pair = torch.stack((sums[0], norm))
        number = torch.full((), float(len(self._unread)), device=pair.device)
        found = torch.cat((torch.stack((torch.ones_like(number), number)), pair))
        keep = (self._bad[0] > 0) | pair.isfinite().all()
        self._bad = torch.where(keep, self._bad, found)
        self._measured = torch.cat((pair, sums[1:]))
        self._unread.append((batch, doc_ids))

    def _raise_if_bad(self, values: Tensor) -> None:
        """values, on the CPU: `_bad`, and more."""
        bad, number, loss_nats, gradient_norm = values[:4].tolist()
        unread, self._unread = self._unread, []
        if not bad:
            return
        self._forget_gradients()
        self._bad.zero_()
        batch, doc_ids = unread[int(number)]
        name, value = ("gradient norm", gradient_norm) if math.isfinite(loss_nats) else ("loss", loss_nats)
        raise self._not_finite(f"the {name} of step {batch.step} is {value}", doc_ids(batch))

    def _forget_gradients(self) -> None:
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)

    def _accumulate(self, batch: PackedBatch, stop: Callable[[], bool]) -> Tensor | None:
        """Add up gradients; [1 + 2 · heads · 3]: mean loss, nats and labels of the whole step. None: stopped."""
        device, config = self.dist.device, self.config
        ids, next_ids = (to_device(part, device).long() for part in (batch.ids, batch.next_ids))
        documents = to_device(batch.documents, device)
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


def to_device(array: np.ndarray, device: torch.device) -> Tensor:
    """An array on a device. From pinned memory: a copy from other memory would wait for the device."""
    on_host = torch.from_numpy(array)
    return on_host.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else on_host.to(device)
