"""Raw bytes in, raw bytes out: prompts are continued without any compressor.

    <bos> <raw> prompt ──forward──► byte, byte, … until </raw>, <eos> or `max_bytes`

Speculation: the model's later heads guess the bytes after the next one for free. One forward then reads the next byte
and all guesses; what the first head says at each of them is what decoding without speculation would have said, so the
guesses are kept as far as they agree with it and the rest is forgotten. A choice depends on logits, seed and position
alone, so this changes no output, greedy or sampled, only the number of forwards. (Up to rounding: a forward over
several positions may differ from single ones in the last bits of a float, which matters where two ids tie to six
digits; in bf16, to two or three.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from schemas.errors import SettingsError
from schemas.vocabulary import BOS, RAW_BASE, RAW_OPEN
from trainer.generation.batch import Batch, Continuation
from trainer.generation.settings import Sampling
from trainer.model.evabyte import EvaByte

SEEDS = 1 << 63
"""Number of seeds that there are."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Generation:
    """One continuation."""

    text: bytes
    """The new bytes, without the prompt and without the symbol that ended them."""
    ended: bool
    """Whether the model closed the text itself, with </raw> or <eos>."""
    forwards: int
    """Forward passes that this took, the prompt's included."""

    @property
    def symbols_per_forward(self) -> float:
        """Bytes, and the end if there is one, per forward: 1 for plain decoding."""
        return (len(self.text) + self.ended) / self.forwards


def generate(
    model: EvaByte,
    prompts: Sequence[bytes],
    *,
    max_bytes: int,
    sampling: Sampling | None = None,
    seeds: Sequence[int] | None = None,
    speculate: bool = True,
    batch_size: int = 16,
    opening: Sequence[int] = (BOS, RAW_OPEN),
) -> list[Generation]:
    """Continue each prompt by at most `max_bytes` bytes.

    seeds: one non-negative integer per prompt (default: its index); a sample depends on its prompt and seed only.
    batch_size: prompts in memory at a time. opening: ids before the prompt; a model trained without sentinels wants
    (BOS,). SettingsError for counts that do not fit.
    """
    seeds = range(len(prompts)) if seeds is None else seeds
    if len(seeds) != len(prompts):
        raise SettingsError(f"{len(seeds)} seeds for {len(prompts)} prompts; give one seed per prompt")
    if max_bytes < 0 or batch_size < 1 or not opening:
        raise SettingsError(
            f"max_bytes {max_bytes} must be at least 0, batch size {batch_size} at least 1, and the opening must hold "
            "an id"
        )
    for seed in seeds:
        if not 0 <= seed < SEEDS:
            raise SettingsError(f"seed {seed} must be at least 0 and below 2^63")
    return continue_ids(
        model,
        [[*opening, *(RAW_BASE + byte for byte in prompt)] for prompt in prompts],
        max_bytes=max_bytes,
        sampling=sampling or Sampling(),
        seeds=seeds,
        speculate=speculate,
        batch_size=batch_size,
    )


def continue_ids(
    model: EvaByte,
    texts: Sequence[Sequence[int]],
    *,
    max_bytes: int,
    sampling: Sampling,
    seeds: Sequence[int],
    speculate: bool = True,
    batch_size: int = 16,
) -> list[Generation]:
    """Raw bytes after any ids, compressed ones too; the other arguments are those of `generate`."""
    running = [
        Continuation(ids=ids, max_bytes=max_bytes, sampling=sampling, seed=int(seed))
        for ids, seed in zip(texts, seeds, strict=True)
    ]
    if not running:
        return []
    batch = Batch(model, min(batch_size, len(running)), max(map(len, texts)) + max_bytes, speculate=speculate)
    waiting = iter(running)
    while True:
        batch.add(list(islice(waiting, batch.free)))
        if not batch.texts:
            break
        batch.step()
    return [Generation(text=text.text, ended=text.ended, forwards=text.forwards) for text in running]
