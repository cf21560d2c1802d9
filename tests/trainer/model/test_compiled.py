"""What compilers make of a block: one graph for all batches, few kernels, no array of the order of T².

GPUs attend by flex_attention. Without one its gradients exist only as plain operators, which torch refuses to users of
CPUs; that refusal is lifted here.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
import torch
import torch.nn.attention.flex_attention as flex_module
from torch import Tensor
from torch._dynamo.backends.common import aot_autograd
from torch._dynamo.utils import counters
from torch._inductor.utils import run_and_get_code
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx import GraphModule
from torch.utils._python_dispatch import TorchDispatchMode

from kernels.eva import FLEX_BLOCK, eva_block_mask
from schemas.vocabulary import COMP_BASE
from tests.trainer.datasets import COMPRESSOR, Text, make_texts, write_dataset
from tests.trainer.models import build_model, random_ids, small_config
from trainer.data.dataset import Dataset
from trainer.data.loader import Loader, LoaderSettings, PackedBatch
from trainer.model.evabyte import EvaByte
from trainer.training.optim import make_optimizers
from trainer.training.parallel import Distributed
from trainer.training.settings import TrainSettings
from trainer.training.step import TrainStep

BATCHES = 50
ALPHABET = 256
ALONE = Distributed(rank=0, size=1, device=torch.device("cpu"))


@pytest.fixture(autouse=True)
def flex_with_gradients() -> Iterator[None]:
    """Models attend as on a GPU, and compilers begin afresh."""
    own = EvaByte.context

    def with_mask(model: EvaByte, ids: Tensor, documents: Tensor | None, *, flex: bool | None = None) -> object:
        return own(model, ids, documents, flex=True)

    torch._dynamo.reset()
    counters.clear()
    allowed = mock.patch.object(flex_module, "_validate_device", lambda *arrays: None)
    with mock.patch.object(EvaByte, "context", with_mask), allowed:
        yield
    torch._dynamo.reset()


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> list[PackedBatch]:
    """Of the loader, with one to dozens of documents a row, pairs and single encodings."""
    texts = make_texts([40, 40], most_bytes=30)
    texts = [Text(t.doc_id, t.raw, [s % ALPHABET for s in t.symbols], t.shard, t.row) for t in texts]
    place = write_dataset(tmp_path_factory.mktemp("data"), texts)
    settings = LoaderSettings(sequence_length=128, global_batch_size=4, lanes=4, lookahead=2)
    with Loader(Dataset(str(place), compressor=COMPRESSOR), settings) as loader:
        return [next(loader) for _ in range(BATCHES)]


@pytest.mark.parametrize("recompute", [False, True])
def test_all_layers_of_fifty_real_batches_are_one_graph(recompute: bool, batches: list[PackedBatch]) -> None:
    assert len({int(batch.documents.max()) for batch in batches}) > 5, "rows of many kinds"
    config = small_config(vocabulary=COMP_BASE + ALPHABET, raw_heads=1, layers=3)
    settings = TrainSettings.for_size("tiny", sequence_length=128, micro_batch_size=2, batch_symbols=512)
    model = build_model(config, seed=0)
    if recompute:
        model.recompute_blocks()
    model.compile_blocks(backend="aot_eager")
    steps = TrainStep(settings, config, ALONE, model, *make_optimizers(model, settings))
    for batch in batches:
        assert steps.take(batch)
    assert counters["stats"]["unique_graphs"] == 1
    assert not counters["graph_break"]
    with torch.no_grad():
        for batch in batches[:3]:
            model.hidden(torch.from_numpy(batch.ids[:2]).long(), torch.from_numpy(batch.documents[:2]))
    assert counters["stats"]["unique_graphs"] == 2, "scoring held-out text is one more"


@pytest.mark.slow
def test_a_layer_is_a_dozen_kernels() -> None:
    """By the CPU's inductor, which fuses as the GPU's does, but for what it makes of a reduction's edges."""
    config = small_config(layers=1, raw_heads=1)
    ids = random_ids(1, 64)
    documents = (torch.arange(64) // 30).int().unsqueeze(0)
    model = build_model(config, seed=0)
    model.compile_blocks()

    def forward() -> None:
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            model.hidden(ids, documents)

    _, (code,) = run_and_get_code(forward)
    body = code[code.index("def call") :]
    fused = len(re.findall(r"^\s+(?:cpp|triton)_\w+\(", body, re.MULTILINE))
    products = len(re.findall(r"extern_kernels\.\w*mm\(", body))
    assert products == 4, "queries, keys and values; out; gate and up; down"
    assert fused <= 8, "flex_attention among them"


def test_nothing_of_the_order_of_positions_squared_exists_in_a_block() -> None:
    """All values of forward and backward, flex_attention and its gradient being one operator each."""
    positions, config = 16_384, small_config(dim=16, heads=1, ffn_dim=24, layers=1, attention_window=2048, chunk=8)
    sizes: list[int] = []

    class StopError(Exception):
        pass

    def partition(joint: GraphModule, inputs: Any, **options: Any) -> tuple[GraphModule, GraphModule]:
        """Sees forward and backward in one graph; nothing is computed."""
        assert any("backward" in str(node.target) for node in joint.graph.nodes)
        values = [node.meta.get("val") for node in joint.graph.nodes]
        sizes.extend(value.numel() for value in values if isinstance(value, Tensor))
        raise StopError

    model = build_model(config, seed=0)
    model.compile_blocks(backend=aot_autograd(fw_compiler=lambda graph, inputs: graph, partition_fn=partition))
    documents = (torch.arange(positions) // 4000).int().unsqueeze(0)
    with pytest.raises(Exception, match="StopError"):
        model.hidden(random_ids(1, positions), documents)
    linear = positions * 3 * config.dim
    assert linear <= max(sizes) <= 2 * linear
    assert 2 * linear < positions * positions / 8 / 20


def test_a_block_mask_is_made_of_blocks() -> None:
    """Its largest array has a number for every query and block of keys; it holds one for each pair of blocks."""
    positions, window = 16_384, 2048
    largest = 0

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, operator: Any, types: Any, arguments: Any = (), named: Any = None) -> Any:
            nonlocal largest
            out = operator(*arguments, **(named or {}))
            largest = max(largest, out.numel() if isinstance(out, Tensor) else 0)
            return out

    with FakeTensorMode(), Watch():
        starts = torch.zeros(1, positions, dtype=torch.int64)
        mask = eva_block_mask(positions, window=window, chunk=8, starts=starts, device=torch.device("cpu"))
    blocks = mask.kv_indices.shape[-1]
    assert blocks == (positions + (positions - window) // 8) // FLEX_BLOCK
    assert largest == positions * blocks < positions * positions / 100
    assert max(part.numel() for part in mask.as_tuple() if isinstance(part, Tensor)) == blocks * positions // FLEX_BLOCK
