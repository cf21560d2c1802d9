"""The loop: windows in, checkpoints and a finished byte LM out, resumed exactly.

windows of a step, this rank's rows ─► bits per byte ─► gradients, summed over ranks ─► clip ─► Muon, AdamW
                                         └─ every `checkpoint_steps`: OUT/checkpoints/step-N, the last one is kept
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kernels.byte_lm import ByteLM
from kernels.byte_lm_config import PRESETS
from schemas.errors import ArtifactError, SettingsError, TrainingError
from schemas.files import sha256_hex
from schemas.progress import Progress
from schemas.sample import Sample
from trainer.byte_lm.estimate import announce
from trainer.byte_lm.publish import publish
from trainer.byte_lm.settings import ByteLMTraining
from trainer.byte_lm.start import initialise
from trainer.byte_lm.windows import IGNORE, windows
from trainer.training import checkpoint
from trainer.training.muon import Muon, matrices_and_others
from trainer.training.optim import adamw
from trainer.training.parallel import Distributed
from trainer.training.schedule import lr_share, set_learning_rate


def train_byte_lm(
    sample: Sample, training: ByteLMTraining, *, out: str, dist: Distributed, progress: Progress | None = None
) -> Iterator[tuple[int, float]]:
    """Train into directory `out`, continuing from its last checkpoint; yields (steps done, loss in bits per byte).

    progress: is told the steps done and the loss. ArtifactError where the sample has no text or `out` holds another
    training, SettingsError where the ranks cannot share the rows evenly, TrainingError where it diverges.
    """
    if not sample.train.raw.size:
        raise ArtifactError("the sample holds no training text; give more input than the held-out share")
    if training.rows % dist.size:
        raise SettingsError(f"--rows is {training.rows}, which {dist.size} ranks cannot share evenly; give a multiple")
    model = ByteLM(PRESETS[training.size])
    initialise(model, training.seed)
    model.to(dist.device)
    steps = _Steps(model, training, sample, dist)
    text = sha256_hex(sample.train.offsets.tobytes() + sample.train.raw.tobytes())
    content = {**training.content(), "text": text}
    state = checkpoint.resume(out, model, *steps.optimizers, content=content)
    step = state["step"] if state else 0
    if step < training.steps and dist.is_first:
        announce(model, training, training.steps - step)
    if progress:
        progress.to(step)
    while step < training.steps:
        bits = steps.take(step)
        step += 1
        if progress:
            progress.to(step, f"{bits:.3f} bits per byte")
        if step % training.checkpoint_steps == 0 and step < training.steps:
            state = {"step": step, "settings": content}
            checkpoint.save(out, model, *steps.optimizers, dist=dist, state=state, keep=1)
        yield step, bits
    if progress:
        progress.to(step, "now scoring held-out text")
    if dist.is_first:
        publish(model, sample, training, out)
    dist.barrier()


class _Steps:
    """The steps of one rank, on a model and optimizers that it changes."""

    def __init__(self, model: ByteLM, training: ByteLMTraining, sample: Sample, dist: Distributed) -> None:
        self.model, self.training, self.text, self.dist = model, training, sample.train, dist
        self.muon, self.adamw = make_optimizers(model, training)
        self.optimizers = (self.muon, self.adamw)
        # On a CPU compiling would take longer than the tiny size's training.
        self.forward = torch.compile(model) if dist.device.type == "cuda" else model

    def take(self, step: int) -> float:
        """Forward, backward and update; the loss of all ranks' windows in bits per byte, before the update."""
        training, dist = self.training, self.dist
        inputs, labels = (torch.from_numpy(array) for array in windows(self.text, training, step))
        counted = int((labels != IGNORE).sum())
        mine = slice(dist.rank, None, dist.size)
        inputs, labels = (part[mine].to(dist.device, non_blocking=True) for part in (inputs, labels))
        with torch.autocast(dist.device.type, torch.bfloat16, enabled=dist.device.type == "cuda"):
            logits = self.forward(inputs)
        nats = F.cross_entropy(logits.flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORE, reduction="sum")
        (nats / counted).backward()
        sum_gradients(self.model, dist)
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), training.clip_norm)
        loss, norm = torch.stack((dist.total(nats.detach()) / counted, norm)).tolist()
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise TrainingError(f"byte LM training diverged at step {step}; lower --matrix-lr and --other-lr")
        share = lr_share(
            step,
            steps=training.steps,
            warmup_steps=training.lr_warmup_steps,
            final_share=training.final_lr_share,
            fall="linear",
        )
        for optimizer, peak in ((self.muon, training.matrix_lr), (self.adamw, training.other_lr)):
            set_learning_rate(optimizer, peak * share)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        return loss / math.log(2)


def make_optimizers(model: ByteLM, training: ByteLMTraining) -> tuple[Muon, torch.optim.AdamW]:
    """Muon for the blocks' matrices, AdamW for embedding, head and gains."""
    matrices, others = matrices_and_others(model)
    return (
        Muon(matrices, lr=training.matrix_lr, momentum=training.matrix_momentum),
        adamw(others, lr=training.other_lr, betas=(0.9, 0.95), eps=1e-8, weight_decay=0.0),
    )


def sum_gradients(model: nn.Module, dist: Distributed) -> None:
    """Replace the gradients by their sums over all ranks, in one exchange."""
    if dist.size == 1:
        return
    gradients: list[Tensor] = [weight.grad for weight in model.parameters() if weight.grad is not None]
    flat = dist.total(torch.cat([gradient.flatten() for gradient in gradients]))
    for gradient, part in zip(gradients, flat.split([gradient.numel() for gradient in gradients]), strict=True):
        gradient.copy_(part.view_as(gradient))
