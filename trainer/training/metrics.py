"""What a run reports: one JSON line per logged step, always; TensorBoard where it is installed; W&B where asked for.

    {"step": 120, "loss_nats": 3.21, "bits_per_raw_byte": 3.9, "compressed_fraction": 0.9, "gradient_norm": 0.31, …}

Units are part of the names. Lines of steps that a resumed run will do again are dropped when it starts.
"""

from __future__ import annotations

import json
import logging
import math
import os
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from schemas.errors import ArtifactError, one_line, refusing
from schemas.files import replace_file
from schemas.json_files import Count, parse_object, said, typed
from schemas.vocabulary import SPAN_KINDS

logger = logging.getLogger(__name__)

METRICS_NAME = "metrics.jsonl"
EPOCHS_KEY = "epochs"
"""Of one dataset; of several `epochs/NAME` each."""
HELD_OUT_KEY = "held_out_bits_per_raw_byte"
WANDB_ID_NAME = "wandb-id.txt"
PEAK_FLOP_PER_SECOND = {
    "NVIDIA A100-SXM4-40GB": 312e12,
    "NVIDIA A100-SXM4-80GB": 312e12,
    "NVIDIA A100-PCIE-40GB": 312e12,
    "NVIDIA A100 80GB PCIe": 312e12,
    "NVIDIA H100 80GB HBM3": 989e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H200": 989e12,
    "NVIDIA H200 NVL": 835e12,
    "NVIDIA GH200 480GB": 989e12,
    "NVIDIA B200": 2250e12,
    "NVIDIA L4": 121e12,
    "NVIDIA L40": 181e12,
    "NVIDIA L40S": 362e12,
    "NVIDIA GeForce RTX 4090": 165e12,
    "AMD Instinct MI300X": 1307e12,
}
"""Dense bf16 rate of GPUs by the names that their drivers give, from their makers' tables; others have no MFU."""


def bits_per_label(nats: torch.Tensor, labels: torch.Tensor) -> dict[str, float]:
    """Of the first head: bits per raw byte and per compressed symbol. nats, labels: [heads, 3], sums over the step."""
    values = {}
    for name, unit in (("raw", "byte"), ("comp", "symbol")):
        kind = SPAN_KINDS.index(name)
        count = float(labels[0, kind])
        if count:
            values[f"bits_per_{name}_{unit}"] = float(nats[0, kind]) / count / math.log(2)
    return values


def terminal_line(values: Mapping[str, float | int]) -> str:
    """A line of metrics for a terminal."""
    parts = [f"step {values['step']}: loss {values['loss_nats']:.3f} nats"]
    for key, unit in (("bits_per_raw_byte", "bits per raw byte"), ("bits_per_comp_symbol", "bits per comp symbol")):
        if key in values:
            parts.append(f"{values[key]:.2f} {unit}")
    if HELD_OUT_KEY in values:
        parts.append(f"held out {values[HELD_OUT_KEY]:.3f}")
    several = [(key.partition("/")[2], value) for key, value in values.items() if key.startswith(f"{EPOCHS_KEY}/")]
    if several:
        parts.append("epochs " + " ".join(f"{name} {value:.2f}" for name, value in several))
    parts.append(f"{values['symbols_per_second']:,.0f} symbols/s")
    return ", ".join(parts)


def peak_flop_per_second(device: torch.device) -> float | None:
    """The device's bf16 rate, if it is in the table."""
    if device.type != "cuda":
        return None
    return PEAK_FLOP_PER_SECOND.get(torch.cuda.get_device_name(device))


def mean_visible_keys(documents: np.ndarray, *, window: int, chunk: int) -> float:
    """Keys and summaries that a query sees on average, from document numbers [rows, T], as `kernels.eva` has them."""
    places = np.arange(documents.shape[1])
    begins = np.ones(documents.shape, bool)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    starts = np.maximum.accumulate(np.where(begins, places, 0), axis=1)
    window_start = places // window * window
    near = places + 1 - np.maximum(window_start, starts)
    far = np.maximum(0, window_start // chunk - starts // chunk)
    return float((near + far).mean())


class MetricsLog:
    """The metrics file of a run and its optional followers. A context manager."""

    def __init__(self, run: str, *, step: int, settings: Mapping[str, Any]) -> None:
        """`step`: first step that this process will do; later lines of an earlier one are dropped."""
        self._path = os.path.join(run, METRICS_NAME)
        self._drop_from(step)
        self._file = open(self._path, "a", encoding="utf-8")  # noqa: SIM115 - closed by __exit__
        self._board = _tensorboard(run)
        self._wandb = _wandb(run, settings)

    def __enter__(self) -> MetricsLog:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._board is not None:
            self._board.close()
        if self._wandb is not None:
            self._tell_wandb(self._wandb.finish)

    def write(self, values: Mapping[str, float | int | str]) -> None:
        """Write the metrics of one step, whose number is in `values["step"]`."""
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()
        numbers = {key: value for key, value in values.items() if isinstance(value, (int, float))}
        if self._board is not None:
            for key, value in numbers.items():
                self._board.add_scalar(key, value, numbers["step"])
        if self._wandb is not None:
            self._tell_wandb(self._wandb.log, numbers, step=numbers["step"])

    def _tell_wandb(self, call: Callable[..., Any], *values: Any, **named: Any) -> None:
        """What follows a run never ends it."""
        try:
            call(*values, **named)
        except Exception as error:
            logger.warning("W&B gets no more metrics (%s); %s goes on", one_line(error)[:200], self._path)
            self._wandb = None

    def _drop_from(self, step: int) -> None:
        """Keep the lines of steps before `step`; what a crash has left of others is dropped and said."""
        if not os.path.exists(self._path):
            return
        with open(self._path, "rb") as file:
            lines = file.readlines()
        steps = [_step_of(line) for line in lines]
        replace_file(self._path, b"".join(line for line, at in zip(lines, steps, strict=True) if -1 < at < step))
        # A last line that is half written is what a kill leaves.
        damaged = sum(at < 0 for at in steps[:-1])
        if damaged:
            logger.warning("%s had %d damaged lines, which are dropped: its curve has gaps", self._path, damaged)


def _step_of(line: bytes) -> int:
    """The step that a line of metrics tells of; -1 for a line that is none."""
    try:
        step: int = typed(Count, parse_object(line).get("step"), "step") if line.endswith(b"\n") else -1
    except ValueError:
        return -1
    return step


def _tensorboard(run: str) -> Any:
    try:
        from torch.utils.tensorboard.writer import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(os.path.join(run, "tensorboard"))


def _wandb(run: str, settings: Mapping[str, Any]) -> Any:
    """A W&B run where WANDB_PROJECT names one; nobody's metrics leave the machine unasked."""
    if not os.environ.get("WANDB_PROJECT"):
        return None
    try:
        import wandb
    except ImportError:
        logger.warning(
            "WANDB_PROJECT is set, but wandb is not installed: metrics go to %s only; pip install wandb, or unset it",
            os.path.join(run, METRICS_NAME),
        )
        return None
    try:
        return wandb.init(dir=run, config=dict(settings), resume="allow", id=wandb_run_id(run))
    except Exception as error:
        logger.warning(
            "WANDB_PROJECT is set, but W&B cannot begin (%s): metrics go to %s only; try WANDB_MODE=offline",
            one_line(error)[:200], os.path.join(run, METRICS_NAME),
        )  # fmt: skip
        return None


def wandb_run_id(run: str) -> str:
    """The id of a run directory's W&B run, made once and kept in the directory, so that no two runs share one."""
    path = os.path.join(run, WANDB_ID_NAME)
    if not os.path.exists(path):
        replace_file(path, f"{uuid.uuid4().hex[:12]}\n".encode())
    with refusing(path, ArtifactError, "remove it: the run then gets another id"), open(path, encoding="ascii") as file:
        found = file.read(100).strip()
        if not found.isalnum():
            raise ValueError(f"{said(found)} is no id")
        return found
