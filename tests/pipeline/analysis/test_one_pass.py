"""One pass: a record batch is decoded once for all collectors. And the border between measuring and drawing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import pipeline.analysis.one_pass as one_pass
from pipeline.analysis.analyze import measure
from pipeline.analysis.collisions import LEVELS, CollisionCounter
from pipeline.analysis.one_pass import DecodedBatch, collect
from pipeline.analysis.samples import SampleChooser
from pipeline.analysis.settings import AnalyzeSettings
from pipeline.analysis.statistics import StatisticsCounter
from pipeline.analysis.texts import HeldOutTexts
from schemas.errors import DatasetError
from schemas.manifest import read_manifest
from schemas.shard_files import open_shards
from tests.rooms import MODULES, imported


def test_every_column_is_decoded_once(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many collectors ask for it."""
    decoded: list[int] = []
    for name in ("documents_from_array", "encoding_of", "_pieces"):
        real = getattr(one_pass, name)

        def counted(*arrays: object, real=real):  # type: ignore[no-untyped-def]
            decoded.append(1)
            return real(*arrays)

        monkeypatch.setattr(one_pass, name, counted)
    dataset = finished / "out"
    manifest = read_manifest(dataset)
    collectors = [
        StatisticsCounter(manifest),
        SampleChooser(6, 0),
        *(CollisionCounter("neural", level) for level in LEVELS),
        HeldOutTexts(limit=9, max_bytes=999),
    ]
    collect(str(dataset), collectors)
    batches = len(list(open_shards(dataset)))
    assert len(decoded) == batches * (1 + 2 * len(manifest.compressors))


def test_the_whole_analysis_passes_over_the_dataset_once(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    passes: list[str] = []
    real = one_pass.open_shards
    monkeypatch.setattr(one_pass, "open_shards", lambda dataset, kept: passes.append(dataset) or real(dataset, kept))
    for module in ("statistics", "collisions", "texts"):
        assert not hasattr(__import__(f"pipeline.analysis.{module}", fromlist=[""]), "open_shards")
    monkeypatch.setattr("pipeline.analysis.frontier.CONTEXTS", ())
    measure(AnalyzeSettings(dataset=str(finished / "out"), documents=2))
    assert passes == [str(finished / "out")]


@pytest.mark.parametrize("field", ["window_bytes", "segment_symbols"])
def test_pieces_that_do_not_fill_a_document_are_refused(field: str, finished: Path) -> None:
    rows = next(iter(open_shards(finished / "out")))
    column = rows["neural"]
    lists = column.field(field)
    values = lists.values.to_numpy().copy()
    values[lists.offsets[1].as_py() - 1] += 1
    fields = {name.name: column.field(name.name) for name in column.type}
    fields[field] = pa.ListArray.from_arrays(lists.offsets, pa.array(values))
    damaged = rows.set_column(
        rows.schema.get_field_index("neural"),
        "neural",
        pa.StructArray.from_arrays(list(fields.values()), fields=list(column.type)),
    )
    with pytest.raises(DatasetError, match=f"{field} do not add up to the document"):
        DecodedBatch(damaged).pieces("neural")
    pieces = DecodedBatch(rows).pieces("neural")
    assert pieces.segment_bytes.sum() == DecodedBatch(rows).documents.raw.size
    assert pieces.window_bytes is not None and np.array_equal(pieces.window_bytes > 0, pieces.window_bytes >= 1)


def test_the_report_draws_findings_and_measures_nothing() -> None:
    """The page and the tables import nothing of the analysis but what was measured."""
    drawing = {name for name in MODULES if name.startswith("pipeline.analysis.report")} | {"pipeline.analysis.tables"}
    imports = {target for name in drawing for target, _ in imported(MODULES[name]) if target.startswith("pipeline.")}
    assert imports - drawing == {"pipeline.analysis.findings"}
