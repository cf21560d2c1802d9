"""A trained model from wherever it lies: a run, one of its checkpoints, or an export."""

from __future__ import annotations

import os
from typing import Any

from schemas.errors import ArtifactError
from trainer.model.config import EvaByteConfig
from trainer.model.evabyte import EvaByte, meta_model
from trainer.model.hf_export import import_model
from trainer.training import checkpoint


def load_model(path: str, *, device: str = "cpu") -> tuple[EvaByte, dict[str, Any]]:
    """The fp32 model, ready to read, and its run's settings (empty for an export); ArtifactError if there is none."""
    if os.path.exists(os.path.join(path, "config.json")):
        return import_model(path, device=device).eval().requires_grad_(False), {}
    if not os.path.exists(os.path.join(path, checkpoint.STATE_NAME)):
        saved = checkpoint.checkpoints(path)
        if not saved:
            raise ArtifactError(
                f"no checkpoint at {path}; train with `make train`, or name a run, a checkpoint or an export"
            )
        path = saved[-1]
    state = checkpoint.read_state(path)
    try:
        config = EvaByteConfig(**state["config"])
        settings = state["settings"]
    except (KeyError, TypeError) as error:
        raise ArtifactError(f"{path} has no usable shape ({error}); take an earlier checkpoint") from error
    model = meta_model(config).to_empty(device=device)
    checkpoint.load(path, {f"model.{name}": parameter.data for name, parameter in model.named_parameters()})
    return model.eval().requires_grad_(False), settings
