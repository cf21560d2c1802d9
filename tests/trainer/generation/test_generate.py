"""Generation: the incremental pass is the full one, and neither batches nor speculation change a byte."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from schemas.errors import SettingsError
from schemas.vocabulary import BOS, COMP_BASE, EOS, RAW_BASE, RAW_CLOSE, RAW_OPEN
from tests.trainer.models import build_model, model_of_one_sentence, random_ids, small_config, small_model
from trainer.generation.batch import Batch, Continuation
from trainer.generation.generate import Generation, generate
from trainer.generation.kv_cache import KVCache
from trainer.generation.sampling import ALLOWED, choose
from trainer.generation.settings import Sampling
from trainer.model.evabyte import EvaByte

PROMPTS = [
    b"",
    b"a",
    b"def f(x):\n",
    b"0123456789abcdef" * 2,
    b"x" * 13,
    b"the quick brown fox jumps over the lazy dog",
]
SAMPLED = Sampling(temperature=0.8, top_p=0.9)


@pytest.fixture(scope="module")
def model() -> EvaByte:
    return small_model(vocabulary=500, symbol_heads=1, raw_heads=3)


@pytest.fixture(scope="module")
def trained() -> EvaByte:
    return model_of_one_sentence()


@pytest.mark.parametrize(
    "pieces", [[1] * 70, [16, 16, 16, 16, 6], [5, 11, 1, 3, 12, 16, 2, 14, 6], [3, 2, 4, 1, 5, 1, 9, 7, 8]]
)
def test_incremental_hidden_states_equal_the_full_pass(model: EvaByte, pieces: list[int]) -> None:
    ids = random_ids(2, sum(pieces), vocabulary=500)
    state = KVCache(model, 2, sum(pieces))
    with torch.inference_mode():
        wanted, first = model.logits(ids), 0
        for size in pieces:
            count = torch.tensor([size, size])
            assert (state.room() >= count).all()
            hidden = state.forward(ids[:, first : first + size], count)
            state.keep(count)
            assert (model.heads.logits(hidden) - wanted[:, first : first + size]).abs().max() < 1e-4
            first += size


def test_what_was_not_kept_never_was(model: EvaByte) -> None:
    ids = random_ids(1, 40, vocabulary=500)
    state, two = KVCache(model, 1, 40), torch.tensor([2])
    with torch.inference_mode():
        wanted = model.logits(ids)
        for t in range(0, 40):
            guess = torch.stack((ids[:, t], ids[:, t] % 7 + 100), 1)
            hidden = state.forward(guess, two.minimum(state.room()))
            state.keep(torch.tensor([1]))
            assert (model.heads.logits(hidden)[:, 0] - wanted[:, t]).abs().max() < 1e-4


def test_rows_of_different_length_do_not_disturb_each_other(model: EvaByte) -> None:
    ids = random_ids(2, 64, vocabulary=500)
    state = KVCache(model, 2, 64)
    with torch.inference_mode():
        wanted, read = model.logits(ids), [0, 0]
        for step in range(30):
            counts = torch.tensor([1 + step % 2, 2 * (step % 2)]).minimum(state.room())
            part = torch.stack(
                [F[read[row] : read[row] + 2] for row, F in enumerate(torch.nn.functional.pad(ids, (0, 2)))]
            )
            hidden = state.forward(part, counts)
            state.keep(counts)
            for row in range(2):
                for i in range(int(counts[row])):
                    got = model.heads.logits(hidden)[row, i]
                    assert (got - wanted[row, read[row] + i]).abs().max() < 1e-4
                read[row] += int(counts[row])
    assert min(read) > 16
    assert max(read) > 32


def slow_greedy(model: EvaByte, prompt: bytes, max_bytes: int) -> bytes:
    """The definition: a full forward for every byte."""
    ids, text = [BOS, RAW_OPEN, *(RAW_BASE + b for b in prompt)], b""
    while len(text) < max_bytes:
        with torch.no_grad():
            logits = model.logits(torch.tensor([ids]))[0, -1, 0].numpy()
        best = ALLOWED[logits[ALLOWED].argmax()]
        if best in (EOS, RAW_CLOSE):
            break
        ids.append(int(best))
        text += bytes([best - RAW_BASE])
    return text


def test_greedy_is_the_best_allowed_id_each_time(model: EvaByte) -> None:
    for prompt in PROMPTS:
        assert generate(model, [prompt], max_bytes=24)[0].text == slow_greedy(model, prompt, 24)


@pytest.mark.parametrize("sampling", [Sampling(), SAMPLED])
@pytest.mark.parametrize("batch_size", [1, 4, 16])
def test_neither_speculation_nor_batches_change_a_byte(trained: EvaByte, sampling: Sampling, batch_size: int) -> None:
    arguments = {"max_bytes": 61, "sampling": sampling, "seeds": [7, 7, 8, 9, 10, 11]}
    prompts = [b"the cat", b"the dog sat on", *PROMPTS[2:]]
    plain = [
        generate(trained, [p], speculate=False, **arguments | {"seeds": [s]})[0]
        for p, s in zip(prompts, arguments["seeds"], strict=True)
    ]
    fast = generate(trained, prompts, batch_size=batch_size, **arguments)
    assert [g.text for g in fast] == [g.text for g in plain]
    assert [g.ended for g in fast] == [g.ended for g in plain]
    assert all(g.symbols_per_forward == 1 for g in plain)
    assert sum(g.forwards for g in fast) <= sum(g.forwards for g in plain)


def test_a_trained_model_emits_more_than_one_byte_per_forward(trained: EvaByte) -> None:
    (fast,) = generate(trained, [b"the cat sat on"], max_bytes=80)
    assert fast.text == slow_greedy(trained, b"the cat sat on", 80)
    assert fast.symbols_per_forward > 1.5


def test_seeds_make_samples(model: EvaByte) -> None:
    texts = [
        g.text
        for g in generate(model, [b"a"] * 4, max_bytes=16, sampling=Sampling(temperature=1.0), seeds=[1, 2, 1, 3])
    ]
    assert texts[0] == texts[2]
    assert len(set(texts)) == 3


@pytest.mark.parametrize("max_bytes", [0, 1, 2, 15])
def test_length_is_at_most_what_was_asked(model: EvaByte, max_bytes: int) -> None:
    for speculate in (False, True):
        found = generate(model, PROMPTS, max_bytes=max_bytes, speculate=speculate)
        assert all(len(g.text) <= max_bytes and (g.ended or len(g.text) == max_bytes) for g in found)


def test_an_end_is_not_part_of_the_text() -> None:
    model = build_model(small_config(raw_heads=1), seed=0)
    with torch.no_grad():
        model.heads.symbol.weight[RAW_CLOSE] = model.hidden(torch.tensor([[BOS, RAW_OPEN]]))[0, -1]
    assert generate(model, [b""], max_bytes=5) == [Generation(text=b"", ended=True, forwards=1)]


def test_no_prompts_give_no_texts(model: EvaByte) -> None:
    assert generate(model, [], max_bytes=5) == []


def test_only_bytes_and_ends_are_chosen() -> None:
    logits = np.zeros((50, 320))
    logits[:, :64] = 100.0
    seeds = np.arange(50)
    for sampling in (Sampling(), Sampling(temperature=2.0), SAMPLED):
        chosen = choose(logits, sampling, seeds, seeds)
        assert set(chosen) <= {EOS, RAW_CLOSE, *range(RAW_BASE, COMP_BASE)}


def test_samples_follow_the_distribution() -> None:
    logits = np.full((20_000, 320), -np.inf)
    logits[:, [100, 101, 102]] = np.log([0.6, 0.3, 0.1])
    positions = np.arange(20_000)
    chosen = choose(logits, Sampling(temperature=1.0), np.full(20_000, 5), positions)
    share = [np.mean(chosen == id) for id in (100, 101, 102)]
    assert np.allclose(share, [0.6, 0.3, 0.1], atol=3 * (0.25 / 20_000) ** 0.5)
    chosen = choose(logits, Sampling(temperature=1.0, top_p=0.85), np.full(20_000, 5), positions)
    assert np.allclose(np.mean(chosen == 100), 2 / 3, atol=0.012)
    assert 102 not in chosen
    assert set(choose(logits, Sampling(temperature=1.0, top_p=0.5), np.full(20_000, 5), positions)) == {100}


@pytest.mark.parametrize("bad", [{"temperature": -1.0}, {"temperature": float("nan")}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_impossible_sampling_is_refused(bad: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match=r"temperature|top-p"):
        Sampling(**bad)


def test_seeds_must_match_prompts(model: EvaByte) -> None:
    with pytest.raises(SettingsError, match="1 seeds for 2 prompts"):
        generate(model, [b"a", b"b"], max_bytes=1, seeds=[1])


@pytest.mark.parametrize("seed", [-1, 1 << 63])
def test_impossible_seeds_are_named(model: EvaByte, seed: int) -> None:
    with pytest.raises(SettingsError, match=f"seed {seed} must be at least 0 and below"):
        generate(model, [b"a"], max_bytes=1, seeds=[seed])


def test_a_cache_that_no_machine_has_is_refused_before_it_is_made(model: EvaByte) -> None:
    with pytest.raises(SettingsError, match=r"1 texts of up to \d+ ids at once need a cache of \d+\.\d GB"):
        generate(model, [b"a"], max_bytes=1 << 40)


@pytest.mark.parametrize("order", [1, -1])
def test_texts_that_join_and_leave_are_what_they_would_be_alone(trained: EvaByte, order: int) -> None:
    """Three rows; prompts across window borders, lengths and samplings of their own; one is given up half-way."""
    asked = [
        Continuation(
            ids=[BOS, RAW_OPEN, *(RAW_BASE + byte for byte in prompt)],
            max_bytes=5 + 9 * number,
            sampling=SAMPLED if number % 2 else Sampling(),
            seed=number,
        )
        for number, prompt in enumerate(PROMPTS)
    ][::order]
    batch = Batch(trained, 3, 200)
    waiting, steps = list(asked), 0
    while waiting or batch.texts:
        if batch.free and (steps % 2 or not batch.texts):
            batch.add([waiting.pop(0) for _ in range(min(batch.free, len(waiting)))])
        if steps == 4:
            given_up = batch.texts[0]
            batch.remove(given_up)
        if batch.texts:
            batch.step()
        steps += 1
    for text in asked:
        prompt = bytes(id - RAW_BASE for id in text.ids[2:])
        options = {"max_bytes": text.max_bytes, "sampling": text.sampling, "seeds": [text.seed]}
        (alone,) = generate(trained, [prompt], **options)  # type: ignore[arg-type]
        if text is given_up:
            assert alone.text.startswith(text.text) and len(text.text) < len(alone.text)
        else:
            assert (text.text, text.ended, text.forwards) == (alone.text, alone.ended, alone.forwards)
