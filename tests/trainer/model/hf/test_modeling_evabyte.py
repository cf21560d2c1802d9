"""The exported code computes what the trainer's does: whole or with a cache, alone or in a batch, padded anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from schemas.vocabulary import BOS, COMP_BASE, COMP_OPEN, EOS, PAD, RAW_BASE, RAW_CLOSE, RAW_OPEN
from tests.trainer.model.hf.exported import LENGTHS, opened_export
from tests.trainer.models import random_ids, small_model
from trainer.model.evabyte import EvaByte
from trainer.model.hf import configuration_evabyte
from trainer.model.hf.cache_evabyte import EvaByteCache
from trainer.model.hf.configuration_evabyte import EvaByteConfig
from trainer.model.hf.modeling_evabyte import EvaByteForCausalLM
from trainer.model.hf_export import import_model

CLOSE: dict[str, Any] = {"atol": 1e-5, "rtol": 0}


@pytest.fixture(scope="module")
def model() -> EvaByte:
    return small_model(vocabulary=500, symbol_heads=2, raw_heads=1).eval()


@pytest.fixture(scope="module")
def hf(model: EvaByte, tmp_path_factory: pytest.TempPathFactory) -> EvaByteForCausalLM:
    return opened_export(model, tmp_path_factory.mktemp("hf"))


def padded(texts: list[Tensor], side: str) -> tuple[Tensor, Tensor]:
    """ids [batch, longest] and their attention mask; padding is an id of its own, which must not matter."""
    longest = max(map(len, texts))
    ids = torch.full((len(texts), longest), 99)
    mask = torch.zeros(len(texts), longest, dtype=torch.int64)
    for row, text in enumerate(texts):
        here = slice(longest - len(text), None) if side == "left" else slice(len(text))
        ids[row, here], mask[row, here] = text, 1
    return ids, mask


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize("use_cache", [False, True])
@torch.no_grad()
def test_logits_of_all_heads_are_the_trainers(
    model: EvaByte, hf: EvaByteForCausalLM, rows: int, use_cache: bool
) -> None:
    for length in LENGTHS:
        ids = random_ids(rows, length, seed=length, vocabulary=500)
        found = hf(ids, use_cache=use_cache, return_all_pred_logits=True).logits
        torch.testing.assert_close(found, model.logits(ids), **CLOSE)
        torch.testing.assert_close(hf(ids).logits, found[:, :, 0], **CLOSE)


@pytest.mark.parametrize("mode", ["plain", "merged"])
@torch.no_grad()
def test_what_transformers_saves_the_trainer_reads(model: EvaByte, tmp_path: Path, mode: str) -> None:
    opened_export(model, tmp_path / "ours", mode=mode).save_pretrained(tmp_path / "theirs")
    again, ours = import_model(str(tmp_path / "theirs")), import_model(str(tmp_path / "ours"))
    assert again.config == ours.config
    assert all(torch.equal(value, ours.state_dict()[name]) for name, value in again.state_dict().items())


@pytest.mark.parametrize("pieces", [[1] * 40, [16, 16, 16, 2], [5, 11, 1, 33], [50, 1, 1, 1], [3, 80, 17]])
@torch.no_grad()
def test_pieces_through_a_cache_equal_the_whole(hf: EvaByteForCausalLM, pieces: list[int]) -> None:
    ids, cache, first = random_ids(2, sum(pieces), vocabulary=500), None, 0
    wanted = hf(ids).logits
    for size in pieces:
        output = hf(ids[:, first : first + size], use_cache=True, cache=cache)
        cache = getattr(output, "cache", None) or output.past_key_values
        torch.testing.assert_close(output.logits, wanted[:, first : first + size], **CLOSE)
        first += size
        assert cache.get_seq_length() == first


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("use_cache", [False, True])
@torch.no_grad()
def test_padding_changes_nothing(hf: EvaByteForCausalLM, side: str, use_cache: bool) -> None:
    texts = [random_ids(1, length, seed=length)[0] for length in (3, 50, 16, 17)]
    ids, mask = padded(texts, side)
    output = hf(ids, attention_mask=mask, use_cache=use_cache, output_hidden_states=True)
    assert len(output.hidden_states) == 1 + hf.config.num_hidden_layers
    for row, text in enumerate(texts):
        alone = hf(text[None], output_hidden_states=True)
        torch.testing.assert_close(output.logits[row][mask[row] == 1], alone.logits[0], **CLOSE)
        torch.testing.assert_close(output.logits[row, -1], alone.logits[0, -1], **CLOSE)
        for states, wanted in zip(output.hidden_states, alone.hidden_states, strict=True):
            torch.testing.assert_close(states[row][mask[row] == 1], wanted[0], **CLOSE)


@torch.no_grad()
def test_embeddings_do_for_ids(hf: EvaByteForCausalLM) -> None:
    ids = random_ids(2, 20)
    given = hf(inputs_embeds=hf.get_input_embeddings()(ids)).logits
    assert torch.equal(given, hf(ids).logits)
    assert torch.equal(hf(ids, logits_to_keep=3).logits, given[:, -3:])
    assert torch.equal(hf(ids, return_dict=False)[0], given)


def test_the_loss_is_that_of_the_next_symbol_and_has_gradients(hf: EvaByteForCausalLM) -> None:
    ids = random_ids(2, 40)
    labels = ids.clone()
    labels[:, :10] = -100
    output = hf(ids, labels=labels)
    nats = -output.logits[:, :-1].log_softmax(-1).gather(-1, ids[:, 1:, None])[:, 9:]
    torch.testing.assert_close(output.loss, nats.mean())
    output.loss.backward()
    assert all(parameter.grad is not None for parameter in hf.parameters())
    hf.zero_grad()


@torch.no_grad()
def test_half_precision_is_near(model: EvaByte, tmp_path: Path) -> None:
    ids = random_ids(2, 50)
    for name, far in (("bfloat16", 0.2), ("float16", 0.03)):
        half = EvaByteForCausalLM.from_pretrained(
            opened_export(model, tmp_path / name, dtype=name).config._name_or_path, torch_dtype="auto"
        )
        assert str(half.dtype) == f"torch.{name}"
        found = half(ids, use_cache=True).logits
        assert found.dtype == torch.float32
        difference = (found - model.logits(ids)[:, :, 0]).abs().max()
        assert 0 < difference < far


@pytest.mark.parametrize(
    ("text", "opening"),
    [
        ([70, 71], [BOS, RAW_OPEN]),
        ([BOS, 70], [RAW_OPEN]),
        ([BOS], [RAW_OPEN]),
        ([RAW_OPEN, 70], [BOS]),
        ([BOS, RAW_OPEN, 70], []),
        ([BOS, COMP_OPEN, 400], []),
        ([RAW_OPEN], [BOS]),
    ],
)
@torch.no_grad()
def test_a_model_can_open_texts_itself(model: EvaByte, hf: EvaByteForCausalLM, text: list[int], opening: list[int]):
    """Only what is missing of <bos> <raw> comes before the bytes, in each row for itself, and no column is added."""
    whole = [*text[:1], *opening, *text[1:]] if text[0] == BOS else [*opening, *text]
    columns = [len(whole) - len(text) + i for i in range(len(text))]
    wanted = model.logits(torch.tensor([whole]))[0, columns, 0]
    other = random_ids(1, 20)[0]
    hf.config.open_text = True
    try:
        for side in ("left", "right"):
            ids, mask = padded([torch.tensor(text), other], side)
            for use_cache in (False, True):
                found = hf(ids, attention_mask=mask, use_cache=use_cache).logits
                assert found.shape[1] == 20
                torch.testing.assert_close(found[0][mask[0] == 1], wanted, **CLOSE)
        without_mask = torch.tensor([[*text, PAD, PAD]])
        torch.testing.assert_close(hf(without_mask).logits[0, :-2], wanted, **CLOSE)
    finally:
        hf.config.open_text = False


@torch.no_grad()
def test_beams_keep_their_pasts_apart(hf: EvaByteForCausalLM) -> None:
    """The best of all continuations of length 2, by trying each, is what enough beams find."""
    ids = torch.tensor([[BOS, RAW_OPEN, *range(70, 83)]])
    first = hf(ids).logits[0, -1].log_softmax(-1)
    scores = {(end,): float(first[end]) for end in (EOS, RAW_CLOSE)}
    bytes_then = torch.arange(RAW_BASE, COMP_BASE)[:, None]
    second = hf(torch.cat((ids.expand(256, -1), bytes_then), 1)).logits[:, -1].log_softmax(-1)
    for byte in range(RAW_BASE, COMP_BASE):
        for after in (EOS, RAW_CLOSE, *range(RAW_BASE, COMP_BASE)):
            scores[byte, after] = float(first[byte] + second[byte - RAW_BASE, after])
    found = hf.generate(ids, num_beams=256, max_new_tokens=2, length_penalty=0.0, early_stopping="never")
    best = max(scores, key=lambda ids: scores[ids])
    # transformers 4.47 writes <eos> for any end, so ends count as equal.
    same = [EOS if i == RAW_CLOSE else i for i in best]
    assert [EOS if i == RAW_CLOSE else i for i in found[0, ids.shape[1] :].tolist()] == same


def test_ids_are_the_trainers() -> None:
    import schemas.vocabulary

    for name in ("PAD", "BOS", "EOS", "RAW_OPEN", "RAW_CLOSE", "RAW_BASE", "COMP_BASE"):
        assert getattr(configuration_evabyte, name) == getattr(schemas.vocabulary, name)


def test_what_this_architecture_has_not_is_refused(hf: EvaByteForCausalLM) -> None:
    ids = random_ids(2, 5)
    with pytest.raises(ValueError, match="keeps no attention weights"):
        hf(ids, output_attentions=True)
    with pytest.raises(ValueError, match="either input_ids or inputs_embeds"):
        hf()
    with pytest.raises(ValueError, match="attention_mask has the shape"):
        hf(ids, attention_mask=torch.ones(2, 1, 5, 5))
    past = EvaByteCache(layers=2, window=16, chunk=4, rows=3, device=torch.device("cpu"))
    with pytest.raises(ValueError, match="the cache holds 3 rows, the input 2"):
        hf(ids, cache=past)
    with pytest.raises(ValueError, match="cannot forget symbols"):
        past.crop(1)
    foreign = DynamicCache()
    foreign.update(torch.zeros(2, 2, 3, 16), torch.zeros(2, 2, 3, 16), 0)
    with pytest.raises(ValueError, match="the past is a DynamicCache"):
        hf(ids, cache=foreign)
    with pytest.raises(ValueError, match="multi_byte_generate speculates"):
        hf.generate(ids, prompt_lookup_num_tokens=3)
    for change in ({"num_chunks": 4}, {"rope_scaling": {"type": "linear", "factor": 2.0}}, {"attention_class": "mha"}):
        with pytest.raises(ValueError, match="no other EvaByte is computed here"):
            EvaByteConfig(**change)


def test_a_fresh_model_has_weights(hf: EvaByteForCausalLM) -> None:
    torch.manual_seed(0)
    fresh = EvaByteForCausalLM(hf.config)
    for name, parameter in fresh.named_parameters():
        assert bool((parameter == 0).all()) == name.endswith("norm.weight"), name
        assert bool(parameter.isfinite().all())
