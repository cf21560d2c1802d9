"""How large everything is: on a GPU what the figures are about, on a CPU the least that runs the same programs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Scale:
    """Sizes of all rows on one device."""

    device: str
    matrix: int
    """Rows and columns of the products that matrix rates are measured with."""
    copied_bytes: int
    byte_lm: str
    """Preset of the byte LM that is timed, with weights of no sense."""
    text_bytes: int
    """Text that is cut into segments, of this Python's standard library."""
    segments: tuple[int, ...]
    """How many unknown segments a call codes."""
    scored_bytes: int
    """Text whose document entropies are measured."""
    positions: int
    """Ids of a row, for attention and for training."""
    window: int
    heads: int
    head_sizes: tuple[int, ...]
    documents: tuple[int, ...]
    """How many documents a row has, for attention."""
    vocabulary: int
    """Ids of the models that are timed."""
    body: str
    """Size that stands in for every named one, "" for the named ones."""
    steps: int
    """Optimizer steps that are timed."""
    byte_lm_steps: int
    run_size: str
    run_steps: int
    run_batch_symbols: int
    run_eval_bytes: int
    prompts: int
    new_bytes: int
    corpus: str
    """Part of the standard library that is preprocessed, "" for all of it."""


SCALES = {
    "cuda": Scale(
        device="cuda",
        matrix=8192,
        copied_bytes=4 << 30,
        byte_lm="40m",
        text_bytes=2 << 20,
        segments=(200, 2_000, 20_000),
        scored_bytes=1 << 20,
        positions=16_384,
        window=2048,
        heads=16,
        head_sizes=(64, 128),
        documents=(1, 9),
        vocabulary=65_856,
        body="",
        steps=8,
        byte_lm_steps=30,
        run_size="0.5b",
        run_steps=200,
        run_batch_symbols=1 << 15,
        run_eval_bytes=1 << 16,
        prompts=16,
        new_bytes=256,
        corpus="",
    ),
    "cpu": Scale(
        device="cpu",
        matrix=256,
        copied_bytes=1 << 20,
        byte_lm="tiny",
        text_bytes=1 << 15,
        segments=(50,),
        scored_bytes=1 << 9,
        positions=256,
        window=64,
        heads=2,
        head_sizes=(16,),
        documents=(1, 3),
        vocabulary=1024,
        body="pico",
        steps=2,
        byte_lm_steps=2,
        run_size="pico",
        run_steps=4,
        run_batch_symbols=1 << 10,
        run_eval_bytes=1 << 8,
        prompts=2,
        new_bytes=16,
        corpus="json",
    ),
}
"""By device."""
