"""A run of 30 MB predicted from one of 8 MB: bytes, counts and seconds, predicted over measured."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from pipeline.compressors.registry import COMPRESSORS_DIRECTORY
from pipeline.planning.plan import Estimate, estimate
from pipeline.planning.rates import Measured, measured
from pipeline.planning.settings import PlanSettings
from tests.bench.common import dataset, documents

SIZES_BYTES = (8_000_000, 30_000_000)
PIECE_BYTES = 16_000
SAMPLE_BYTES = 4_000_000
UNIT_BYTES = 8_000_000


def main() -> None:
    """Preprocess both sizes with the dataset's models, one worker; print each figure's ratio."""
    directory = dataset()
    with tempfile.TemporaryDirectory() as scratch:
        small, large = (_run(directory, Path(scratch), size_bytes) for size_bytes in SIZES_BYTES)
        plan = estimate(small, PlanSettings(corpus_bytes=large.raw_bytes, unit_bytes=UNIT_BYTES))
        print(f"{small.raw_bytes:,} bytes tell of {large.raw_bytes:,}, one worker; predicted / measured:")
        for name, predicted, found in _figures(plan, large):
            print(f"  {name:18} {predicted:14,.2f} / {found:14,.2f}   {predicted / found - 1:+.1%}", flush=True)


def _run(directory: str, scratch: Path, size_bytes: int) -> Measured:
    """A finished run over the first pieces of the dataset's documents, alternating so that both sizes are alike."""
    corpus, output = scratch / f"{size_bytes}.jsonl", scratch / f"out-{size_bytes}"
    texts = [text[at : at + PIECE_BYTES] for text in documents(directory) for at in range(0, len(text), PIECE_BYTES)]
    every = max(1, sum(map(len, texts)) // size_bytes)
    with corpus.open("w", encoding="utf-8") as file:
        for text in texts[::every]:
            file.write(json.dumps({"text": text.decode(errors="ignore")}) + "\n")
    models = os.path.join(directory, COMPRESSORS_DIRECTORY)
    command = [sys.executable, "-m", "pipeline", "preprocess", "--input", str(corpus), "--output", str(output)]
    command += ["--lm", f"{models}/neural", "--tokenizer", f"{models}/tokenizer/tokenizer.model", "--workers", "1"]
    command += ["--sample-bytes", str(SAMPLE_BYTES), "--unit-bytes", str(UNIT_BYTES)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return measured(str(output))


def _figures(plan: Estimate, large: Measured) -> list[tuple[str, float, float]]:
    totals = large.manifest.totals
    report = json.loads(Path(large.directory, "report.json").read_bytes())
    return [
        ("documents", plan.documents, totals.written),
        ("storage, bytes", plan.storage_bytes, large.file_bytes),
        *((f"symbols, {name}", plan.symbols[name], count) for name, count in totals.symbols.items()),
        *((f"seconds, {stage}", seconds, report["stage_seconds"][stage])
          for stage, seconds in {**plan.stage_seconds, "byte_lm": plan.model_seconds}.items()),
        ("seconds, shards", plan.seconds, report["shards_wall_seconds"]),
    ]  # fmt: skip


if __name__ == "__main__":
    main()
