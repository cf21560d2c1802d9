"""A whole run of `python -m trainer train`: its loss curve, its wait for data, its checkpoints."""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from tests.gpu_check.run import Figure
from tests.gpu_check.scale import Scale
from tests.gpu_check.texts import stdlib_texts
from tests.trainer.datasets import COMPRESSOR, Text, write_dataset
from trainer.training import checkpoint
from trainer.training.loop import train
from trainer.training.metrics import METRICS_NAME
from trainer.training.parallel import init_distributed
from trainer.training.settings import TrainSettings

RUN_DIRECTORY = "run"
"""In the scratch directory; other rows read it there."""
SHARDS = 4
PIECE_BYTES = 12_000
POINTS = 5


def run(scale: Scale, scratch: Path) -> Iterator[Figure]:
    """Raw bytes and pairs of them as symbols, of the standard library, by the loop with all its parts."""
    data = write_dataset(scratch / "data", _texts(8 * scale.text_bytes), batch_bytes=1 << 20)
    settings = TrainSettings.for_size(
        scale.run_size,
        data=str(data),
        run_dir=str(scratch / RUN_DIRECTORY),
        compressor=COMPRESSOR,
        steps=scale.run_steps,
        batch_symbols=scale.run_batch_symbols,
        sequence_length=scale.positions,
        micro_batch_size=1,
        lr_warmup_steps=scale.run_steps // 10,
        log_steps=1,
        checkpoint_steps=scale.run_steps // 2,
        keep_checkpoints=1,
        eval_bytes=scale.run_eval_bytes,
        device=scale.device,
    )
    begin = time.perf_counter()
    with init_distributed(scale.device) as dist:
        train(settings, dist)
    yield "seconds, all included", time.perf_counter() - begin
    lines = [json.loads(line) for line in (scratch / RUN_DIRECTORY / METRICS_NAME).read_text().splitlines()]
    for number in range(POINTS):
        line = lines[number * (len(lines) - 1) // (POINTS - 1)]
        yield f"loss of step {line['step']}, nats", line["loss_nats"]
    later = lines[len(lines) // 2 :]
    for key in ("symbols_per_second", "mfu", "data_wait_share"):
        if key in later[0]:
            yield f"{key.replace('_', ' ')}, median of the second half", statistics.median(line[key] for line in later)
    for key in ("held_out_bits_per_raw_byte", "evaluation_seconds", "checkpoint_wait_seconds"):
        found = [line[key] for line in lines if key in line]
        if found:
            yield key.replace("_", " "), found[-1]
    saved = Path(checkpoint.checkpoints(settings.run_dir)[-1])
    yield "checkpoint, GB", sum(file.stat().st_size for file in saved.iterdir()) / 1e9


def _texts(limit_bytes: int) -> list[Text]:
    """Pieces of the standard library, their bytes two by two as symbols."""
    texts: list[Text] = []
    for number, text in enumerate(stdlib_texts(limit_bytes)):
        for first in range(0, len(text), PIECE_BYTES):
            raw = text[first : first + PIECE_BYTES]
            symbols = [raw[i] << 8 | (raw[i + 1] if i + 1 < len(raw) else 0) for i in range(0, len(raw), 2)]
            texts.append(Text(f"{number}-{first}", raw, symbols, number % SHARDS, 0))
    return texts
