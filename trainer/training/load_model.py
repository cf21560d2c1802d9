"""A trained model from wherever it lies: a run, one of its checkpoints, or an export."""

from __future__ import annotations

import os
from typing import Annotated, Any

from schemas.errors import ArtifactError, refusing
from schemas.json_files import record, typed
from trainer.model.config import EvaByteConfig
from trainer.model.evabyte import EvaByte, meta_model
from trainer.model.hf_export import check_size, import_model
from trainer.training import checkpoint

OF_RUN = {
    "sequence_length": Annotated[int, range(1, 1 << 31)],
    "held_out_share": float,
    "compressor": str | None,
    "literals": bool,
    "mixing": dict[str, Any],
}
"""What evaluation takes from the settings of a run."""


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
    with refusing(os.path.join(path, checkpoint.STATE_NAME), ArtifactError, checkpoint.EARLIER):
        config = record(EvaByteConfig, state.get("config"), whole=False)
        check_size(config, path, bytes_of_each=4)
        settings = _checked(state["settings"])
    model = meta_model(config).to_empty(device=device)
    checkpoint.load(path, {f"model.{name}": parameter.data for name, parameter in model.named_parameters()})
    return model.eval().requires_grad_(False), settings


def _checked(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a run, if those that evaluation takes from them are of their types; else ValueError."""
    for name, hint in OF_RUN.items():
        if name in settings:
            typed(hint, settings[name], f"{name} of settings")
    if "mixing" in settings:
        typed(str, settings["mixing"].get("mode", ""), "mode of mixing")
    return settings
