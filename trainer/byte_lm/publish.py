"""A trained byte LM becomes an artifact: quantised, scored on held-out text, written as two files."""

from __future__ import annotations

import logging
from dataclasses import asdict

import numpy as np
import torch

from kernels.byte_lm import ByteLM
from kernels.byte_model import ByteModel
from kernels.byte_windows import scored_logits
from kernels.exact_lm import ExactByteLM
from kernels.exact_quantise import quantise_byte_lm
from schemas.batches import Documents
from schemas.byte_lm_files import write_byte_lm
from schemas.sample import Sample
from trainer.byte_lm.settings import ByteLMTraining

logger = logging.getLogger(__name__)

COMPARED_BYTES = 1 << 14
"""Held-out text on which the exact model is compared with the one that was trained: the latter is the slower one."""


def publish(model: ByteLM, sample: Sample, training: ByteLMTraining, out: str) -> None:
    """Round the weights to those of the exact byte LM, score it on the held-out text, and write it into `out`."""
    weights = {name: weight.detach().float().cpu().numpy() for name, weight in model.state_dict().items()}
    arrays = quantise_byte_lm(model.config, weights)
    exact = ExactByteLM(model.config, arrays, device=str(model.device))
    if exact.slower_because:
        logger.warning("%s", exact.slower_because)
    scored = min(training.held_out_bytes, sample.held_out.raw.size)
    compared = min(scored, COMPARED_BYTES)

    def held_out(scored_by: ByteModel, limit_bytes: int) -> float:
        return held_out_bits_per_byte(scored_by, sample.held_out, limit_bytes)

    described = {
        **asdict(training),
        "device": model.device.type,
        "threads": torch.get_num_threads(),
        "train_bytes": int(sample.train.raw.size),
        "held_out_scored_bytes": scored,
        "held_out_bits_per_byte": round(held_out(exact, scored), 4) if scored else None,
        "quantising_costs_bits_per_byte": round(held_out(exact, compared) - held_out(model, compared), 4)
        if scored
        else None,
    }
    write_byte_lm(out, config=model.config.to_dict(), training=described, arrays=arrays)


def held_out_bits_per_byte(model: ByteModel, documents: Documents, limit_bytes: int) -> float:
    """Bits per byte over the first `limit_bytes` of the documents, each byte scored once (`kernels.byte_windows`)."""
    offsets = np.minimum(documents.offsets, limit_bytes)
    bits = 0.0
    for outputs, places in scored_logits(model, documents.raw, offsets):
        symbols = torch.from_numpy(documents.raw[places].astype(np.int64)).to(outputs.device)
        bits += float(model.surprisals_bits(outputs, symbols).sum())
    return bits / float(offsets[-1])
