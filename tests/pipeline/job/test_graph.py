"""The Beam graph on the local runner: it travels by pickle, loads models once, and shuffles no text."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, StandardOptions

from pipeline.compressors.base import Loading
from pipeline.compressors.neural.settings import NeuralSettings
from pipeline.compressors.registry import load_compressors
from pipeline.job import graph, runners, worker
from pipeline.job.compress_unit import Commit
from pipeline.job.job import Job
from pipeline.job.plan_file import PLAN_NAME, PlanFile, write_plan
from pipeline.job.worker import Holder
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


def compress_unit(job: Job, plan: PlanFile) -> graph.CompressUnit:
    """The step that compresses, as the graph has it."""
    return graph.CompressUnit(Holder(job=job, plan=plan, names=job.settings.compressors, device="cpu"))


@pytest.mark.parametrize("way", ["beam", "cloudpickle"])
def test_the_step_works_after_pickling(way: str, tmp_path: Path) -> None:
    job, plan = parts(tmp_path)
    step = compress_unit(job, plan)
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
    assert len(pickler.dumps(compress_unit(job, plan))) < 4096


def test_commit_records_hold_no_text(tmp_path: Path) -> None:
    job, plan = parts(tmp_path)
    step = compress_unit(job, plan)
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

    monkeypatch.setattr(worker, "load_compressors", spy)
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


@pytest.mark.parametrize(
    ("settings", "table_parts", "asking"),
    [
        ({"device": "cpu"}, 0, set()),
        ({"device": "cuda"}, 0, {"CompressUnit"}),
        ({"device": "cuda", "learn_once": True}, 2, {"LearnOnce/Code"}),
        ({"device": "cuda", "learn_once": True}, 0, set()),
        ({"device": "cuda", "learn_once": True, "score": "document_entropy"}, 2, {"CompressUnit", "LearnOnce/Code"}),
        ({"device": "cpu", "learn_once": True}, 2, set()),
    ],
)
def test_only_the_step_where_the_byte_lm_works_asks_for_a_gpu(
    settings: dict[str, Any], table_parts: int, asking: set[str], tmp_path: Path
) -> None:
    job, plan = parts(tmp_path)
    models = replace(job.settings.models, neural=NeuralSettings(boundary_score=settings.pop("score", "pair_surprisal")))
    compressors = ("neural",) if "learn_once" in settings else ("gzip",)
    job = replace(job, settings=replace(job.settings, compressors=compressors, models=models, **settings))
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    graph.build(pipeline, job, plan, parts=table_parts)
    proto = pipeline.to_runner_api()
    found = set()
    for transform in proto.components.transforms.values():
        hints = proto.components.environments[transform.environment_id].resource_hints
        if any("accelerator" in urn for urn in hints):
            found.add(transform.unique_name.partition("/ParDo")[0])
    assert found == asking


def test_steps_have_their_own_names(tmp_path: Path) -> None:
    job, plan = parts(tmp_path)
    for table_parts, learning in ((0, []), (2, ["LearnOnce"])):
        pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
        graph.build(pipeline, job, plan, parts=table_parts)
        steps = [part.full_label for part in pipeline._root_transform().parts]
        assert steps == ["Units", "Spread", *learning, "CompressUnit", "Collect", "Publish"]
