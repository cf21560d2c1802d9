"""Every way of greedy decoding gives the trainer's text; guesses save forwards; only bytes are written."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from schemas.vocabulary import BOS, COMP_BASE, EOS, RAW_BASE, RAW_CLOSE, RAW_OPEN
from tests.trainer.model.hf.exported import opened_export, tokenizer_of
from tests.trainer.models import model_of_one_sentence, small_model
from trainer.generation.generate import generate
from trainer.model.evabyte import EvaByte
from trainer.model.hf.modeling_evabyte import EvaByteForCausalLM

PROMPTS = [b"", b"a", b"def f(x):\n", b"0123456789abcd", b"x" * 30, b"the cat sat on the mat and the dog sat on"]


@pytest.fixture(scope="module")
def trained() -> EvaByte:
    return model_of_one_sentence(raw_heads=3).eval()


@pytest.fixture(scope="module")
def folder(trained: EvaByte, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("hf")
    opened_export(trained, directory, mode="merged")
    return directory


@pytest.fixture(scope="module")
def hf(folder: Path) -> EvaByteForCausalLM:
    return EvaByteForCausalLM.from_pretrained(folder).eval()


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("limit", [1, 2, 40])
def test_greedy_text_is_the_trainers(
    trained: EvaByte, hf: EvaByteForCausalLM, folder: Path, side: str, limit: int
) -> None:
    tokenizer = tokenizer_of(folder)
    wanted = generate(trained, PROMPTS, max_bytes=limit)
    for prompts, texts in [(PROMPTS, wanted)] + [([p], [w]) for p, w in zip(PROMPTS, wanted, strict=True)]:
        given = tokenizer([p.decode() for p in prompts], return_tensors="pt", padding=True, padding_side=side)
        read = given["input_ids"].shape[1]
        plain = hf.generate(**given, max_new_tokens=limit)
        several, forwards = hf.multi_byte_generate(**given, max_new_tokens=limit, return_forwards=True)
        assert torch.equal(several, plain), "ends and padding too"
        assert [tokenizer.ids_to_bytes(row[read:]) for row in plain] == [text.text for text in texts]
        assert forwards == [text.forwards for text in texts]
    if limit == 40:
        assert max(text.symbols_per_forward for text in wanted) > 1.5
        assert any(text.ended for text in wanted) or sum(len(text.text) for text in wanted) == 40 * len(PROMPTS)


@pytest.mark.parametrize("heads", [1, 2, 5, 8])
def test_any_number_of_heads_guesses(tmp_path: Path, heads: int) -> None:
    model = model_of_one_sentence(raw_heads=heads - 1).eval()
    hf = opened_export(model, tmp_path, mode="merged")
    ids = torch.tensor([[BOS, RAW_OPEN, *(RAW_BASE + b for b in b"the cat sat")]])
    several, forwards = hf.multi_byte_generate(ids, max_new_tokens=60, return_forwards=True)
    assert torch.equal(several, hf.generate(ids, max_new_tokens=60))
    assert forwards[0] < 60 if heads > 1 else forwards == [60]


def test_without_a_cache_the_text_is_the_same(hf: EvaByteForCausalLM) -> None:
    ids = torch.tensor([[BOS, RAW_OPEN, *range(70, 83)]])
    assert torch.equal(hf.generate(ids, max_new_tokens=20, use_cache=False), hf.generate(ids, max_new_tokens=20))


def test_only_bytes_are_written_unless_told(tmp_path: Path) -> None:
    model = small_model(vocabulary=500, symbol_heads=2).eval()
    with torch.no_grad():
        model.heads.symbol.weight.view(2, 500, -1)[:, COMP_BASE:] *= 20
    hf = opened_export(model, tmp_path)
    ids = torch.tensor([[BOS, RAW_OPEN, 70], [BOS, RAW_OPEN, 99]])
    for write in (hf.generate, hf.multi_byte_generate):
        found = write(ids, max_new_tokens=30)[:, 3:]
        assert set(found.flatten().tolist()) <= {0, EOS, RAW_CLOSE, *range(RAW_BASE, COMP_BASE)}
    (text,) = generate(model, [bytes([6])], max_bytes=30)
    assert [i - RAW_BASE for i in hf.multi_byte_generate(ids[:1], max_new_tokens=30)[0, 3:].tolist()] == list(text.text)
    hf.config.only_raw_ids = False
    free = hf.generate(ids, max_new_tokens=30)
    assert int(free.max()) >= COMP_BASE
    assert torch.equal(hf.multi_byte_generate(ids, max_new_tokens=30), free)


def test_a_conversation_goes_on_with_its_cache(hf: EvaByteForCausalLM) -> None:
    ids = torch.tensor([[BOS, RAW_OPEN, *range(70, 90)]])
    first = hf.generate(ids, max_new_tokens=10, return_dict_in_generate=True)
    name = "cache" if hasattr(first, "cache") else "past_key_values"
    longer = torch.cat((first.sequences, torch.tensor([[80, 81, 82]])), 1)
    wanted = hf.generate(longer, max_new_tokens=10)
    assert torch.equal(hf.generate(longer, max_new_tokens=10, **{name: getattr(first, name)}), wanted)


def test_limits_are_those_of_the_generation_config_or_given(hf: EvaByteForCausalLM) -> None:
    ids = torch.tensor([[BOS, RAW_OPEN, 70]])
    assert hf.generation_config.max_new_tokens == 256
    assert hf.multi_byte_generate(ids, max_length=8).shape[1] <= 8
    assert torch.equal(hf.multi_byte_generate(ids, max_new_tokens=0), ids)
    with pytest.raises(ValueError, match="does not know \\['do_sample'\\]"):
        hf.multi_byte_generate(ids, do_sample=True)
