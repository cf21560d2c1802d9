"""A byte LM on disk: `weights.safetensors` and `lm.json` in one directory, named by one digest.

weights.safetensors   integers, scales and tables of the exact byte LM (`kernels.exact_quantise`), one array a name
lm.json               {"format", "config": shape, "training": how it came to be, "arrays": sha256 of each array}

The digest covers shape and arrays, so it names what the codes depend on and nothing else. Format 1 held float32
weights, whose codes depended on the machine.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from schemas.errors import ArtifactError, refusing
from schemas.files import canonical_json, replace_file, sha256_hex
from schemas.json_files import Count, read_json, record, said, typed

WEIGHTS_NAME = "weights.safetensors"
CONFIG_NAME = "lm.json"
BYTE_LM_FORMAT = 2
"""Changes when the arrays come to mean something else."""
_AGAIN = "train the byte LM again with `make lm`"


@dataclass(frozen=True, kw_only=True, slots=True)
class ByteLMFiles:
    """What is in the directory."""

    path: str
    """Of lm.json."""
    config: dict[str, Any]
    """Fields of `kernels.byte_lm_config.ByteLMConfig`."""
    training: dict[str, Any]
    """Steps, seed, corpus sample and held-out bits per byte, for people and for the manifest."""
    arrays: dict[str, np.ndarray]
    """Arrays of `kernels.exact_quantise.quantise_byte_lm` by name, each checked against its own sha256."""
    digest: str
    """sha256 over the shape and the arrays."""


def digest_of(config: dict[str, Any], array_digests: dict[str, str]) -> str:
    """The LM's name: sha256 over its shape and the digests of its arrays."""
    return sha256_hex(canonical_json({"format": BYTE_LM_FORMAT, "config": config, "arrays": array_digests}))


def array_digest(array: np.ndarray) -> str:
    """sha256 over dtype, shape and values of an array."""
    head = canonical_json([array.dtype.str, list(array.shape)])
    return sha256_hex(head + np.ascontiguousarray(array).tobytes())


def write_byte_lm(
    directory: str, *, config: dict[str, Any], training: dict[str, Any], arrays: dict[str, np.ndarray]
) -> str:
    """Write the two files, the config last, and return the digest."""
    os.makedirs(directory, exist_ok=True)
    ordered = {name: np.ascontiguousarray(array) for name, array in sorted(arrays.items())}
    digests = {name: array_digest(array) for name, array in ordered.items()}
    described = {"format": BYTE_LM_FORMAT, "config": config, "training": training, "arrays": digests}
    replace_file(os.path.join(directory, WEIGHTS_NAME), save(ordered))
    replace_file(os.path.join(directory, CONFIG_NAME), canonical_json(described))
    return digest_of(config, digests)


def read_byte_lm(directory: str) -> ByteLMFiles:
    """Read a byte LM; ArtifactError where it is missing, damaged or of another format."""
    path, weights = os.path.join(directory, CONFIG_NAME), os.path.join(directory, WEIGHTS_NAME)
    for needed in (path, weights):
        if not os.path.exists(needed):
            raise ArtifactError(
                f"no byte LM at {directory}: {os.path.basename(needed)} is missing; train one with `make lm`"
            )
    described = read_json(path, error=ArtifactError, remedy=_AGAIN)
    if described.get("format", 1) != BYTE_LM_FORMAT:
        raise ArtifactError(
            f"byte LM at {directory} has format {said(described.get('format', 1))}, this release reads "
            f"{BYTE_LM_FORMAT}; train it again with `make lm`, or preprocess into another directory"
        )
    with refusing(path, ArtifactError, _AGAIN):
        found = record(_Described, described)
        check_training(found.training)
    with refusing(weights, ArtifactError, _AGAIN, SafetensorError), open(weights, "rb") as file:
        arrays = load(file.read())
    _refuse_damaged(directory, arrays, found.arrays)
    digest = digest_of(found.config, found.arrays)
    return ByteLMFiles(path=path, config=found.config, training=found.training, arrays=arrays, digest=digest)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Described:
    """lm.json."""

    format: int
    config: dict[str, Any]
    training: dict[str, Any]
    arrays: dict[str, str]


def check_training(training: dict[str, Any]) -> None:
    """ValueError where what is said of a byte LM's quality is no number."""
    quality = typed(float | None, training.get("held_out_bits_per_byte"), "held_out_bits_per_byte")
    if quality:
        typed(Count, training.get("held_out_scored_bytes"), "held_out_scored_bytes")


def _refuse_damaged(directory: str, arrays: dict[str, np.ndarray], digests: dict[str, Any]) -> None:
    """ArtifactError that names the first array which is not the one that lm.json describes."""
    for name in sorted(arrays.keys() | digests.keys()):
        found = array_digest(arrays[name]) if name in arrays else "missing"
        wanted = digests.get(name, "unknown")
        if found != wanted:
            raise ArtifactError(
                f"byte LM at {directory} is damaged: array {name} is {found[:12]}, {CONFIG_NAME} says "
                f"{str(wanted)[:12]}; train it again with `make lm`"
            )
