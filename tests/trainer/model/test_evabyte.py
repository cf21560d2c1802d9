"""EvaByte: counts, init, documents, and that none of the switches changes a number."""

from __future__ import annotations

import pytest
import torch

from schemas.errors import SettingsError
from schemas.vocabulary import vocabulary_size
from tests.trainer.models import build_model, random_ids, small_config, small_model
from trainer.model.config import EvaByteConfig
from trainer.model.evabyte import initial_weight, initialise, meta_model
from trainer.training.sizes import SIZES, sized_config

UNFUSED = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")

BILLIONS = {  # size: body, tokenizer 1+1, neural 1+1, gzip 1, bytes 8, bytes 1
    "0.5b": (0.470, 0.669, 0.605, 0.471, 0.473, 0.471),
    "1.5b": (1.342, 1.740, 1.613, 1.345, 1.348, 1.344),
    "4b": (3.926, 4.523, 4.332, 3.930, 3.935, 3.928),
    "7b": (6.980, 7.775, 7.521, 6.985, 6.992, 6.982),
    "14b": (14.261, 15.256, 14.937, 14.267, 14.276, 14.265),
}


@pytest.mark.parametrize("size", BILLIONS)
def test_parameter_counts_are_those_of_the_table(size: str) -> None:
    arms = [(96_640, 1, 1), (65_536, 1, 1), (256, 1, 0), (0, 8, 0), (0, 1, 0)]
    configs = [
        sized_config(size, vocabulary=vocabulary_size(alphabet), symbol_heads=symbol, raw_heads=raw)
        for alphabet, symbol, raw in arms
    ]
    counts = [configs[0].body_parameters, *(config.parameters for config in configs)]
    assert [round(count / 1e9, 3) for count in counts] == list(BILLIONS[size])
    for config in configs:
        model = meta_model(config)
        assert sum(p.numel() for p in model.parameters()) == config.parameters
        assert sum(p.numel() for p in model.blocks.parameters()) == config.body_parameters
        assert all(p.is_meta for p in model.parameters())


def test_tiny_has_about_a_million_parameters() -> None:
    assert 0.9e6 < SIZES["tiny"].body.body_parameters < 1.2e6


def test_keys_and_flop_are_those_of_the_notes() -> None:
    config = sized_config("7b", vocabulary=96_960, raw_heads=1)
    assert [config.mean_keys(n) for n in (4096, 16384, 32768)] == [1152.5, 1920.5, 2944.5]
    matrices = 6 * (config.parameters - 96_960 * 4096)
    assert config.flop_per_symbol(16384) == matrices + 12 * 32 * 4096 * 1920.5


def test_mean_keys_is_the_mean_of_what_queries_see() -> None:
    config = small_config()
    seen = [i % 16 + 1 + i // 16 * 4 for i in range(64)]
    assert config.mean_keys(64) == sum(seen) / 64


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heads": 3}, "dim 32 must be heads 3 times"),
        ({"attention_window": 18}, "attention_window 18 must be a multiple of chunk 4"),
        ({"vocabulary": 256}, "vocabulary 256 is below the 320"),
        ({"layers": 0}, "at least 1"),
    ],
)
def test_impossible_shapes_are_refused(changes: dict[str, int], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        small_config(**changes)


def test_unknown_size_names_the_known_ones() -> None:
    with pytest.raises(SettingsError, match=r"--size is '8b'; choose one of pico, nano, .* medium, 0\.5b"):
        sized_config("8b", vocabulary=320)


def test_initial_weights_have_the_stated_spread() -> None:
    config = EvaByteConfig(dim=256, layers=1, heads=2, ffn_dim=512, vocabulary=1000)
    weights = dict(build_model(config, seed=3).named_parameters())
    cut3, cut2 = 0.98658, 0.87962  # σ of a unit normal cut at 3σ and at 2σ
    for name, weight in weights.items():
        if name.endswith("norm.weight"):
            assert not weight.any()
            continue
        scale, cut, shrink = (1.0, 3, cut3) if name.startswith("embedding") else (0.02, 3, cut3)
        if name.endswith((".mu", ".phi")):
            scale, cut, shrink = 128**-0.5, 2, cut2
        assert weight.abs().max() <= cut * scale * 1.0001, name
        assert abs(float(weight.detach().std()) / scale / shrink - 1) < 3 / weight.numel() ** 0.5 + 0.003, name


def test_initial_weights_are_a_function_of_seed_and_name() -> None:
    first, again, other = (build_model(small_config(), seed=seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["blocks.0.qkv.weight"], other["blocks.0.qkv.weight"])
    assert not torch.equal(first["blocks.0.qkv.weight"], first["blocks.1.qkv.weight"])
    alone = initial_weight("blocks.1.mu", torch.Size((2, 16)), seed=1, device=torch.device("cpu"))
    assert torch.equal(alone, first["blocks.1.mu"])


def test_heads_that_look_back_attend_most_to_their_own_distance() -> None:
    """In the sizes that a CPU trains, whatever the ids; and without the option first weights are as they were."""
    config = sized_config("micro", vocabulary=400)
    model = meta_model(config).to_empty(device="cpu")
    initialise(model, 0, look_back=True)
    ids = random_ids(8, 32, vocabulary=400)
    context = model.context(ids, None, flex=False)
    with torch.inference_mode():
        x = model.embedding(ids)
        for layer, block in enumerate(model.each_block()):
            q, k, _ = block.project(x, context.cos, context.sin)
            scores = (q @ k.mT / config.head_dim**0.5).masked_fill(torch.ones(32, 32).triu(1).bool(), -1e9)
            attention = scores.softmax(-1).mean(0)
            for head in range(config.heads):
                by_distance = [float(attention[head].diagonal(-distance).mean()) for distance in range(20)]
                assert by_distance.index(max(by_distance)) == layer * config.heads + head
            x = block(x, context)
    plain = build_model(config, seed=0).state_dict()
    changed = {name for name, weight in model.state_dict().items() if not torch.equal(weight, plain[name])}
    assert {name.split(".")[-2] for name in changed} == {"embedding", "qkv", "gate_up"}


@UNFUSED
def test_flex_and_sdpa_give_the_same_logits() -> None:
    model, ids = small_model(), random_ids(2, 70)
    documents = (torch.arange(70) // 23).expand(2, -1).int()
    with torch.no_grad():
        for given in (None, documents):
            near = (model.logits(ids, given, flex=True) - model.logits(ids, given, flex=False)).abs().max()
            assert near < 1e-4


def test_aligned_documents_have_the_logits_of_documents_alone() -> None:
    """A document that starts at a multiple of W, or lies inside one window, cannot tell that it was packed."""
    model = small_model(symbol_heads=2)
    lengths = [32, 5, 7, 20, 12, 4]  # starts 0, 32, 37, 44, 64, 76: the fourth neither aligned nor inside a window
    ids = random_ids(1, sum(lengths))
    documents = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths)).unsqueeze(0).int()
    with torch.no_grad():
        packed = model.logits(ids, documents).split(lengths, 1)
        alone = [model.logits(part) for part in ids.split(lengths, 1)]
    differences = [float((a - b).abs().max()) for a, b in zip(packed, alone, strict=True)]
    assert max(differences[:3] + differences[4:]) < 2e-5
    assert differences[3] > 1e-3


def test_a_document_does_not_change_with_its_neighbours() -> None:
    model, ids = small_model(), random_ids(1, 64)
    documents = (torch.arange(64) >= 27).int().unsqueeze(0)
    other = ids.clone()
    other[:, :27] = random_ids(1, 27, seed=9)
    with torch.no_grad():
        assert torch.equal(model.logits(ids, documents)[:, 27:], model.logits(other, documents)[:, 27:])


def test_no_symbol_sees_a_later_one() -> None:
    model, ids = small_model(), random_ids(1, 60)
    other = ids.clone()
    other[:, 41:] = random_ids(1, 19, seed=9)
    with torch.no_grad():
        assert torch.allclose(model.logits(ids)[:, :41], model.logits(other)[:, :41], atol=1e-5)


@pytest.mark.parametrize(
    "switches", [("recompute_blocks",), ("compile_blocks",), ("compile_blocks", "recompute_blocks")]
)
def test_recomputation_and_compilation_change_no_gradient(switches: tuple[str, ...]) -> None:
    ids = random_ids(2, 40)
    documents = (torch.arange(40) // 13).expand(2, -1).int()

    def gradients(names: tuple[str, ...]) -> list[torch.Tensor]:
        model = small_model(raw_heads=1)
        for name in names:
            getattr(model, name)(**({"backend": "aot_eager", "fullgraph": True} if name == "compile_blocks" else {}))
        losses = model(ids, documents)
        (losses.loss_sum / losses.weight_sum).backward()
        return [parameter.grad for parameter in model.parameters()]

    for plain, switched in zip(gradients(()), gradients(switches), strict=True):
        assert torch.allclose(plain, switched, atol=1e-6)


def test_recomputation_keeps_less() -> None:
    ids = random_ids(2, 64)

    def kept(recompute: bool) -> int:
        model = small_model()
        if recompute:
            model.recompute_blocks()
        sizes: dict[int, int] = {}

        def note(tensor: torch.Tensor) -> torch.Tensor:
            sizes[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
            model(ids)
        return sum(sizes.values())

    assert kept(True) < 0.5 * kept(False)


def test_training_one_batch_lowers_the_loss() -> None:
    model, ids = build_model(small_config(raw_heads=1), seed=0), random_ids(2, 32)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    values = []
    for _ in range(30):
        losses = model(ids)
        loss = losses.loss_sum / losses.weight_sum
        values.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert values[-1] < 0.3 * values[0]


def test_under_autocast_the_residual_stream_has_the_compute_dtype() -> None:
    model = small_model()
    seen = []
    for block in model.blocks:
        block.register_forward_hook(lambda block, inputs, output: seen.append((inputs[0].dtype, output.dtype)))
    with torch.autocast("cpu", torch.bfloat16):
        model.hidden(random_ids(1, 16))
    assert seen == [(torch.bfloat16, torch.bfloat16)] * 2
