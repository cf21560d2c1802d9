"""Several datasets in one run: shares as weighed, one stream whatever the ranks, each read as if alone."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from schemas.errors import DatasetError, SettingsError
from schemas.manifest import read_manifest, write_manifest_atomically
from tests.trainer.data.test_loader import SETTINGS, take
from tests.trainer.datasets import COMPRESSOR, make_texts, write_dataset
from tests.trainer.runs import OPTIONS, losses, make_dataset, train
from trainer.__main__ import main
from trainer.data.blend import Blend
from trainer.data.dataset import Dataset, HeldOut
from trainer.data.loader import Loader, PackedBatch
from trainer.data.mixing import Mixing
from trainer.data.settings import sources

ROWS = ([40, 1, 90, 25, 60], [30, 70])


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two datasets, of 216 and 100 documents."""
    folder = tmp_path_factory.mktemp("datasets")
    return [
        write_dataset(folder / name, make_texts(rows, seed=seed))
        for seed, (name, rows) in enumerate(zip(("code", "text"), ROWS, strict=True))
    ]


def blend(places: list[Path], weights: tuple[float, ...] = (0.7, 0.3), share: float = 0.1) -> Blend:
    """Both datasets, opened again."""
    return Blend(
        [Dataset(str(place), compressor=COMPRESSOR, held_out=HeldOut(share=share)) for place in places], weights
    )


def same(one: PackedBatch, other: PackedBatch) -> bool:
    """Whether two batches are equal in all parts."""
    names = ("ids", "documents", "spans", "next_ids", "pieces")
    return one.step == other.step and all(np.array_equal(getattr(one, n), getattr(other, n)) for n in names)


@pytest.mark.parametrize(("ranks", "then"), [(1, 2), (2, 4), (4, 1), (2, 2)])
def test_ranks_and_stops_change_no_batch(places: list[Path], ranks: int, then: int) -> None:
    whole, _ = take(blend(places), SETTINGS, 14)
    first, state = take(blend(places), SETTINGS, 5, ranks=ranks)
    rest, _ = take(blend(places), SETTINGS, 9, ranks=then, state=state)
    for (expected,), parts in zip(whole, [*first, *rest], strict=True):
        count = len(parts)
        for rank, part in enumerate(parts):
            assert part.step == expected.step
            assert np.array_equal(part.ids, expected.ids[rank::count])
            assert np.array_equal(part.next_ids, expected.next_ids[rank::count])


def test_equal_steps_give_equal_batches_and_other_seeds_others(places: list[Path]) -> None:
    one, two = (take(blend(places), SETTINGS, 3)[0] for _ in range(2))
    assert all(same(a[0], b[0]) for a, b in zip(one, two, strict=True))
    other, _ = take(blend(places), replace(SETTINGS, seed=6), 3)
    assert not same(one[0][0], other[0][0])


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("weights", [(0.7, 0.3), (1, 9), (2.0, 2.0)])
def test_shares_over_20_000_documents_are_the_weights(
    places: list[Path], seed: int, weights: tuple[float, float]
) -> None:
    mixed = blend(places, weights)
    with Loader(mixed, replace(SETTINGS, seed=seed, global_batch_size=400)) as loader:
        documents = sequences = of_first = 0
        while documents < 20_000:
            pieces = next(loader).pieces
            documents += len(pieces)
            sequences += 400
            # All documents of a sequence are of one dataset.
            first = [set(pieces[pieces[:, 0] == row, 2] < len(ROWS[0])) for row in range(400)]
            assert all(len(kinds) == 1 for kinds in first)
            of_first += sum(kinds == {True} for kinds in first)
    share = weights[0] / sum(weights)
    assert abs(of_first / sequences - share) < 3 * math.sqrt(share * (1 - share) / sequences)


def test_each_dataset_is_read_as_in_a_run_of_its_own(places: list[Path]) -> None:
    """The sequences of one dataset in one lane, in order, are those that the lane makes where it is alone."""
    settings = replace(SETTINGS, mixing=Mixing(mode="raw-only"))
    mixed, _ = take(blend(places), settings, 30)
    for part, place in enumerate(places):
        alone, _ = take(Blend([Dataset(str(place), compressor=COMPRESSOR, held_out=HeldOut(share=0.1))]), settings, 30)
        for lane in range(settings.lanes):
            expected = [row for (batch,) in alone for row in batch.ids[lane :: settings.lanes]]
            found = [
                batch.ids[row]
                for (batch,) in mixed
                for row in range(lane, settings.global_batch_size, settings.lanes)
                if (batch.pieces[batch.pieces[:, 0] == row, 2] >= len(ROWS[0])).all() == bool(part)
            ]
            assert 5 < len(found) < len(expected)
            assert np.array_equal(found, expected[: len(found)])


def test_documents_are_named_in_their_dataset(places: list[Path]) -> None:
    mixed = blend(places)
    with Loader(mixed, SETTINGS) as loader:
        batch = next(loader)
        names = loader.documents_of(batch)
    for document, (_, _, shard, row, _) in zip(names, batch.pieces.tolist(), strict=True):
        own = shard - len(ROWS[0]) * (shard >= len(ROWS[0]))
        assert document.doc_id == f"s{own}-{row}"
        assert document.shard.endswith(f"of-{len(ROWS[int(shard >= len(ROWS[0]))]):05d}.arrow")


@pytest.mark.parametrize("ranks", [1, 2])
def test_epochs_are_those_of_the_documents_that_were_read(places: list[Path], ranks: int) -> None:
    counts, seen = [np.zeros(2) for _ in range(ranks)], [set() for _ in places]  # type: ignore[var-annotated]
    for rank in range(ranks):
        with Loader(blend(places, share=0.0), SETTINGS, rank=rank, world_size=ranks) as loader:
            assert loader.epochs().tolist() == [0.0, 0.0]
            for _ in range(120):
                pieces = next(loader).pieces
                for _, epoch, shard, row, _ in pieces.tolist():
                    seen[int(shard >= len(ROWS[0]))].add((epoch, shard, row))
            counts[rank] = loader.epochs()
            assert loader.dataset_names == ["code", "text"]
    for found, documents, rows in zip(sum(counts), seen, ROWS, strict=True):
        assert found > 1, "long enough for a second epoch"
        # Of each lane the last document may go on in the next sequence.
        assert len(documents) - SETTINGS.lanes <= round(found * sum(rows)) <= len(documents)


@pytest.mark.parametrize(
    ("weights", "count"), [((0.6, 0.4), 2), ((0.3, 0.7), 2), ((1.0,), 1)], ids=["other", "swapped", "one dataset"]
)
def test_other_weights_are_refused_at_resume(places: list[Path], weights: tuple[float, ...], count: int) -> None:
    _, state = take(blend(places), SETTINGS, 2)
    with (
        Loader(blend(places[:count], weights), SETTINGS) as loader,
        pytest.raises(SettingsError, match=r"made with dataset \['0.7 of .*resume with the settings of that run"),
    ):
        loader.load_state_dict(state)
    _, again = take(blend(places, (7, 3)), SETTINGS, 1, state=state)
    assert again["step"] == 3, "equal shares go on"


def test_other_alphabets_and_other_models_are_refused(places: list[Path], tmp_path: Path) -> None:
    for change, reason in (
        ({"alphabet_size": 4096}, "alphabets of 65536 and 4096"),
        ({"digest": "e" * 64}, "different models"),
    ):
        other = write_dataset(tmp_path / reason.split()[0], make_texts([9, 30]))
        manifest = read_manifest(other)
        settings = {COMPRESSOR: {**manifest.compressors[COMPRESSOR], **change}}
        write_manifest_atomically(other, replace(manifest, compressors=settings))
        with pytest.raises(
            DatasetError, match=f"cannot be mixed: their neural encodings .*{reason}.*one id would mean two"
        ):
            blend([places[0], other])
        raw = [Dataset(str(place), compressor=None) for place in (places[0], other)]
        assert Blend(raw, (1, 1)).compressor is None, "raw bytes mix with any"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a:0.7,b", "'b' is none with a weight above 0; write DIR:WEIGHT,DIR:WEIGHT"),
        ("a,b", "'a' is none"),
        ("a:1,b:0", "'b:0' is none"),
        ("a:1,b:-1", "'b:-1' is none"),
        ("a:1,b:nan", "'b:nan' is none"),
        ("a:1,b:inf", "'b:inf' is none"),
        ("a:1,:2", "':2' is none"),
        ("a:1,", "'' is none"),
        ("a:1,b:1,a:2", "names a twice"),
    ],
)
def test_a_list_with_anything_else_is_one_line(text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--data", text]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: --data ") and message in line


@hypothesis_settings(max_examples=50)
@given(
    st.lists(
        st.tuples(st.text("abc/:.", min_size=1, max_size=6), st.floats(1e-6, 1e6)),
        min_size=2,
        max_size=5,
        unique_by=lambda pair: pair[0],
    )
)
def test_lists_are_read_as_they_are_written(pairs: list[tuple[str, float]]) -> None:
    found = sources(",".join(f"{place}:{weight!r}" for place, weight in pairs))
    assert [(source.location, source.weight) for source in found] == pairs
    assert [source.location for source in sources("gs://bucket/a:1")] == ["gs://bucket/a:1"], "one is taken as it is"


@pytest.fixture(scope="module")
def mixture(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Two datasets of code, as a command line names them."""
    folder = tmp_path_factory.mktemp("mixture")
    return f"{make_dataset(folder / 'one')}:3,{make_dataset(folder / 'two')}:1"


@pytest.mark.slow
def test_a_run_of_two_datasets_goes_on_exactly_on_two_ranks(mixture: str, tmp_path: Path) -> None:
    options = {"checkpoint-steps": 3, "held-out-share": 0.2}
    whole = train(mixture, tmp_path / "whole", **options)  # type: ignore[arg-type]
    places = [word.rpartition(":")[0] for word in mixture.split(",")]
    assert whole[-1][f"epochs/{places[0]}"] > whole[-1][f"epochs/{places[1]}"] >= 0
    assert whole[-1]["held_out_bits_per_raw_byte"] < whole[2]["held_out_bits_per_raw_byte"]
    (tmp_path / "again" / "checkpoints").mkdir(parents=True)
    (tmp_path / "whole" / "checkpoints" / "step-00000003").rename(tmp_path / "again" / "checkpoints" / "step-00000003")
    (tmp_path / "again" / "metrics.jsonl").write_bytes((tmp_path / "whole" / "metrics.jsonl").read_bytes())
    again = train(mixture, tmp_path / "again", ranks=2, **options)  # type: ignore[arg-type]
    assert losses(again) == pytest.approx(losses(whole), abs=1e-5)
    assert [line[f"epochs/{places[0]}"] for line in again] == [line[f"epochs/{places[0]}"] for line in whole]


def test_a_run_with_other_weights_is_refused(
    mixture: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    words = [word for name, value in {**OPTIONS, "steps": 1}.items() for word in (f"--{name}", str(value))]
    with caplog.at_level("INFO"):
        assert main(["train", "--data", mixture, "--out", str(tmp_path), *words]) == 0
    assert "sequences: 75.0% of " in caplog.text and "epochs " in caplog.text
    words[words.index("--steps") + 1] = "2"
    assert main(["train", "--data", mixture.replace(":3,", ":2,"), "--out", str(tmp_path), *words]) == 2
    assert "made with dataset ['0.75 of " in capsys.readouterr().err
