"""Bytes per second of generation, byte by byte and with guesses that are checked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from tests.gpu_check.clock import wait
from tests.gpu_check.run import CheckError, Figure
from tests.gpu_check.scale import Scale
from tests.gpu_check.texts import stdlib_texts
from tests.gpu_check.whole_run import RUN_DIRECTORY
from trainer.generation.generate import generate
from trainer.training.load_model import load_model

PROMPT_BYTES = 200


def generate_bytes(scale: Scale, scratch: Path) -> Iterator[Figure]:
    """By the model of the row `run`, one prompt and many."""
    if not (scratch / RUN_DIRECTORY / "checkpoints").exists():
        raise CheckError("there is no model: the row `run` makes it")
    model, _ = load_model(str(scratch / RUN_DIRECTORY), device=scale.device)
    texts = stdlib_texts(scale.prompts * 4096)[: scale.prompts]
    prompts = [text[:PROMPT_BYTES] for text in texts]
    for count in sorted({1, len(prompts)}):
        found = []
        for name, speculate in (("plain", False), ("speculative", True)):
            generate(model, prompts[:1], max_bytes=2, speculate=speculate)
            wait(scale.device)
            begin = time.perf_counter()
            results = generate(model, prompts[:count], max_bytes=scale.new_bytes, speculate=speculate)
            seconds = time.perf_counter() - begin
            made = sum(len(each.text) for each in results)
            found.append([each.text for each in results])
            yield f"bytes per second, {name}, prompts: {count}", made / seconds
            if speculate:
                forwards = sum(each.forwards for each in results)
                yield f"bytes per forward, prompts: {count}", made / forwards
        equal = sum(plain == guessed for plain, guessed in zip(*found, strict=True))
        yield f"texts that guessing left as they were, of {count}", equal
