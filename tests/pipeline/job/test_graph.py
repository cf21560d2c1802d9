"""The Beam graph on the local runner: it travels by pickle, loads models once, and shuffles no text."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from pipeline.compressors.base import Loading
from pipeline.compressors.registry import load_compressors
from pipeline.job import graph, runners
from pipeline.job.compress_unit import Commit
from pipeline.job.job import Job
from pipeline.job.plan_file import PLAN_NAME, PlanFile, write_plan
from schemas.errors import SettingsError
from schemas.manifest import read_manifest
from tests.pipeline.corpora import jsonl, plan_units, texts
from tests.pipeline.job.jobs import gzip_job

SECRET = "a text that nothing but the shard may hold"


def parts(directory: Path, shards: int = 3, **settings: Any) -> tuple[Job, PlanFile]:
    """What the graph is built from, for a small corpus and gzip."""
    corpus = directory / "corpus.jsonl"
    corpus.write_bytes(jsonl(*({"text": f"{SECRET} {text}"} for text in texts(30))))
    units = plan_units([str(corpus)], shards=shards, unit_bytes=1)
    job = gzip_job(directory / "out", **settings)
    return job, write_plan(job.path("_work", PLAN_NAME), units)


@pytest.mark.parametrize("way", ["beam", "cloudpickle"])
def test_the_step_works_after_pickling(way: str, tmp_path: Path) -> None:
    job, plan = parts(tmp_path)
    step = graph.CompressUnit(job, plan)
    if way == "beam":
        travelled = pickler.loads(pickler.dumps(step))
    else:
        cloudpickle = pytest.importorskip("apache_beam.internal.cloudpickle.cloudpickle")
        travelled = pickle.loads(cloudpickle.dumps(step))
    travelled.setup()
    commits = [Commit.from_bytes(data) for unit in range(plan.units) for data in travelled.process(unit)]
    assert [commit.unit for commit in commits] == [0, 1, 2]
    assert sum(commit.read for commit in commits) == 30


def test_a_pickled_step_is_small_and_names_no_model(tmp_path: Path) -> None:
    job, plan = parts(tmp_path)
    assert len(pickler.dumps(graph.CompressUnit(job, plan))) < 4096


def test_commit_records_hold_no_text(tmp_path: Path) -> None:
    job, plan = parts(tmp_path)
    step = graph.CompressUnit(job, plan)
    step.setup()
    for unit in range(plan.units):
        (commit,) = step.process(unit)
        assert SECRET.encode() not in commit
        assert len(commit) < 2048


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_models_are_loaded_once_in_a_process(workers: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[str] = []

    def spy(names: Any, loading: Loading) -> Any:
        loads.append(loading.directory)
        return load_compressors(names, loading)

    monkeypatch.setattr(graph, "load_compressors", spy)
    job, plan = parts(tmp_path, shards=8)
    graph.run(job, plan, runners.options("FnApiRunner", workers, ()))
    assert len(loads) == 1
    assert read_manifest(job.output).totals.written == 30


def test_the_local_runner_is_named_and_gets_a_thread_per_worker() -> None:
    for workers, mode in ((1, "in_memory"), (3, "multi_threading")):
        options = runners.options("FnApiRunner", workers, ())
        direct = options.view_as(DirectOptions)
        assert options.view_as(StandardOptions).runner == "FnApiRunner"
        assert (direct.direct_num_workers, direct.direct_running_mode) == (workers, mode)


def test_options_of_other_runners_pass_through() -> None:
    options = runners.options("PortableRunner", 2, ["--job_endpoint=localhost:1", "--environment_type=LOOPBACK"])
    known = options.get_all_options(drop_default=True)
    assert known["runner"] == "PortableRunner"
    assert known["job_endpoint"] == "localhost:1"
    assert not known.get("save_main_session")


@pytest.mark.parametrize(
    ("runner", "extra", "message"),
    [
        ("FnApiRunner", ["--project=x"], "takes no Beam options; remove '--project=x'"),
        ("Nonsense", [], "--runner Nonsense cannot be had"),
        ("no.such.Runner", [], "--runner no.such.Runner cannot be had"),
        ("os.path.join", [], "--runner os.path.join cannot be had"),
    ],
)
def test_options_that_cannot_be(runner: str, extra: list[str], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        runners.options(runner, 1, extra)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_only_the_compress_step_asks_for_a_gpu(device: str, tmp_path: Path) -> None:
    job, plan = parts(tmp_path, device=device)
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    graph.build(pipeline, job, plan)
    proto = pipeline.to_runner_api()
    asking = set()
    for transform in proto.components.transforms.values():
        hints = proto.components.environments[transform.environment_id].resource_hints
        if any("accelerator" in urn for urn in hints):
            asking.add(transform.unique_name.split("/")[0])
    assert asking == ({"CompressUnit"} if device == "cuda" else set())


def test_steps_have_their_own_names(tmp_path: Path) -> None:
    job, plan = parts(tmp_path)
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    graph.build(pipeline, job, plan)
    steps = [part.full_label for part in pipeline._root_transform().parts]
    assert steps == ["Units", "Spread", "CompressUnit", "Collect", "Publish"]
