"""Each distinct prefix is read once, and what it gives does not depend on what it was read with."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kernels import trie_evaluator
from kernels.byte_lm_config import START
from kernels.byte_spans import ByteSpans, Codes
from kernels.intervals import cumulative_frequencies, entropies_bits
from kernels.prefix_coding import PrefixCoder
from kernels.prefix_trie import build_trie, inner_node_bounds, sort_strings
from kernels.window_coder import encode_windows
from tests.kernels.bigram_model import BigramModel
from tests.kernels.micro_lm import micro_lm
from tests.oracles import prefixes

MODEL = micro_lm()
STRINGS = [bytes([97 + (i * j) % 5 for j in range(1 + i % 19)]) + bytes([i % 256]) for i in range(400)]

few_strings = st.lists(st.text(alphabet="ab\x00", min_size=1, max_size=6).map(str.encode), min_size=1, max_size=20)


@given(few_strings)
def test_a_trie_holds_each_prefix_once_and_leads_back_to_the_strings(strings: list[bytes]) -> None:
    spans = ByteSpans.from_bytes(strings)
    order = sort_strings(spans)
    spans = spans.take(order)
    assert [strings[i] for i in order] == sorted(strings)
    trie = build_trie(spans)
    assert trie.inner_nodes == len(prefixes(strings))
    assert trie.inner_nodes <= inner_node_bounds(spans).sum()
    last_bytes = np.concatenate([level.byte for level in trie.levels[1:]])
    assert last_bytes[trie.path].tobytes() == b"".join(sorted(strings))
    for level, above in zip(trie.levels[1:], trie.levels, strict=False):
        assert np.all(np.diff(level.parent) >= 0)
        assert level.parent.max() < above.inner.size


def test_intervals_are_those_of_the_whole_forward_pass_up_to_rounding() -> None:
    spans = ByteSpans.from_bytes(STRINGS[:60])
    first, last = PrefixCoder(MODEL, prefixes_per_read=64).intervals(spans)
    at = 0
    with torch.inference_mode():
        for string in STRINGS[:60]:
            logits = MODEL(torch.tensor([[START, *string[:-1]]]))[0]
            cumulative = cumulative_frequencies(logits).numpy()
            for j, byte in enumerate(string):
                assert abs(int(first[at]) - cumulative[j, byte]) <= 1
                assert abs(int(last[at]) - (cumulative[j, byte + 1] - 1)) <= 1
                at += 1


@pytest.mark.parametrize("rows", [64, 256, 512])
@pytest.mark.parametrize("threads", [1, 2])
def test_rows_threads_order_and_company_change_no_bit(rows: int, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    spans = ByteSpans.from_bytes(STRINGS)
    whole = PrefixCoder(MODEL, prefixes_per_read=512).intervals(spans)
    monkeypatch.setitem(trie_evaluator.KV_CACHE_BYTES, "cpu", 60_000)
    chosen = np.random.default_rng(rows).permutation(len(STRINGS))[:250]
    part = PrefixCoder(MODEL, prefixes_per_read=rows, threads=threads).intervals(spans.take(chosen))
    for every, some in zip(whole, part, strict=True):
        assert np.concatenate([every[spans.starts[i] : spans.ends[i]] for i in chosen]).tolist() == some.tolist()


def test_each_prefix_is_read_once() -> None:
    spans = ByteSpans.from_bytes(STRINGS)
    coder = PrefixCoder(MODEL)
    coder.intervals(spans)
    assert coder.prefixes_read == len(prefixes(STRINGS))


@pytest.mark.parametrize("window_bits", [10, 12, 16])
def test_the_model_alone_decodes_what_it_coded(window_bits: int) -> None:
    spans = ByteSpans.from_bytes(STRINGS)
    coder = PrefixCoder(MODEL, prefixes_per_read=64, window_bits=window_bits)
    intervals = coder.intervals(spans)
    symbols, window_ends, symbol_ends = encode_windows(*intervals, spans.ends, window_bits=window_bits)
    codes = Codes(symbols, np.diff(window_ends, prepend=0), symbol_ends)
    other = PrefixCoder(MODEL, prefixes_per_read=256, window_bits=window_bits)
    out, damaged = other.decode(codes)
    assert (out.tobytes(), damaged) == (b"".join(STRINGS), 0)


def test_decoding_in_the_dtype_of_gpus() -> None:
    model = copy.deepcopy(MODEL).to(torch.bfloat16)
    spans = ByteSpans.from_bytes(STRINGS)
    first, last = PrefixCoder(model, prefixes_per_read=64).intervals(spans)
    symbols, window_ends, symbol_ends = encode_windows(first, last, spans.ends)
    codes = Codes(symbols, np.diff(window_ends, prepend=0), symbol_ends)
    out, damaged = PrefixCoder(model, prefixes_per_read=64).decode(codes)
    assert (out.tobytes(), damaged) == (b"".join(STRINGS), 0)
    widths = np.log2(last.astype(float) - first + 1)
    exact_first, exact_last = PrefixCoder(MODEL, prefixes_per_read=64).intervals(spans)
    assert widths.mean() == pytest.approx(np.log2(exact_last.astype(float) - exact_first + 1).mean(), abs=0.02)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_decodes_what_it_coded_whatever_the_company() -> None:
    model = copy.deepcopy(MODEL).to("cuda", torch.bfloat16)
    spans = ByteSpans.from_bytes(STRINGS)
    first, last = PrefixCoder(model).intervals(spans)
    symbols, window_ends, symbol_ends = encode_windows(first, last, spans.ends)
    codes = Codes(symbols, np.diff(window_ends, prepend=0), symbol_ends)
    out, damaged = PrefixCoder(model).decode(codes)
    assert (out.tobytes(), damaged) == (b"".join(STRINGS), 0)
    some = PrefixCoder(model).intervals(spans.take(slice(0, 50)))
    assert np.array_equal(np.stack(some), np.stack((first, last))[:, : spans.ends[49]])


def test_entropies_are_those_after_each_string() -> None:
    strings = [b"", b"a", b"ab", b"ba\x00", b"ab"]
    found = PrefixCoder(MODEL).entropies(ByteSpans.from_bytes(strings))
    with torch.inference_mode():
        expected = [float(entropies_bits(MODEL(torch.tensor([[START, *string]]))[0, -1:])[0]) for string in strings]
    assert found.tolist() == pytest.approx(expected, abs=2 / 1024)
    assert found[2] == found[4]


@pytest.mark.parametrize("forbidding", [False, True])
def test_any_model_with_the_interface_codes_and_decodes(forbidding: bool) -> None:
    model = BigramModel(b"".join(STRINGS))
    forbidden = np.arange(256)[:, None] * 7 % 5 == np.arange(256) % 5 if forbidding else None
    coder = PrefixCoder(model, forbidden=forbidden, prefixes_per_read=64)
    spans = ByteSpans.from_bytes(STRINGS)
    first, last = coder.intervals(spans)
    symbols, window_ends, symbol_ends = encode_windows(first, last, spans.ends)
    out, damaged = coder.decode(Codes(symbols, np.diff(window_ends, prepend=0), symbol_ends))
    assert (out.tobytes(), damaged) == (b"".join(STRINGS), 0)
    for i, string in enumerate(STRINGS[:50]):
        for t, byte in enumerate(string):
            context = torch.tensor([string[t - 1] if t else START])
            counts = model.forward(context)
            if t and forbidden is not None:
                counts = counts.clone()
                counts[0, torch.from_numpy(forbidden[string[t - 1]])] = 0
            cumulative = model.cumulative_frequencies(counts, 16)[0].tolist()
            at = spans.starts[i] + t
            assert (first[at], last[at] + 1) == (cumulative[byte], cumulative[byte + 1])


def test_a_batch_invariant_model_reads_no_padding() -> None:
    model = BigramModel(b"abc")
    coder = PrefixCoder(model, prefixes_per_read=64)
    coder.entropies(ByteSpans.from_bytes(STRINGS))
    assert sum(model.reads) == coder.prefixes_read
    assert max(model.reads) <= 64
