"""Settings, byte LMs and artifacts for the tests of the neural compressor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pipeline.compressors.neural.build import build_neural
from pipeline.compressors.neural.settings import NeuralSettings, ThetaTarget
from schemas.batches import Documents
from schemas.byte_lm_files import write_byte_lm
from tests.kernels.exact_models import quantised
from tests.kernels.micro_lm import micro_lm

PAIRS, DOCUMENT = "pairs", "document"


def neural_settings(score: int | str = PAIRS, *, theta: str = "quantile=0.7", **changes: Any) -> NeuralSettings:
    """Settings with boundaries by pairs, by the whole document, or by entropies given so many bytes."""
    if isinstance(score, int):
        changes = {"boundary_score": "context_entropy", "score_context_bytes": score, **changes}
    elif score == DOCUMENT:
        changes = {"boundary_score": "document_entropy", **changes}
    return NeuralSettings(theta=ThetaTarget.parse(theta), **changes)


def save_lm(directory: Path, seed: int = 0, **config: object) -> str:
    """A micro LM on disk, with a changed config where one is given."""
    model = micro_lm(seed)
    described = {**model.config.to_dict(), **config}
    write_byte_lm(str(directory), config=described, training={"size": "micro"}, arrays=quantised(model))
    return str(directory)


def build(
    directory: Path, lm: str, documents: Documents, score: int | str = PAIRS, *, threads: int = 1, **settings: Any
) -> str:
    """An artifact; `settings` are those of `neural_settings`."""
    build_neural(
        str(directory),
        lm_directory=lm,
        documents=documents,
        settings=neural_settings(score, **settings),
        device="cpu",
        threads=threads,
        request={"lm": "given", "sample_bytes": 1 << 20},
    )
    return str(directory)
