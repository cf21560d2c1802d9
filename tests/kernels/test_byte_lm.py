"""The byte LM: causal, local, the same one byte at a time; documents in windows count every byte once."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels.boundary_score import DocumentEntropy
from kernels.byte_lm import ByteLM
from kernels.byte_lm_config import PRESETS, START, ByteLMConfig
from kernels.byte_windows import sliding_windows
from tests.kernels.micro_lm import CONFIG, micro_lm

MODEL = micro_lm()
TEXT = torch.tensor([[START, *(np.arange(60) * 7 % 256)]])


@torch.inference_mode()
def test_a_later_byte_changes_nothing_before_it() -> None:
    other = TEXT.clone()
    other[0, 40] = 3
    same = MODEL(TEXT)[0, :40] == MODEL(other)[0, :40]
    assert same.all()
    assert not torch.equal(MODEL(TEXT)[0, 40], MODEL(other)[0, 40])


@torch.inference_mode()
def test_attention_reaches_only_so_far_back() -> None:
    other = TEXT.clone()
    other[0, 5] = 3
    reach = CONFIG.layers * (CONFIG.attention_bytes - 1)
    difference = (MODEL(TEXT) - MODEL(other))[0].abs().amax(-1)
    assert difference[5 + reach] > 0
    assert difference[6 + reach :].max() == 0


@torch.inference_mode()
def test_one_byte_at_a_time_is_the_same_as_all_at_once() -> None:
    whole = MODEL(TEXT)[0]
    kv_cache = MODEL.new_kv_cache(TEXT.shape[1])
    for t in range(TEXT.shape[1]):
        logits = MODEL.forward_step(TEXT[:, t], torch.arange(t + 1)[None], kv_cache)[0]
        assert torch.allclose(logits, whole[t], atol=1e-4)


def test_presets_have_their_size() -> None:
    sizes = {name: sum(p.numel() for p in ByteLM(config).parameters()) / 1e6 for name, config in PRESETS.items()}
    assert sizes == {"tiny": pytest.approx(1.2, abs=0.05), "40m": pytest.approx(38.8, abs=0.3)}


def test_impossible_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="dim 30 must be heads 4 times an even head size"):
        ByteLMConfig(layers=1, dim=30, heads=4, ffn_dim=8, attention_bytes=8)


@given(st.lists(st.integers(0, 90), max_size=6), st.integers(1, 20))
def test_every_byte_counts_in_exactly_one_window(lengths: list[int], stride: int) -> None:
    offsets = np.concatenate(([0], np.cumsum(lengths, dtype=np.int64))).astype(np.int64)
    counted = [
        t for start, length, skip in sliding_windows(offsets, stride) for t in range(start + skip, start + length)
    ]
    assert counted == list(range(offsets[-1]))


def test_entropies_depend_on_the_own_document_only() -> None:
    texts = [b"x" * 50, b"hello world " * 5, b"a"]
    alone = [DocumentEntropy(MODEL).scores(np.frombuffer(t, np.uint8), np.array([0, len(t)])) for t in texts]
    offsets = np.concatenate(([0], np.cumsum([len(t) for t in texts])))
    together = DocumentEntropy(MODEL).scores(np.frombuffer(b"".join(texts), np.uint8), offsets)
    assert together.tolist() == np.concatenate(alone).tolist()
