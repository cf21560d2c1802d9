"""The rows: what each measures, where its program is, and how long it may take on a GPU."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One row. Its program is a generator of (what, value) in a module that is imported in the row's own process."""

    name: str
    what: str
    module: str
    program: str
    limit_seconds: float
    arguments: tuple[str, ...] = ()


def _row(name: str, what: str, place: str, limit_seconds: float, *arguments: str) -> Row:
    module, program = place.split(":")
    return Row(
        name=name,
        what=what,
        module=f"tests.gpu_check.{module}",
        program=program,
        limit_seconds=limit_seconds,
        arguments=arguments,
    )


ROWS = (
    _row("machine", "device, driver, torch; matrix rates and copies, the yardsticks", "machine:machine", 40),
    _row("codes", "codes of the committed byte LM, integer for integer", "byte_lm:codes", 40),
    _row("encode", "prefixes per second of segments, share of the matrix rate", "byte_lm:encode", 60),
    _row("entropies", "bytes per second of document entropies, share of the matrix rate", "byte_lm:entropies", 40),
    _row("attention", "flex_attention beside SDPA: differences and times, both ways", "attention:attention", 90),
    _row("train-0.5b", "MFU, memory as predicted and as seen, recompilations", "training:step", 90, "0.5b"),
    _row("train-1.5b", "the same of 1.5b", "training:step", 90, "1.5b"),
    _row("train-byte-lm", "bytes per second of the byte LM's training, MFU", "byte_lm_training:steps", 60),
    _row("run", "a whole run: loss curve, wait for data, checkpoints", "whole_run:run", 150),
    _row("generate", "bytes per second, plain and speculative", "generation:generate_bytes", 60),
    _row("preprocess", "MB/s of a whole command", "preprocessing:preprocess", 90),
    _row("encode-torch", "`encode` by plain torch operators", "byte_lm:encode", 40, "torch"),
    _row("kept-0.5b", "0.5b without recomputation", "training:step", 90, "0.5b", "kept"),
)
"""In the order of their worth, since the time may be over before the last."""
