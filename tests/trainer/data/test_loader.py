"""The loader: one stream whatever the ranks, stops and shards; every document once an epoch, spelled by its step."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kernels.counter_rng import Purpose
from schemas.errors import DatasetError, FormatVersionError, SettingsError, UserError
from tests.kernels.slow_packing import slow_encode
from tests.kernels.test_counter_rng import slow_draw, slow_hash, slow_mix
from tests.kernels.test_packing import slow_representation
from tests.schemas.hostile_json import tampered
from tests.trainer.datasets import COMPRESSOR, Text, make_texts, write_dataset
from trainer.data.dataset import Dataset, HeldOut
from trainer.data.loader import Loader, LoaderSettings, PackedBatch
from trainer.data.loader_state import merge_states
from trainer.data.mixing import Mixing

MIXING = Mixing(warmup_steps=20)
SETTINGS = LoaderSettings(
    sequence_length=64, global_batch_size=12, mixing=MIXING, lanes=4, interleave=3, seed=5, lookahead=4
)
TEXTS = make_texts([40, 1, 90, 25, 60])


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("dataset"), TEXTS)


@pytest.fixture
def dataset(directory: Path) -> Dataset:
    return Dataset(str(directory), compressor=COMPRESSOR)


def take(
    dataset: Dataset, settings: LoaderSettings, steps: int, *, ranks: int = 1, state: dict[str, Any] | None = None
) -> tuple[list[list[PackedBatch]], dict[str, Any]]:
    """Batches of all ranks by step, and the merged state behind them."""
    by_rank, states = [], []
    for rank in range(ranks):
        with Loader(dataset, settings, rank=rank, world_size=ranks) as loader:
            if state is not None:
                loader.load_state_dict(state)
            by_rank.append([next(loader) for _ in range(steps)])
            states.append(loader.state_dict())
    return [list(step) for step in zip(*by_rank, strict=True)], json.loads(json.dumps(merge_states(states)))


def merged(batches: list[PackedBatch]) -> tuple[np.ndarray, ...]:
    """The global batch of one step from those of its ranks, row i from rank i mod ranks."""
    ranks, rows = len(batches), len(batches[0].ids) * len(batches)
    out = []
    for name in ("ids", "documents", "spans", "next_ids"):
        parts = [getattr(batch, name) for batch in batches]
        whole = np.empty((rows, parts[0].shape[1]), parts[0].dtype)
        for rank, part in enumerate(parts):
            whole[rank::ranks] = part
        out.append(whole)
    pieces = [
        (line[0] * ranks + rank, place, *line[1:])
        for rank, batch in enumerate(batches)
        for place, line in enumerate(batch.pieces.tolist())
    ]
    return (*out, np.array([(piece[0], *piece[2:]) for piece in sorted(pieces)]))


def same(left: list[list[PackedBatch]], right: list[list[PackedBatch]]) -> bool:
    return len(left) == len(right) and all(
        a[0].step == b[0].step and all(np.array_equal(x, y) for x, y in zip(merged(a), merged(b), strict=True))
        for a, b in zip(left, right, strict=True)
    )


def lane_documents(
    steps: list[list[PackedBatch]], settings: LoaderSettings
) -> dict[int, list[tuple[int, list[int], tuple]]]:
    """By lane: (step, ids, piece) of every document that begins; the last may be cut short."""
    lanes: dict[int, list[tuple[int, list[int], tuple]]] = {lane: [] for lane in range(settings.lanes)}
    for batches in steps:
        ids, documents, _, _, pieces = merged(batches)
        for row in range(settings.global_batch_size):
            found = lanes[(batches[0].step * settings.global_batch_size + row) % settings.lanes]
            own = pieces[pieces[:, 0] == row, 1:].tolist()
            assert len(own) == documents[row, -1] + 1
            for number, piece in enumerate(own):
                part = ids[row, documents[row] == number].tolist()
                if part[0] == 1:
                    found.append((batches[0].step, part, tuple(piece)))
                else:
                    assert (number, found[-1][2]) == (0, tuple(piece))
                    found[-1][1].extend(part)
    return lanes


def slow_key(*numbers: int) -> int:
    h = 0
    for number in numbers:
        h = slow_mix(((h + 0x9E3779B97F4A7C15) % 2**64) ^ number)
    return h


@pytest.mark.parametrize("prefetch", [0, 2])
def test_the_first_batches_are_equal_for_any_number_of_ranks(dataset: Dataset, prefetch: int):
    settings = replace(SETTINGS, prefetch=prefetch)
    one, state = take(dataset, settings, 50)
    for ranks in (2, 4):
        other, other_state = take(dataset, settings, 50, ranks=ranks)
        assert same(one, other)
        assert other_state == state
    assert [batches[0].step for batches in one] == list(range(50))


def test_any_stop_resumes_exactly_on_any_number_of_ranks(dataset: Dataset):
    """20 random stops, each on other numbers of ranks before and behind it, with the state as JSON in between."""
    whole, _ = take(dataset, SETTINGS, 60)
    rng = random.Random(0)
    for _ in range(20):
        stop, before, behind = rng.randrange(51), rng.choice([1, 2, 4]), rng.choice([1, 2, 4])
        first, state = take(dataset, SETTINGS, stop, ranks=before)
        assert state["step"] == stop
        rest, _ = take(dataset, SETTINGS, 60 - stop, ranks=behind, state=state)
        assert same(whole, first + rest), (stop, before, behind)


def test_states_are_those_of_the_batches_given_not_of_the_batches_made(dataset: Dataset):
    made_early, made_late = replace(SETTINGS, prefetch=3), replace(SETTINGS, prefetch=0)
    with Loader(dataset, made_early) as early, Loader(dataset, made_late) as plain:
        assert early.state_dict() == plain.state_dict()
        for _ in range(5):
            next(early), next(plain)
            assert early.state_dict() == plain.state_dict()
        assert len(json.dumps(early.state_dict())) < 200 * SETTINGS.lanes + 1000


def test_neither_order_nor_states_depend_on_the_size_of_blocks(dataset: Dataset, monkeypatch: pytest.MonkeyPatch):
    whole, _ = take(dataset, SETTINGS, 30)
    first, state = take(dataset, SETTINGS, 11)
    monkeypatch.setattr("trainer.data.lanes.BLOCK_BYTES", 100)
    monkeypatch.setattr("trainer.data.lanes.BLOCK_DOCUMENTS", 5)
    assert same(whole, take(dataset, SETTINGS, 30)[0])
    assert same(whole, first + take(dataset, SETTINGS, 19, state=state)[0])
    first, state = take(dataset, SETTINGS, 12)
    monkeypatch.undo()
    assert same(whole, first + take(dataset, SETTINGS, 18, state=state)[0])


@pytest.mark.parametrize("mode", ["none", "pair-warmup", "pair-always"])
def test_every_document_is_spelled_by_the_step_in_which_it_begins(dataset: Dataset, mode: str):
    """The whole stream against plain Python: draws, phases to the step, encoding, continuation over rows."""
    mixing = Mixing(mode=mode, warmup_steps=7)
    settings = replace(SETTINGS, mixing=mixing)
    texts = {(text.shard, text.row): text for text in TEXTS}
    for documents in lane_documents(take(dataset, settings, 25)[0], settings).values():
        for place, (step, ids, (epoch, shard, row, representation)) in enumerate(documents):
            text, choice = texts[shard, row], mixing.phase(step).choice
            draw = slow_draw(slow_key(settings.seed, Purpose.MIXING, epoch), slow_hash(text.doc_id.encode()))
            assert representation == slow_representation(draw, choice)
            spelled = [symbol for symbol, _ in slow_encode(text.raw, text.symbols, representation, choice.sentinels)]
            last = place == len(documents) - 1
            assert ids == (spelled[: len(ids)] if last else spelled)


@pytest.mark.parametrize("share", [0.0, 0.2])
@pytest.mark.parametrize(("lanes", "interleave"), [(1, 1), (4, 3), (12, 4)])
def test_every_document_once_an_epoch(directory: Path, lanes: int, interleave: int, share: float):
    held_out = HeldOut(share=share)
    dataset = Dataset(str(directory), compressor=COMPRESSOR, held_out=held_out)
    settings = replace(SETTINGS, lanes=lanes, interleave=interleave)
    steps, state = take(dataset, settings, 60)
    expected = {(text.shard, text.row) for text in TEXTS if not held_out.holds(text.doc_id)}
    found: dict[int, Counter] = {}
    for documents in lane_documents(steps, settings).values():
        for _, _, (epoch, shard, row, _) in documents:
            found.setdefault(epoch, Counter())[shard, row] += 1
    whole = [epoch for epoch, counter in found.items() if len(counter) == len(expected)]
    assert whole[:2] == [0, 1], "too few steps to see two epochs"
    for epoch, counter in found.items():
        assert set(counter) <= expected
        assert set(counter.values()) == {1}, epoch
    assert len(state["lanes"]) == lanes


def test_a_sorted_corpus_comes_mixed(tmp_path: Path):
    """Shards as sorted as can be: early on, a lane already shows documents from all its open places in turn."""
    texts = make_texts([100] * 8)
    dataset = Dataset(str(write_dataset(tmp_path, texts)), compressor=COMPRESSOR)
    settings = replace(SETTINGS, lanes=2, interleave=4)
    for documents in lane_documents(take(dataset, settings, 10)[0], settings).values():
        shards = [piece[1] for _, _, piece in documents][:60]
        assert len(set(shards)) == 4
        assert max(Counter(shards).values()) < 30
        same_as_before = sum(a == b for a, b in pairwise(shards))
        assert same_as_before < 30
    other = lane_documents(take(dataset, replace(settings, seed=6), 3)[0], settings)
    assert other != lane_documents(take(dataset, settings, 3)[0], settings)


@pytest.mark.parametrize("rows_per_shard", [[1], [2], [1, 1], [0, 3, 0], [5, 0, 1]])
def test_tiny_datasets(tmp_path: Path, rows_per_shard: list[int]):
    texts = make_texts(rows_per_shard)
    settings = replace(SETTINGS, lanes=1)
    dataset = Dataset(str(write_dataset(tmp_path, texts)), compressor=COMPRESSOR)
    steps, _ = take(dataset, settings, 5)
    epochs = Counter(piece[0] for _, _, piece in lane_documents(steps, settings)[0])
    assert epochs[0] == epochs[1] == len(texts)


def test_long_documents_go_on_over_rows_and_steps(tmp_path: Path):
    texts = make_texts([6, 6], most_bytes=3000)
    dataset = Dataset(str(write_dataset(tmp_path, texts)), compressor=COMPRESSOR)
    settings = replace(SETTINGS, lanes=2, mixing=Mixing(mode="raw-only"), global_batch_size=4)
    whole, _ = take(dataset, settings, 80)
    by_place = {(text.shard, text.row): text for text in texts}
    for documents in lane_documents(whole, settings).values():
        for _, ids, (_, shard, row, _) in documents[:-1]:
            assert bytes(symbol - 64 for symbol in ids[2:-2]) == by_place[shard, row].raw
    for stop in range(0, 40, 7):
        first, state = take(dataset, settings, stop, ranks=2)
        assert same(whole, first + take(dataset, settings, 80 - stop, state=state)[0])


def test_plain_and_compressed_shards_and_wide_symbols_give_the_same_rows(
    directory: Path, dataset: Dataset, tmp_path: Path
):
    expected, _ = take(dataset, SETTINGS, 10)
    for compression, dtype in (("none", np.uint16), ("zstd", np.uint32)):
        other = write_dataset(tmp_path / compression, TEXTS, compression=compression, dtype=dtype)
        assert same(expected, take(Dataset(str(other), compressor=COMPRESSOR), SETTINGS, 10)[0])


def test_memory_does_not_grow(tmp_path: Path):
    """Open batches stay few through many epochs, and decoded buffers with them."""
    texts = make_texts([300] * 6, most_bytes=400)
    dataset = Dataset(str(write_dataset(tmp_path, texts, batch_bytes=8000)), compressor=COMPRESSOR)
    settings = replace(SETTINGS, global_batch_size=96, prefetch=0)
    units_per_lane, record_batches = 3, 48
    with pytest.MonkeyPatch.context() as patch, Loader(dataset, settings) as loader:
        patch.setattr("trainer.data.dataset.RECENT_BATCH_BYTES", 1)
        held, buffers = [], []
        for _ in range(120):
            next(loader)
            held.append(len(dataset._batches))
            buffers.append(pa.total_allocated_bytes())
        assert loader.state_dict()["lanes"]["0"][0] > 4 * units_per_lane, "too few steps to see four epochs"
    limit = settings.lanes * settings.interleave + 1
    assert max(held) <= limit < record_batches
    assert max(buffers[60:]) <= 1.2 * max(buffers[:60])


def test_held_out_documents_are_never_trained_on(directory: Path, dataset: Dataset):
    held_out = HeldOut(share=0.2)
    part = Dataset(str(directory), compressor=COMPRESSOR, held_out=held_out)
    steps, _ = take(part, SETTINGS, 60)
    trained = {tuple(line[2:4]) for batches in steps for line in batches[0].pieces.tolist()}
    expected = [text for text in TEXTS if held_out.holds(text.doc_id)]
    found = [
        (name, documents.text(i)) for names, documents in part.held_out_documents() for i, name in enumerate(names)
    ]
    assert found == [(text.doc_id, text.raw) for text in expected]
    assert trained == {(text.shard, text.row) for text in TEXTS} - {(text.shard, text.row) for text in expected}
    assert list(dataset.held_out_documents()) == []


def test_the_byte_lm_holds_out_the_same_documents():
    from pipeline.corpus.sample import HELD_OUT_SHARE
    from schemas.held_out import is_held_out

    names = [f"{i:016x}" for i in range(2000)]
    held_out = HeldOut(share=HELD_OUT_SHARE)
    assert [held_out.holds(name) for name in names] == [is_held_out(name, HELD_OUT_SHARE) for name in names]


def test_a_batch_names_its_documents(dataset: Dataset):
    with Loader(dataset, SETTINGS) as loader:
        batch = next(loader)
        shown = loader.documents_of(batch)
    assert len(shown) == len(batch.pieces) > 20
    for line, document in zip(batch.pieces.tolist(), shown, strict=True):
        assert document.doc_id == f"s{line[2]}-{line[3]}"
        assert document.shard == f"shard-0000{line[2]}-of-00005.arrow"
        assert document.representation in ("raw", "comp", "comp+raw", "raw+comp")


def test_baselines_open_only_what_they_need(directory: Path):
    raw_only = replace(SETTINGS, mixing=Mixing(mode="raw-only"))
    steps, _ = take(Dataset(str(directory), compressor=None), raw_only, 4)
    assert all((batch.ids < 320).all() for batches in steps for batch in batches)
    comp_only = replace(SETTINGS, mixing=Mixing(mode="comp-only"))
    steps, _ = take(Dataset(str(directory), compressor=COMPRESSOR, raw=False), comp_only, 4)
    assert not any((batch.spans == 1).any() for batches in steps for batch in batches)
    with pytest.raises(SettingsError, match="'pair-warmup' shows compressed text: name a --compressor"):
        Loader(Dataset(str(directory), compressor=None), SETTINGS)


def test_wrong_datasets_are_named(directory: Path, dataset: Dataset, tmp_path: Path):
    with pytest.raises(DatasetError, match=r"holds no manifest\.json.*python -m pipeline preprocess"):
        Dataset(str(tmp_path), compressor=COMPRESSOR)
    with pytest.raises(DatasetError, match=r"no compressor 'gzip', it has \['neural'\].*--compressors gzip"):
        Dataset(str(directory), compressor="gzip")
    with pytest.raises(SettingsError, match=r"has 320 ids, compressor 'neural' .* needs 65856"):
        dataset.check_vocabulary(320)
    dataset.check_vocabulary(65856)
    with pytest.raises(SettingsError, match=r"--held-out-share is 1\.5"):
        HeldOut(share=1.5)
    copied = write_dataset(tmp_path / "copy", TEXTS)
    manifest = copied / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format_version": 2', '"format_version": 9'))
    with pytest.raises(FormatVersionError, match="has format version 9, this program reads 2"):
        Dataset(str(copied), compressor=COMPRESSOR)


def damaged(tmp_path: Path, old: str, new: str) -> Dataset:
    copied = write_dataset(tmp_path, TEXTS)
    manifest = copied / "manifest.json"
    assert old in manifest.read_text()
    manifest.write_text(manifest.read_text().replace(old, new))
    return Dataset(str(copied), compressor=COMPRESSOR)


@pytest.mark.parametrize("prefetch", [0, 2])
def test_damaged_shards_are_named_where_they_are_read(tmp_path: Path, prefetch: int):
    settings = replace(SETTINGS, prefetch=prefetch, lanes=1)
    dataset = damaged(tmp_path, '"alphabet_size": 65536', '"alphabet_size": 256')
    with (
        Loader(dataset, settings) as loader,
        pytest.raises(DatasetError, match=r"its alphabet has 256: .* write it again"),
    ):
        next(loader)
    whole = {path: path.read_bytes() for path in sorted(tmp_path.glob("*.arrow"))}
    for path, data in whole.items():
        path.write_bytes(data[:-50])
    dataset = Dataset(str(tmp_path), compressor=COMPRESSOR)
    with Loader(dataset, settings) as loader, pytest.raises(DatasetError, match="is damaged: its sha256 is"):
        next(loader)
    for path, data in whole.items():
        path.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :])
    dataset = Dataset(str(tmp_path), compressor=COMPRESSOR)
    with Loader(dataset, settings) as loader, pytest.raises(DatasetError, match="is damaged: its sha256 is"):
        next(loader)
    for path in whole:
        path.unlink()
    dataset = Dataset(str(tmp_path), compressor=COMPRESSOR)
    with Loader(dataset, settings) as loader, pytest.raises(DatasetError, match="is missing"):
        next(loader)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lanes": 500}, "500 lanes need 500 documents, the dataset has 216: use fewer --lanes"),
        ({"sequence_length": 1}, "sequence_length is 1, it must be at least 2"),
        ({"interleave": 0}, "interleave is 0"),
        ({"seed": -1}, "seed is -1, it must be 0 or more"),
    ],
)
def test_wrong_settings_are_named(dataset: Dataset, change: dict[str, int], message: str):
    with pytest.raises(SettingsError, match=message):
        Loader(dataset, replace(SETTINGS, **change))


def test_ranks_that_do_not_divide_are_named(dataset: Dataset):
    with pytest.raises(SettingsError, match="3 ranks cannot share lanes 4 evenly"):
        Loader(dataset, SETTINGS, world_size=3)
    with pytest.raises(SettingsError, match="4 ranks cannot share global_batch_size 6 evenly"):
        Loader(dataset, replace(SETTINGS, global_batch_size=6), world_size=4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("lanes"), "loader state is damaged"),
        (lambda state: state["lanes"].pop("3"), "has 3 of 4 lanes"),
        (lambda state: state["lanes"].update({"3": [1, 2]}), "loader state is damaged"),
        (lambda state: state.update(step=-1), "loader state is damaged"),
        (lambda state: state["lanes"]["1"].__setitem__(3, -(10**12)), "document is -1000000000000, not a number"),
        (lambda state: state["lanes"]["1"].__setitem__(3, 10**15), "document is 1000000000000000, not a number"),
        (lambda state: state["lanes"]["1"].__setitem__(4, 4), "representation is 4, not a number from 0 to 3"),
        (lambda state: state["lanes"]["1"].__setitem__(5, -(10**9)), "offset is -1000000000, not a number"),
        (lambda state: state["lanes"]["1"].__setitem__(5, "7"), "offset is '7', not a number"),
        (lambda state: state["lanes"]["1"][1].pop(), "lane 1 has 2 open ranges, not 3: the checkpoint"),
        (lambda state: state["lanes"]["1"][1][0].__setitem__(1, 10**9), "row 1000000000 is not in range .* of lane 1"),
        (
            lambda state: state["lanes"]["1"][1][0].__setitem__(0, 10**9),
            "number of a range is 1000000000, not a number",
        ),
        (lambda state: state.update(version=9), "has version 9, this program reads 1"),
        (lambda state: state["identity"].update(seed=9), "made with seed 9, this run has 5: resume with the settings"),
        (lambda state: state["identity"].update(dataset="x"), "made with dataset x, this run has"),
    ],
)
def test_foreign_states_are_named(dataset: Dataset, change: Any, message: str):
    _, state = take(dataset, SETTINGS, 1)
    change(state)
    with pytest.raises(UserError, match=message) as error:
        Loader(dataset, SETTINGS).load_state_dict(state)
    assert "\n" not in str(error.value)


def test_an_offset_behind_the_end_of_a_document_is_named(dataset: Dataset):
    _, state = take(dataset, SETTINGS, 1)
    state["lanes"]["1"][3:] = [0, 0, 10**9]
    loader = Loader(dataset, SETTINGS)
    loader.load_state_dict(state)
    with loader, pytest.raises(SettingsError, match="document 0 of a block has .* ids, none at 1000000000: the checkp"):
        for _ in range(3):
            next(loader)


@given(data=st.data())
@hypothesis_settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_is_changed_a_state_is_continued_or_refused_in_one_line(directory: Path, data: st.DataObject):
    opened = Dataset(str(directory), compressor=COMPRESSOR)
    changed = data.draw(tampered(STATES.setdefault(str(directory), take(opened, SETTINGS, 1)[1])))
    with Loader(opened, replace(SETTINGS, prefetch=0)) as loader:
        try:
            loader.load_state_dict(changed)
            next(loader)
        except UserError as error:
            assert len(str(error).splitlines()) == 1


STATES: dict[str, Any] = {}
"""The state after one batch, by dataset."""


def test_nothing_left_to_train_on_is_named(tmp_path: Path):
    texts = [Text(f"d{i}", b"x", [1], 0, i) for i in range(3)]
    held_out = HeldOut(share=0.9999999)
    dataset = Dataset(str(write_dataset(tmp_path, texts)), compressor=COMPRESSOR, held_out=held_out)
    with Loader(dataset, replace(SETTINGS, lanes=1)) as loader, pytest.raises(DatasetError, match="hold out a smaller"):
        next(loader)
