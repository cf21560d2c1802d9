"""What other formatting costs each trained arm: OUT/JOB/formats.json, made from the job's last checkpoint.

An arm that has seen raw bytes reads raw bytes, as at inference; tokenizer-only reads tokens.
"""

from __future__ import annotations

import json
import os
from typing import Any

from schemas.errors import ArtifactError, DatasetError
from schemas.files import canonical_json, replace_file, sha256_hex
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
        kept = _read(path)
        if kept["identity"] != own:
            raise ArtifactError(f"{path} belongs to other texts or another run; remove it and run again")
        return dict(kept["bits_per_byte"])
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


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            content: dict[str, Any] = json.load(file)
        if not {"identity", "bits_per_byte"} <= content.keys():
            raise ValueError("it lacks fields")
    except (ValueError, AttributeError) as error:
        raise ArtifactError(f"{path} is damaged ({error}); remove it and run again") from error
    return content
