"""Does the model know that the two encodings are one text? comp in context, then raw, and the reverse.

    forward   <bos> <comp> c(x) </comp> <raw>  ──►  x </raw>         bytes, greedy
    reverse   <bos> <raw> x </raw> <comp>      ──►  c(x) </comp>     symbols, greedy

Bits per byte of x are taken alone, after its own comp, and after another document's comp, which is the control: a model
that has learnt the map pays far less after the right one, and nothing less after a wrong one. Documents that do not fit
into `positions` in both encodings are left out and counted.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from statistics import fmean

import numpy as np
import torch
from rapidfuzz.distance import Levenshtein

from schemas.errors import DatasetError, SettingsError
from schemas.vocabulary import BOS, COMP_BASE, COMP_CLOSE, COMP_OPEN, PAD, RAW_BASE, RAW_CLOSE, RAW_OPEN
from trainer.data.dataset import Dataset
from trainer.generation.generate import continue_ids
from trainer.generation.kv_cache import KVCache
from trainer.generation.settings import Sampling
from trainer.model.evabyte import EvaByte

SHAPE_STEP = 64
SEAMS = 6
"""<bos>, two sentinels around each encoding, and the symbol that ends the answer."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pair:
    """A document in both encodings, as model ids."""

    key: int
    """Hash of the doc_id: an order that has nothing to do with the corpus's."""
    raw: tuple[int, ...]
    comp: tuple[int, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Translation:
    """Figures over some documents. Shares and similarities are means over documents."""

    documents: int
    raw_exact: float
    """Share of documents whose bytes were all right and ended where they should."""
    raw_similarity: float
    """1 - Levenshtein distance / longer length, of bytes."""
    comp_exact: float
    """Share of documents whose symbols were all right and ended where they should."""
    comp_similarity: float
    """1 - Levenshtein distance / longer length, of symbols."""
    bits_per_byte: float
    """Bits per raw byte without a context."""
    bits_per_byte_given_comp: float
    """Bits per raw byte after the document's own comp."""
    bits_per_byte_given_other_comp: float
    """Bits per raw byte after another document's comp."""

    @property
    def saved_bits_per_byte(self) -> float:
        """What a document's own comp saves over another's."""
        return self.bits_per_byte_given_other_comp - self.bits_per_byte_given_comp


def held_out_pairs(dataset: Dataset, *, positions: int) -> Iterator[Pair | None]:
    """The held-out documents of a dataset in its order; None for one that does not fit."""
    if dataset.compressor is None or not dataset.raw:
        raise SettingsError("translation needs both encodings; name a --compressor")
    for shard, entry in enumerate(dataset.shards):
        row = 0
        while row < entry.rows:
            batch = dataset.batch_at(shard, row)
            for i in np.flatnonzero(batch.held_out):
                raw = batch.raw[batch.raw_offsets[i] : batch.raw_offsets[i + 1]]
                comp = batch.symbols[batch.symbol_offsets[i] : batch.symbol_offsets[i + 1]]
                if raw.size + comp.size + SEAMS > positions:
                    yield None
                else:
                    yield Pair(
                        key=int(batch.hashes[i]),
                        raw=tuple((raw.astype(np.int64) + RAW_BASE).tolist()),
                        comp=tuple((comp.astype(np.int64) + COMP_BASE).tolist()),
                    )
            row = batch.end_row


def first_pairs(dataset: Dataset, *, documents: int, positions: int) -> tuple[list[Pair], int]:
    """The first held-out documents that fit into `positions`, and how many on the way did not."""
    pairs: list[Pair] = []
    left_out = 0
    for pair in held_out_pairs(dataset, positions=positions):
        if pair is None:
            left_out += 1
        else:
            pairs.append(pair)
        if len(pairs) == documents:
            break
    if len(pairs) < 2:
        raise DatasetError(
            f"{dataset.location} has {len(pairs)} held-out documents that fit into {positions} positions in both "
            f"encodings, {left_out} do not; preprocess with --split-bytes, or give more positions"
        )
    return pairs, left_out


def translate(model: EvaByte, pairs: Sequence[Pair], *, rows: int = 16) -> Translation:
    """Probe a model with at least 2 documents; the next one's comp is each one's control.

    rows: documents in memory at a time; the result does not depend on it beyond rounding.
    """
    if len(pairs) < 2:
        raise SettingsError(f"{len(pairs)} documents are too few: the control needs another one; give at least 2")
    raw_exact, raw_similarity = _agreement(raw_answers(model, pairs, rows), [(*pair.raw, RAW_CLOSE) for pair in pairs])
    comp_exact, comp_similarity = _agreement(
        comp_answers(model, pairs, rows), [(*pair.comp, COMP_CLOSE) for pair in pairs]
    )
    others = [*pairs[1:], pairs[0]]
    alone = [((BOS, RAW_OPEN), pair.raw) for pair in pairs]
    own = [(forward_opening(pair), pair.raw) for pair in pairs]
    other = [(forward_opening(another), pair.raw) for pair, another in zip(pairs, others, strict=True)]
    return Translation(
        documents=len(pairs),
        raw_exact=raw_exact,
        raw_similarity=raw_similarity,
        comp_exact=comp_exact,
        comp_similarity=comp_similarity,
        bits_per_byte=bits_per_symbol(model, alone, rows),
        bits_per_byte_given_comp=bits_per_symbol(model, own, rows),
        bits_per_byte_given_other_comp=bits_per_symbol(model, other, rows),
    )


def _agreement(answers: Sequence[tuple[int, ...]], wanted: Sequence[tuple[int, ...]]) -> tuple[float, float]:
    """Share of answers that are exactly the wanted ones, and mean 1 - distance / longer length."""
    both = list(zip(answers, wanted, strict=True))
    return fmean(a == b for a, b in both), fmean(Levenshtein.normalized_similarity(a, b) for a, b in both)


def forward_opening(pair: Pair) -> tuple[int, ...]:
    """The ids before the bytes: a document's comp between its sentinels, and the raw sentinel."""
    return (BOS, COMP_OPEN, *pair.comp, COMP_CLOSE, RAW_OPEN)


def raw_answers(model: EvaByte, pairs: Sequence[Pair], rows: int) -> list[tuple[int, ...]]:
    """The bytes that the model writes after each comp, as ids, with the end if it came in time."""
    answers = []
    for first in range(0, len(pairs), rows):
        chosen = pairs[first : first + rows]
        longest = max(len(pair.raw) for pair in chosen)
        generations = continue_ids(
            model,
            [forward_opening(pair) for pair in chosen],
            max_bytes=longest + 1,
            sampling=Sampling(),
            seeds=range(len(chosen)),
            batch_size=rows,
        )
        answers += [
            (*(RAW_BASE + byte for byte in one.text), *([RAW_CLOSE] if one.ended else [])) for one in generations
        ]
    return answers


@torch.inference_mode()
def comp_answers(model: EvaByte, pairs: Sequence[Pair], rows: int) -> list[tuple[int, ...]]:
    """The symbols that the model writes after each raw, as ids, up to </comp> or one more than the right number."""
    weight = model.heads.symbol.weight[: model.config.vocabulary]
    has_literals = any(min(pair.comp, default=COMP_BASE) < COMP_BASE for pair in pairs)
    first = RAW_BASE if has_literals else COMP_BASE
    allowed = torch.cat((torch.tensor([COMP_CLOSE]), torch.arange(first, model.config.vocabulary)))
    weight = weight[allowed.to(weight.device)].float()
    answers: list[tuple[int, ...]] = []
    for first in range(0, len(pairs), rows):
        chosen = pairs[first : first + rows]
        openings = [(BOS, RAW_OPEN, *pair.raw, RAW_CLOSE, COMP_OPEN) for pair in chosen]
        most = max(len(pair.comp) for pair in chosen) + 1
        answers += _greedy(model, openings, most, weight, allowed.numpy())
    return answers


def _greedy(
    model: EvaByte, openings: Sequence[tuple[int, ...]], most: int, weight: torch.Tensor, allowed: np.ndarray
) -> list[tuple[int, ...]]:
    """Greedy continuations by ids of `allowed`, the first of which ends one; weight [allowed, dim] is their head's."""
    state = KVCache(model, len(openings), max(map(len, openings)) + most)
    last = state.read(openings).float()
    answers: list[list[int]] = [[] for _ in openings]
    active = np.ones(len(openings), bool)
    for _ in range(most):
        chosen = allowed[(last @ weight.t()).argmax(-1).cpu().numpy()]
        for answer, id, live in zip(answers, chosen.tolist(), active.tolist(), strict=True):
            if live:
                answer.append(id)
        active &= chosen != allowed[0]
        if not active.any():
            break
        counts = torch.from_numpy(active.astype(np.int64)).to(state.device)
        last = state.forward(torch.from_numpy(chosen[:, None]).to(state.device), counts)[:, 0].float()
        state.keep(counts)
    return [tuple(answer) for answer in answers]


@torch.inference_mode()
def bits_per_symbol(model: EvaByte, texts: Sequence[tuple[tuple[int, ...], tuple[int, ...]]], rows: int = 16) -> float:
    """Mean bits of the ids of each text's second part, given its first."""
    longest = max(len(opening) + len(rest) for opening, rest in texts)
    positions = -(-longest // SHAPE_STEP) * SHAPE_STEP
    nats, count = 0.0, 0
    work = iter(texts)
    while chosen := list(islice(work, rows)):
        ids = np.full((rows, positions), PAD, np.int64)
        counts = np.zeros((rows, positions), bool)
        for row, (opening, rest) in enumerate(chosen):
            ids[row, : len(opening) + len(rest)] = (*opening, *rest)
            counts[row, len(opening) : len(opening) + len(rest)] = True
        tensor, at = (torch.from_numpy(part).to(model.embedding.weight.device) for part in (ids, counts))
        nats += float(model.heads.symbol_nats(model.hidden(tensor), tensor, at).double().sum())
        count += int(counts.sum())
    return nats / math.log(2) / count
