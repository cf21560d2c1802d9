"""A byte LM on disk: `weights.safetensors` and `lm.json` in one directory, named by one digest.

`lm.json` holds {"config": shape, "training": how it came to be}. The digest covers shape and weights, so it names what
the codes depend on and nothing else.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from schemas.errors import ArtifactError
from schemas.files import canonical_json, replace_file, sha256_hex

WEIGHTS_NAME = "weights.safetensors"
CONFIG_NAME = "lm.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class ByteLMFiles:
    """What is in the directory."""

    config: dict[str, Any]
    """Fields of `kernels.byte_lm_config.ByteLMConfig`."""
    training: dict[str, Any]
    """Steps, seed, corpus sample and held-out bits per byte, for people and for the manifest."""
    weights: dict[str, np.ndarray]
    """float32 arrays by parameter name."""
    digest: str


def digest_of(config: dict[str, Any], weights_file: bytes) -> str:
    """The LM's name: sha256 over its shape and its weights file."""
    return sha256_hex(canonical_json(config) + weights_file)


def write_byte_lm(
    directory: str, *, config: dict[str, Any], training: dict[str, Any], weights: dict[str, np.ndarray]
) -> str:
    """Write the two files, the config last, and return the digest."""
    os.makedirs(directory, exist_ok=True)
    weights_file = save({name: np.ascontiguousarray(array, np.float32) for name, array in sorted(weights.items())})
    replace_file(os.path.join(directory, WEIGHTS_NAME), weights_file)
    replace_file(os.path.join(directory, CONFIG_NAME), canonical_json({"config": config, "training": training}))
    return digest_of(config, weights_file)


def read_byte_lm(directory: str) -> ByteLMFiles:
    """Read a byte LM; ArtifactError where it is missing or damaged."""
    try:
        with open(os.path.join(directory, CONFIG_NAME), "rb") as file:
            described = json.load(file)
        with open(os.path.join(directory, WEIGHTS_NAME), "rb") as file:
            weights_file = file.read()
        weights = load(weights_file)
        config, training = described["config"], described["training"]
    except FileNotFoundError as error:
        raise ArtifactError(
            f"no byte LM at {directory}: {os.path.basename(error.filename)} is missing; train one with `make lm`"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise ArtifactError(f"byte LM at {directory} is damaged ({error}); train it again with `make lm`") from error
    return ByteLMFiles(config=config, training=training, weights=weights, digest=digest_of(config, weights_file))
