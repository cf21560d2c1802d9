"""The boundary score that settings name: made of a sample, or read again from its table."""

from __future__ import annotations

import numpy as np

from kernels.boundary_score import BoundaryScore, DocumentEntropy, PairSurprisal
from kernels.byte_model import ByteModel
from kernels.context_entropy import ContextEntropy
from kernels.prefix_coding import PrefixCoder
from pipeline.compressors.neural.settings import NeuralSettings
from schemas.batches import Documents


def score_of_sample(
    settings: NeuralSettings, model: ByteModel, documents: Documents, *, threads: int = 1
) -> BoundaryScore:
    """The score that the settings name, with a table of a sample's pairs or contexts where it has one."""
    if settings.boundary_score == "pair_surprisal":
        return PairSurprisal.of_sample(documents.raw, documents.offsets)
    if settings.boundary_score == "document_entropy":
        return DocumentEntropy(model)
    coder = PrefixCoder(model, threads=threads)
    return ContextEntropy.of_sample(settings.score_context_bytes, documents.raw, documents.offsets, coder)


def score_from_table(
    settings: NeuralSettings, model: ByteModel, contexts: list[bytes], bits: np.ndarray
) -> BoundaryScore:
    """The score that the settings name, with the table that `BoundaryScore.table` gave: bits float32 [contexts]."""
    if settings.boundary_score == "pair_surprisal":
        return PairSurprisal(bits)
    if settings.boundary_score == "document_entropy":
        return DocumentEntropy(model)
    return ContextEntropy(settings.score_context_bytes, contexts, bits, PrefixCoder(model))
