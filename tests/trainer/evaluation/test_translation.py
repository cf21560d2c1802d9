"""Translation: greedy answers are the definition's, bits are counted once, the control is another document."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from schemas.errors import DatasetError, SettingsError
from schemas.vocabulary import BOS, COMP_BASE, COMP_CLOSE, COMP_OPEN, RAW_BASE, RAW_CLOSE, RAW_OPEN
from tests.trainer.datasets import make_texts, write_dataset
from tests.trainer.models import small_model
from trainer.data.dataset import Dataset, HeldOut
from trainer.evaluation.translation import (
    Pair,
    bits_per_symbol,
    comp_answers,
    first_pairs,
    forward_opening,
    held_out_pairs,
    raw_answers,
    translate,
)
from trainer.generation.sampling import ALLOWED

VOCABULARY = COMP_BASE + 65536
PAIRS = [
    Pair(key=0, raw=tuple(RAW_BASE + b for b in raw), comp=tuple(COMP_BASE + c for c in comp))
    for raw, comp in ((b"abc", [5]), (b"a longer text of some windows", [1, 2, 3, 4, 5, 6]), (b"z", [7, 8]))
]


def dataset(directory: Path, *, share: float = 0.5) -> Dataset:
    write_dataset(directory, make_texts([20, 15], most_bytes=40))
    return Dataset(str(directory), compressor="neural", held_out=HeldOut(share=share))


def slow_greedy(opening: tuple[int, ...], allowed: list[int], ends: set[int], most: int) -> tuple[int, ...]:
    """A whole forward for every symbol."""
    model, answer = MODEL, []
    for _ in range(most):
        logits = model.logits(torch.tensor([[*opening, *answer]]))[0, -1, 0]
        answer.append(allowed[int(logits[torch.tensor(allowed)].argmax())])
        if answer[-1] in ends:
            break
    return tuple(answer)


MODEL = small_model(vocabulary=COMP_BASE + 50, raw_heads=2)


def test_greedy_answers_are_those_of_whole_forwards() -> None:
    """Up to ties, of which small random models have none."""
    with torch.inference_mode():
        symbols = [COMP_CLOSE, *range(COMP_BASE, COMP_BASE + 50)]
        for rows in (1, 3):
            given_comp = comp_answers(MODEL, PAIRS, rows)
            for pair, answer in zip(PAIRS, given_comp, strict=True):
                opening = (BOS, RAW_OPEN, *pair.raw, RAW_CLOSE, COMP_OPEN)
                assert answer == slow_greedy(opening, symbols, {COMP_CLOSE}, len(answer))
                assert answer[-1] == COMP_CLOSE or len(answer) > len(pair.comp)
            for pair, answer in zip(PAIRS, raw_answers(MODEL, PAIRS, rows), strict=True):
                wanted = slow_greedy(forward_opening(pair), ALLOWED.tolist(), {2, RAW_CLOSE}, len(answer))
                assert answer == tuple(RAW_CLOSE if id == 2 else id for id in wanted)


def test_bits_are_those_of_the_definition_and_do_not_depend_on_rows() -> None:
    texts = [(forward_opening(pair), pair.raw) for pair in PAIRS]
    nats, count = 0.0, 0
    with torch.inference_mode():
        for opening, rest in texts:
            log_p = MODEL.logits(torch.tensor([[*opening, *rest]]))[0, :, 0].log_softmax(-1)
            nats -= sum(float(log_p[len(opening) + i - 1, id]) for i, id in enumerate(rest))
            count += len(rest)
    for rows in (1, 2, 5):
        assert bits_per_symbol(MODEL, texts, rows) == pytest.approx(nats / math.log(2) / count, rel=1e-5)


def test_held_out_pairs_are_the_held_out_documents_that_fit(tmp_path: Path) -> None:
    texts = make_texts([20, 15], most_bytes=40)
    found = list(held_out_pairs(dataset(tmp_path), positions=45))
    held = [text for text in texts if HeldOut(share=0.5).holds(text.doc_id)]
    assert len(found) == len(held)
    for pair, text in zip(found, held, strict=True):
        fits = len(text.raw) + len(text.symbols) + 6 <= 45
        assert (pair is not None) == fits
        if pair is not None:
            assert bytes(id - RAW_BASE for id in pair.raw) == text.raw
            assert [id - COMP_BASE for id in pair.comp] == text.symbols


def test_a_probe_counts_what_it_leaves_out(tmp_path: Path) -> None:
    model = small_model(vocabulary=VOCABULARY, raw_heads=1)
    pairs, left_out = first_pairs(dataset(tmp_path), documents=6, positions=45)
    assert len(pairs) == 6
    assert left_out > 0
    found = translate(model, pairs)
    assert found.documents == 6
    assert found.raw_exact == found.comp_exact == 0
    assert 0 <= found.raw_similarity < 1
    assert found.bits_per_byte > 0


def test_what_cannot_be_probed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="--split-bytes"):
        first_pairs(dataset(tmp_path), documents=5, positions=7)
    with pytest.raises(SettingsError, match="at least 2"):
        translate(MODEL, PAIRS[:1])


def test_a_dataset_without_comp_is_refused(tmp_path: Path) -> None:
    write_dataset(tmp_path, make_texts([3]))
    with pytest.raises(SettingsError, match="both encodings"):
        list(held_out_pairs(Dataset(str(tmp_path), compressor=None), positions=50))
