"""Exported folders, opened by the code that they carry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainer.model.evabyte import EvaByte
from trainer.model.hf.modeling_evabyte import EvaByteForCausalLM
from trainer.model.hf.tokenization_evabyte import EvaByteTokenizer
from trainer.model.hf_export import export_model

LENGTHS = (1, 2, 3, 4, 5, 15, 16, 17, 31, 32, 33, 47, 48, 49, 70)
"""Around the borders of chunks of 4 and windows of 16."""


def opened_export(model: EvaByte, directory: Path, **options: Any) -> EvaByteForCausalLM:
    """`model` after its way to `directory` and through transformers."""
    export_model(model, str(directory), **options)
    return EvaByteForCausalLM.from_pretrained(directory).eval()


def tokenizer_of(directory: Path, **options: Any) -> EvaByteTokenizer:
    """The tokenizer of an exported folder."""
    return EvaByteTokenizer.from_pretrained(directory, **options)
