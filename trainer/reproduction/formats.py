"""What other formatting costs each trained arm: OUT/JOB/formats.json, made from the job's last checkpoint.

An arm that has seen raw bytes reads raw bytes, as at inference; tokenizer-only reads tokens.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from schemas.errors import ArtifactError, DatasetError
from schemas.files import canonical_json, replace_file, sha256_hex
from schemas.formats import AS_IS
from schemas.json_files import read_record
from trainer.data.dataset import Dataset
from trainer.evaluation.formatting import format_bits, read_reformatted
from trainer.reproduction.arms import Job
from trainer.reproduction.run import identity
from trainer.training.load_model import load_model

FORMATS_NAME = "formats.json"


def job_format_bits(job: Job, *, data: str, formats: str, out: str, device: str) -> dict[str, float]:
    """Bits per byte by format, computed now or read from an earlier run; ArtifactError where that had other texts."""
    compressor = None if job.arm.reads_raw else job.arm.compressor
    texts = Dataset(formats, compressor=compressor)
    if compressor:
        _check_same_encoding(texts, data, compressor)
    own = sha256_hex(canonical_json([identity(job, data), texts.manifest.to_bytes().hex()]))
    path = os.path.join(out, job.name, FORMATS_NAME)
    if os.path.exists(path):
        kept = read_record(_Formats, path, error=ArtifactError, remedy="remove it and run again")
        if kept.identity != own:
            raise ArtifactError(f"{path} belongs to other texts or another run; remove it and run again")
        return kept.bits_per_byte
    model, _ = load_model(os.path.join(out, job.name), device=device)
    bits = format_bits(model, read_reformatted(formats, compressor))
    replace_file(path, canonical_json({"identity": own, "bits_per_byte": bits}))
    return bits


def _check_same_encoding(texts: Dataset, data: str, compressor: str) -> None:
    trained = Dataset(data, compressor=compressor).manifest.compressors[compressor]["digest"]
    if texts.manifest.compressors[compressor]["digest"] != trained:
        raise DatasetError(
            f"{texts.location} was encoded by another {compressor} than {data}; preprocess it with that one's model"
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Formats:
    """formats.json."""

    identity: str
    bits_per_byte: dict[str, float]

    def __post_init__(self) -> None:
        if AS_IS not in self.bits_per_byte or len(self.bits_per_byte) < 2:
            raise ValueError(f"formats {sorted(self.bits_per_byte)}, not {AS_IS} and others")
