"""Train the byte LM on a sample (`python -m trainer lm`), resumably, and report held-out bits per byte.

    sample.arrow ── windows(seed, step) ──► ByteLM.forward ──► Muon on the blocks' matrices, AdamW on the rest
                                                └─ every `checkpoint_steps`: training/step-N.safetensors
    held-out rows ──► bits per byte ──► weights.safetensors + lm.json

Windows start anywhere in a document, so that a few bytes of context are as much in distribution as many. The windows
of a step are a function of (seed, step) alone; on one machine with one thread count the weights are too.
"""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kernels.byte_lm import ByteLM
from kernels.byte_lm_config import PRESETS, START
from kernels.byte_model import ByteModel
from kernels.byte_windows import scored_logits
from kernels.exact_lm import ExactByteLM
from kernels.exact_quantise import quantise_byte_lm
from schemas.batches import Documents
from schemas.byte_lm_files import write_byte_lm
from schemas.errors import ArtifactError, SettingsError
from schemas.files import atomic_path, sha256_hex
from schemas.sample import Sample

logger = logging.getLogger(__name__)

IGNORE = -100


@dataclass(frozen=True, kw_only=True, slots=True)
class ByteLMTraining:
    """How a byte LM is trained."""

    steps: int
    rows: int
    """Windows per step."""
    window_bytes: int
    """Length of a training window."""
    matrix_lr: float
    """Peak learning rate of Muon, for the blocks' matrices."""
    other_lr: float
    """Peak learning rate of AdamW, for embedding, head and gains."""
    warmup_steps: int = 50
    final_lr_share: float = 0.02
    checkpoint_steps: int = 200
    held_out_bytes: int = 1 << 17
    """How much of the held-out text is scored at the end."""
    seed: int = 0

    def __post_init__(self) -> None:
        counts = ("steps", "rows", "window_bytes", "warmup_steps", "checkpoint_steps")
        for name in counts:
            if getattr(self, name) < 1:
                raise SettingsError(f"byte LM training: {name} is {getattr(self, name)}; give at least 1")


DEFAULTS = {
    "tiny": ByteLMTraining(steps=450, rows=40, window_bytes=32, matrix_lr=0.02, other_lr=0.005),
    "40m": ByteLMTraining(
        steps=20_000,
        rows=256,
        window_bytes=512,
        matrix_lr=0.02,
        other_lr=0.003,
        warmup_steps=500,
        checkpoint_steps=1000,
    ),
}


def windows(documents: Documents, training: ByteLMTraining, step: int) -> tuple[np.ndarray, np.ndarray]:
    """Inputs and labels int64 [rows, window_bytes] of a step; labels past a document's end are IGNORE."""
    rng = np.random.Generator(np.random.Philox(key=[training.seed, step]))
    starts = rng.integers(0, documents.raw.size, training.rows)
    ends = documents.offsets[np.searchsorted(documents.offsets, starts, "right")]
    at = starts[:, None] + np.arange(training.window_bytes)
    inside = at < ends[:, None]
    labels = np.where(inside, documents.raw[np.minimum(at, documents.raw.size - 1)].astype(np.int64), IGNORE)
    heads = np.full((training.rows, 1), START, np.int64)
    return np.concatenate((heads, np.maximum(labels[:, :-1], 0)), 1), labels


def lr_share(training: ByteLMTraining, step: int) -> float:
    """Share of the peak learning rate: linear up over the warm-up, then linear down to `final_lr_share`."""
    warmup = min(1.0, (step + 1) / training.warmup_steps)
    return warmup * (1 - (1 - training.final_lr_share) * step / training.steps)


def train_byte_lm(
    sample: Sample, *, size: str, training: ByteLMTraining, out: str, device: str
) -> Iterator[tuple[int, float]]:
    """Train into directory `out`, continuing from its last checkpoint; yields (step, loss in bits per byte)."""
    if not sample.train.raw.size:
        raise ArtifactError("the sample holds no training text; give more input than the held-out share")
    model = ByteLM(PRESETS[size])
    model.initialise(training.seed)
    model.to(device)
    optimizers = _optimizers(model, training)
    folder = os.path.join(out, "training")
    text = sha256_hex(sample.train.offsets.tobytes() + sample.train.raw.tobytes())
    identity = {"size": size, "text": text, **{key: str(value) for key, value in sorted(asdict(training).items())}}
    step = _resume(model, optimizers, folder, identity)
    while step < training.steps:
        inputs, labels = (torch.from_numpy(array).to(device) for array in windows(sample.train, training, step))
        loss = _step(model, optimizers, inputs, labels, lr_share(training, step))
        step += 1
        if step % training.checkpoint_steps == 0 and step < training.steps:
            _checkpoint(model, optimizers, folder, identity, step)
        yield step, loss / math.log(2)
    weights = {name: weight.detach().float().cpu().numpy() for name, weight in model.state_dict().items()}
    arrays = quantise_byte_lm(model.config, weights)
    scored = min(training.held_out_bytes, sample.held_out.raw.size)

    def held_out(scored_by: ByteModel) -> float | None:
        return round(held_out_bits_per_byte(scored_by, sample.held_out, scored), 4) if scored else None

    described = {
        **asdict(training),
        "size": size,
        "device": device,
        "threads": torch.get_num_threads(),
        "train_bytes": int(sample.train.raw.size),
        "held_out_scored_bytes": scored,
        "held_out_bits_per_byte": held_out(ExactByteLM(model.config, arrays, device=device)),
        "held_out_bits_per_byte_before_quantising": held_out(model),
    }
    write_byte_lm(out, config=model.config.to_dict(), training=described, arrays=arrays)


def _optimizers(model: ByteLM, training: ByteLMTraining) -> dict[str, torch.optim.Optimizer]:
    matrices: list[nn.Parameter] = []
    others: list[nn.Parameter] = []
    for name, weight in model.named_parameters():
        (matrices if weight.dim() == 2 and name.startswith("blocks.") else others).append(weight)
    return {
        "muon": torch.optim.Muon(matrices, lr=training.matrix_lr, momentum=0.95, weight_decay=0.0),
        "adamw": torch.optim.AdamW(others, lr=training.other_lr, betas=(0.9, 0.95), weight_decay=0.0),
    }


def _step(
    model: ByteLM, optimizers: dict[str, torch.optim.Optimizer], inputs: Tensor, labels: Tensor, share: float
) -> float:
    """One optimiser step; returns the loss in nats per byte."""
    loss = F.cross_entropy(model(inputs).flatten(0, 1).float(), labels.flatten(), ignore_index=IGNORE)
    value = float(loss.detach())
    if not math.isfinite(value):
        raise ArtifactError("byte LM training diverged: the loss is not finite; lower --matrix-lr and --other-lr")
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    for optimizer in optimizers.values():
        for group in optimizer.param_groups:
            peak = group.setdefault("peak_lr", group["lr"])
            group["lr"] = peak * share
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return value


def _checkpoint(
    model: ByteLM, optimizers: dict[str, torch.optim.Optimizer], folder: str, identity: dict[str, str], step: int
) -> None:
    """One safetensors file with weights and optimiser state, renamed when whole; older ones go."""
    os.makedirs(folder, exist_ok=True)
    tensors = {f"model/{name}": weight for name, weight in model.state_dict().items()}
    for name, optimizer in optimizers.items():
        for index, state in optimizer.state_dict()["state"].items():
            tensors |= {f"{name}/{index}/{key}": value for key, value in state.items()}
    path = os.path.join(folder, f"step-{step:08d}.safetensors")
    with atomic_path(path) as temporary:
        save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, temporary, metadata=identity)
    for older in _checkpoints(folder)[:-1]:
        os.remove(os.path.join(folder, older))


def _checkpoints(folder: str) -> list[str]:
    if not os.path.isdir(folder):
        return []
    return sorted(name for name in os.listdir(folder) if name.endswith(".safetensors"))


def _resume(model: ByteLM, optimizers: dict[str, torch.optim.Optimizer], folder: str, identity: dict[str, str]) -> int:
    """Load the last checkpoint, if there is one, and return its step."""
    names = _checkpoints(folder)
    if not names:
        return 0
    path = os.path.join(folder, names[-1])
    with safe_open(path, "pt") as file:
        if file.metadata() != identity:
            raise ArtifactError(
                f"{folder} holds the training of another setting or text; remove it or choose another --out"
            )
    tensors = load_file(path, device=str(model.head.weight.device))
    model.load_state_dict({key.removeprefix("model/"): t for key, t in tensors.items() if key.startswith("model/")})
    for name, optimizer in optimizers.items():
        described = optimizer.state_dict()
        state: dict[int, dict[str, Tensor]] = {}
        for key, tensor in tensors.items():
            if key.startswith(f"{name}/"):
                _, index, field = key.split("/")
                state.setdefault(int(index), {})[field] = tensor
        optimizer.load_state_dict({**described, "state": state})
    return int(names[-1].removeprefix("step-").removesuffix(".safetensors"))


def held_out_bits_per_byte(model: ByteModel, documents: Documents, limit_bytes: int) -> float:
    """Bits per byte over the first `limit_bytes` of the documents, each byte scored once (`kernels.byte_windows`)."""
    offsets = np.minimum(documents.offsets, limit_bytes)
    bits = 0.0
    for outputs, places in scored_logits(model, documents.raw, offsets):
        symbols = torch.from_numpy(documents.raw[places].astype(np.int64)).to(outputs.device)
        bits += float(model.surprisals_bits(outputs, symbols).sum())
    return bits / float(offsets[-1])
