"""What other formatting costs a trained arm: bits per byte behind a context in each format.

An arm that has seen raw bytes reads raw bytes, as at inference; tokenizer-only reads tokens.
"""

from __future__ import annotations

from schemas.errors import DatasetError
from trainer.data.dataset import Dataset
from trainer.evaluation.formatting import format_bits, read_reformatted
from trainer.model.evabyte import EvaByte
from trainer.reproduction.arms import Job


def job_format_bits(job: Job, model: EvaByte, *, data: str, formats: str) -> dict[str, float]:
    """Bits per byte by format, of the job's model; DatasetError where `formats` has other tokens than `data`."""
    compressor = None if job.arm.reads_raw else job.arm.compressor
    if compressor:
        _check_same_encoding(Dataset(formats, compressor=compressor), job.arm.dataset(data), compressor)
    return format_bits(model, read_reformatted(formats, compressor))


def _check_same_encoding(texts: Dataset, data: str, compressor: str) -> None:
    trained = Dataset(data, compressor=compressor).manifest.compressors[compressor]["digest"]
    if texts.manifest.compressors[compressor]["digest"] != trained:
        raise DatasetError(
            f"{texts.location} was encoded by another {compressor} than {data}; preprocess it with that one's model"
        )
