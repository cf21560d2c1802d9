"""The same graph elsewhere: a job service with a worker in another process, Dataflow's clients, and what is refused."""

from __future__ import annotations

import importlib.util
import json
import logging
import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import GoogleCloudOptions, StandardOptions
from apache_beam.portability.api import beam_runner_api_pb2
from apache_beam.transforms.environments import DockerEnvironment

from pipeline.cli import parser as cli
from pipeline.corpus.settings import CorpusSettings
from pipeline.job import graph, runners
from pipeline.job.job import Job
from pipeline.job.plan_file import PLAN_NAME, PlanFile, write_plan
from pipeline.job.settings import PreprocessSettings
from pipeline.job.worker import Holder
from pipeline.storage import files, lock
from schemas.errors import ArtifactError, SettingsError, UserError
from schemas.store_clients import check_credentials
from tests.pipeline.corpora import jsonl, plan_units, texts
from tests.pipeline.job.fake_google import fake_google, write_credentials
from tests.pipeline.job.jobs import gzip_job
from tests.pipeline.job.portable import ROOT, job_service, submit, worker_pool
from tests.pipeline.runs import ALL_COMPRESSORS, Models, Preprocess, content, tree, without_credentials

SHARDS = ("--shards", "4")
HAS_GOOGLE = bool(importlib.util.find_spec("google.auth")) and bool(importlib.util.find_spec("google.cloud.dataflow"))
needs_google = pytest.mark.skipif(not HAS_GOOGLE, reason="needs Google's clients: pip install 'apache-beam[gcp]'")
DATAFLOW = ("--runner", "DataflowRunner", "--project=p-of-nobody", "--region=europe-west4")
DATAFLOW += ("--temp_location=gs://bucket/temp/", "--sdk_container_image=example.test/proxy:1")


def last_line(stderr: str) -> str:
    """The one line of a refused command; what it was at before stands above."""
    assert "Traceback" not in stderr, stderr
    errors = [line for line in stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, stderr
    assert stderr.splitlines()[-1] == errors[0]
    return errors[0]


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a job service."""
    with job_service(tmp_path_factory.mktemp("service")) as address:
        yield address


def portable(service: str, pool: str) -> list[str]:
    """Options that send a run to a job service with an EXTERNAL pool."""
    options = ["--runner", "PortableRunner", f"--job_endpoint={service}"]
    return [*options, "--environment_type=EXTERNAL", f"--environment_config={pool}"]


# A job service, a worker pool, a worker and the launcher, each its own process.


@pytest.mark.slow
def test_workers_of_another_process_write_the_same_bytes(
    service: str, finished: Path, models: Models, tmp_path: Path, preprocess: Preprocess
) -> None:
    arguments = ["preprocess", "--input", str(finished / "corpus"), "--output", "out", *models.options, *SHARDS]
    with worker_pool(tmp_path) as pool:
        ended = submit([*arguments, "--compressors", ALL_COMPRESSORS, *portable(service, pool)], tmp_path)
        assert ended.returncode == 0, ended.stderr
        assert (tmp_path / "workers").read_text() == "started\n", "the pool's own process has started one worker"
    assert preprocess(finished / "corpus", tmp_path / "local", *SHARDS, "--workers", "2") == 0
    assert content(tmp_path / "out") == content(finished / "out") == content(tmp_path / "local")
    assert tree(tmp_path / "out/compressors") == tree(finished / "out/compressors")
    assert not (tmp_path / "out/_work").exists()


@pytest.mark.slow
def test_a_worker_without_the_lm(
    service: str, finished: Path, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    lost = f'mv "{tmp_path}/out/compressors/neural/weights.safetensors" "{tmp_path}/lost"'
    with worker_pool(tmp_path, first=lost) as pool:
        assert preprocess(finished / "corpus", tmp_path / "out", *SHARDS, *portable(service, pool)) == 2
    line = last_line(capsys.readouterr().err)
    assert "a worker says: no byte LM at" in line
    assert "weights.safetensors is missing" in line
    assert not list((tmp_path / "out/_work/done").iterdir())
    assert not list((tmp_path / "out/_work/staged").iterdir())
    assert not (tmp_path / "out/manifest.json").exists()


def test_a_pool_that_is_not_there(
    service: str, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "corpus.jsonl").write_bytes(jsonl({"text": "a"}))
    options = ("--compressors", "gzip", *portable(service, "localhost:1"))
    assert preprocess(tmp_path / "corpus.jsonl", tmp_path / "out", *options) == 2
    assert "reaches no worker pool" in last_line(capsys.readouterr().err)


# The graph as a job description.


def description(tmp_path: Path, device: str, *extra: str) -> beam_runner_api_pb2.Pipeline:
    """The job of a small corpus as it would go to a cluster whose workers are containers."""
    options = runners.options("PortableRunner", 1, ["--job_endpoint=embed", *extra])
    hints = runners.take_hints(options)
    pipeline = beam.Pipeline(options=options)
    graph.build(pipeline, *parts(tmp_path, device), hints)
    return pipeline.to_runner_api(default_environment=DockerEnvironment(container_image="proxy:1"))


def parts(tmp_path: Path, device: str) -> tuple[Job, PlanFile]:
    """Job and plan of a small corpus and gzip."""
    (tmp_path / "corpus.jsonl").write_bytes(jsonl(*({"text": text} for text in texts(9))))
    units = plan_units([str(tmp_path / "corpus.jsonl")], shards=3, unit_bytes=1)
    job = gzip_job(tmp_path / "out", device=device)
    return job, write_plan(job.path("_work", PLAN_NAME), units)


def hints_of(proto: beam_runner_api_pb2.Pipeline) -> dict[str, dict[str, str]]:
    """Step to its resource hints, the steps without any left out."""
    found: dict[str, dict[str, str]] = {}
    for transform in proto.components.transforms.values():
        hints = proto.components.environments[transform.environment_id].resource_hints
        named = {urn.split(":")[-2]: value.decode() for urn, value in hints.items()}
        if named:
            step = transform.unique_name.split("/")[0]
            assert found.setdefault(step, named) == named
    return found


def test_gpu_and_memory_are_asked_for_by_the_compress_step_only(tmp_path: Path) -> None:
    wanted = {"accelerator": runners.GPU_HINTS["accelerator"], "min_ram_bytes": str(12 * 10**9)}
    assert hints_of(description(tmp_path, "cuda")) == {"CompressUnit": wanted}


def test_a_cpu_run_asks_for_nothing(tmp_path: Path) -> None:
    proto = description(tmp_path, "cpu")
    assert hints_of(proto) == {}
    assert len({transform.environment_id for transform in proto.components.transforms.values()} - {""}) == 1


def test_hints_of_the_user_go_to_the_compress_step_only(tmp_path: Path) -> None:
    hints = ("--resource_hint=accelerator=type:nvidia-tesla-t4;count:1", "--resource_hint=min_ram=30GB")
    wanted = {"accelerator": "type:nvidia-tesla-t4;count:1", "min_ram_bytes": str(30 * 10**9)}
    assert hints_of(description(tmp_path, "cuda", *hints)) == {"CompressUnit": wanted}
    assert hints_of(description(tmp_path, "cpu", hints[1])) == {"CompressUnit": {"min_ram_bytes": str(30 * 10**9)}}


# Dataflow, up to its REST interface.


def settings(*extra: str, **more: Any) -> PreprocessSettings:
    """Settings of a run on Dataflow."""
    options = (*DATAFLOW[2:], *extra)
    corpus = CorpusSettings(inputs=more.pop("inputs", ("gs://bucket/corpus/*",)))
    given = {"output": "gs://bucket/out", "compressors": ("gzip",), **more}
    return PreprocessSettings(corpus=corpus, runner="DataflowRunner", beam_options=options, **given)


def test_a_dataflow_job_is_named_after_its_output() -> None:
    def name(**more: Any) -> str:
        return runners.pipeline_options(settings(**more)).view_as(GoogleCloudOptions).job_name

    assert name() == name(inputs=("gs://other/*",))
    assert name() != name(output="gs://bucket/out2")
    own = runners.pipeline_options(settings("--job_name=mine")).view_as(GoogleCloudOptions)
    assert own.job_name == "mine"


def test_a_gpu_machine_of_dataflow_runs_one_process() -> None:
    known = runners.pipeline_options(settings(device="cuda")).get_all_options()
    assert "no_use_multiple_sdk_containers" in known["experiments"]
    assert known["number_of_worker_harness_threads"] == runners.GPU_THREADS
    assert not runners.pipeline_options(settings()).get_all_options()["number_of_worker_harness_threads"]


@needs_google
def test_dry_run(tmp_path: Path) -> None:
    options = runners.pipeline_options(settings("--dry_run=True", device="cuda"))
    pipeline = beam.Pipeline(options=options)
    graph.build(pipeline, *parts(tmp_path, "cuda"), runners.take_hints(options))
    proto = pipeline.run().job.proto_pipeline  # type: ignore[attr-defined]
    assert set(hints_of(proto)) == {"CompressUnit"}
    used = {transform.environment_id for transform in proto.components.transforms.values()} - {""}
    images = {
        beam_runner_api_pb2.DockerPayload.FromString(proto.components.environments[name].payload).container_image
        for name in used
    }
    assert len(used) == 2, "right-fitting needs an environment of its own for the compress step"
    assert images == {"example.test/proxy:1"}


@needs_google
@pytest.mark.slow
def test_a_whole_submission(tmp_path: Path) -> None:
    with fake_google() as google:
        google.objects["bucket/corpus/a.jsonl"] = jsonl(*({"text": text} for text in texts(20)))
        more = {"GOOGLE_APPLICATION_CREDENTIALS": write_credentials(tmp_path / "key.json", google)}
        more |= {"STORAGE_EMULATOR_HOST": google.url, "GOOGLE_CLOUD_PROJECT": "p-of-nobody"}
        arguments = ["preprocess", "--input", "gs://bucket/corpus/a.jsonl", "--compressors", "gzip", "--shards", "3"]
        dataflow = [*DATAFLOW, f"--dataflow_endpoint={google.url}", "--output", "gs://bucket/out"]
        # The fake service calls every job done and does nothing: all that may be missing is the dataset.
        ended = submit([*arguments, *dataflow], tmp_path, **more)
        assert "has no manifest.json" in last_line(ended.stderr)
        assert ended.returncode == 2
        (job,) = google.jobs
        (pool,) = job["environment"]["workerPools"]
        assert [image["containerImage"] for image in pool["sdkHarnessContainerImages"]] == ["example.test/proxy:1"]
        (staged,) = [data for path, data in google.objects.items() if path.endswith("/pipeline.pb")]
        transforms = beam_runner_api_pb2.Pipeline.FromString(staged).components.transforms.values()
        steps = {"Units", "Spread", "CompressUnit", "Collect", "Publish"}
        assert steps <= {transform.unique_name.split("/")[0] for transform in transforms}
        left = sorted(path.removeprefix("bucket/out/") for path in google.objects if path.startswith("bucket/out/"))
        assert left == ["_work/plan.arrow", "settings.json"], "the lock is gone"
        google.refuse_as_active = True
        assert "another run is writing" in last_line(submit([*arguments, *dataflow], tmp_path, **more).stderr)
        google.read_only = True
        assert "cannot write to gs://bucket/out" in last_line(submit([*arguments, *dataflow], tmp_path, **more).stderr)
        google.read_only = False
        ended = submit([*arguments, "--output", "gs://bucket/local"], tmp_path, **more)
        assert ended.returncode == 0, ended.stderr
        assert json.loads(google.objects["bucket/local/manifest.json"])["totals"]["written"] == 20
        assert not google.unknown


# What is refused before any work starts.


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--job_endpoint=localhost:1"], ["no job service answers at --job_endpoint localhost:1"]),
        ([], ["needs --job_endpoint=HOST:PORT"]),
        (["--job_endpont=localhost:1"], ["unknown option '--job_endpont'", "did you mean --job_endpoint?"]),
        (["--job_endpoint=embed", "--no-such-thing", "3"], ["unknown option '--no-such-thing'"]),
        (["--job_endpoint=embed", "stray.jsonl"], ["unknown option 'stray.jsonl'"]),
        (["--job_endpoint=embed", "--num_workers=many"], ["--num_workers", "'many'"]),
        (["--job_endpoint=embed"], ["pipeline/Dockerfile", "--environment_type=EXTERNAL"]),
        (["--job_endpoint=embed", "--environment_type=EXTERNAL"], ["--environment_config=HOST:PORT"]),
        (["--job_endpoint=embed", "--resource_hint=min_rom=1GB"], ["min_rom", "min_ram=12GB"]),
        (["--runner", "DataflowRunner"], ["needs --project, --region, --temp_location"]),
        (["--runner", "DataflowRunner", "--regoin=x"], ["'--regoin'", "did you mean --region?"]),
        ([*DATAFLOW[:-1]], ["--sdk_container_image=IMAGE", "pipeline/Dockerfile"]),
        ([*DATAFLOW], ["--output", "on this machine", "gs://"]),
        (["--runner", "FlinkRuner"], ["--runner FlinkRuner cannot be had"]),
        (["--runner", "collections.OrderedDict"], ["cannot be had", "no runner"]),
    ],
    ids=lambda value: " ".join(value)[:50] if value and value[0].startswith("--") else "",
)
def test_a_job_that_cannot_be_submitted(
    options: list[str],
    words: list[str],
    tmp_path: Path,
    preprocess: Preprocess,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(runners, "CONNECT_SECONDS", 0.5)
    (tmp_path / "corpus.jsonl").write_bytes(jsonl({"text": "a"}))
    runner = () if "--runner" in options else ("--runner", "PortableRunner")
    assert preprocess(tmp_path / "corpus.jsonl", tmp_path / "out", "--compressors", "gzip", *runner, *options) == 2
    (line,) = capsys.readouterr().err.splitlines()
    for word in ("error: ", *words):
        assert word in line
    assert not (tmp_path / "out").exists(), "refused before any work"


def test_an_option_that_only_the_job_service_knows() -> None:
    runners._refuse_unknown(["--flink_thing=1", "--sdk_worker_parallelism=2"], ["flink_thing", "runner"])
    with pytest.raises(SettingsError, match="did you mean --flink_thing"):
        runners._refuse_unknown(["--flink_think=1"], ["flink_thing"])


@pytest.mark.parametrize("url", ["gs://bucket/out", "s3://bucket/out"])
def test_missing_credentials(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_credentials(monkeypatch, tmp_path)
    begin = time.monotonic()
    with pytest.raises(
        SettingsError, match="paths need (Google|Amazon) credentials, and there are none here"
    ) as caught:
        check_credentials(url)
    assert "\n" not in str(caught.value)
    assert time.monotonic() - begin < 20, "the clients themselves would try for minutes"


def test_other_places_need_no_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_credentials(monkeypatch, tmp_path)
    for path in ("out", str(tmp_path), "bucket://b/out", "file:///out"):
        check_credentials(path)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    check_credentials("s3://bucket/out")


def test_a_profile_takes_amazons_own_client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_credentials(monkeypatch, tmp_path)
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/credentials").write_text("[default]\naws_access_key_id = key\naws_secret_access_key = secret\n")
    if importlib.util.find_spec("boto3"):
        check_credentials("s3://bucket/out")
    else:
        with pytest.raises(SettingsError, match="in a profile, which takes boto3 to read; pip install boto3"):
            check_credentials("s3://bucket/out")


def test_a_worker_that_does_not_see_the_output(tmp_path: Path) -> None:
    job, plan = parts(tmp_path, "cpu")
    files.remove(job.path("_work"))
    with pytest.raises(SettingsError, match="there is no .*out on .*give an --output that all workers share"):
        graph.CompressUnit(Holder(job=job, plan=plan, names=("gzip",), device="cpu")).setup()


def test_a_worker_whose_compressor_is_another_one(tmp_path: Path) -> None:
    """Two images with two zlibs would else write one dataset under one digest."""
    job, plan = parts(tmp_path, "cpu")
    other = replace(job, compressors={"gzip": {**job.compressors["gzip"], "digest": "of another zlib"}})
    with pytest.raises(SettingsError, match=r"has another gzip .zlib .*than the launcher; give all workers one image"):
        graph.CompressUnit(Holder(job=other, plan=plan, names=("gzip",), device="cpu")).setup()


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (ArtifactError("no LM [while running 'CompressUnit']"), ArtifactError, "no LM"),
        (RuntimeError("…\nschemas.errors.ArtifactError: no LM [while running 'x']\n"), ArtifactError, "no LM"),
        (RuntimeError("a log entry: \\nschemas.errors.SettingsError: no place\\n"), SettingsError, "no place"),
        (RuntimeError("schemas.errors.UserErrors: x"), None, ""),
        (RuntimeError("schemas.errors.annotations: x"), None, ""),
        (AssertionError("a law"), None, ""),
    ],
)
def test_what_a_worker_says_is_told_again(error: Exception, kind: type[UserError] | None, message: str) -> None:
    found = runners.user_error(error)
    if kind is None:
        assert found is None
    else:
        assert type(found) is kind
        assert str(found).removeprefix("a worker says: ") == message


# Two runs at once in an object store, which has no locks.


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A directory that file:// makes a store of, and locks with a quick heart."""
    monkeypatch.setattr(lock, "BEAT_SECONDS", 0.05)
    (tmp_path / "store").mkdir()
    return tmp_path / "store"


def test_a_living_run_is_not_disturbed(
    place: Path, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "corpus.jsonl").write_bytes(jsonl({"text": "a"}))
    url = f"file://{place}"
    with lock.hold(url):
        assert preprocess(tmp_path / "corpus.jsonl", url, "--compressors", "gzip") == 2
        assert f"another run is writing to {url}" in last_line(capsys.readouterr().err)
        assert set(tree(place)) == {".lock"}
    assert not tree(place)
    assert preprocess(tmp_path / "corpus.jsonl", url, "--compressors", "gzip") == 0
    assert "manifest.json" in tree(place)
    assert ".lock" not in tree(place)


def test_the_lock_of_a_killed_run_is_taken_over(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    (place / ".lock").write_bytes(b"gone 7 123 4")
    with caplog.at_level(logging.INFO), lock.hold(f"file://{place}"):
        assert not (place / ".lock").read_bytes().startswith(b"gone")
    assert "whether its run is alive" in caplog.text
    assert not tree(place)


def test_a_lock_that_ends_while_we_look_is_free(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / ".lock").write_bytes(b"ending 7 123 4")
    monkeypatch.setattr(time, "sleep", lambda _: (place / ".lock").unlink(missing_ok=True))
    with lock.hold(f"file://{place}"):
        assert tree(place)


def test_a_lock_that_another_has_taken_is_left_alone(place: Path, caplog: pytest.LogCaptureFixture) -> None:
    with lock.hold(f"file://{place}"):
        (place / ".lock").write_bytes(b"other 7 123 4")
        limit = time.monotonic() + 10
        while "another run has taken the lock" not in caplog.text and time.monotonic() < limit:
            time.sleep(0.01)
    assert "another run has taken the lock" in caplog.text
    assert tree(place) == {".lock": b"other 7 123 4"}


@pytest.mark.parametrize(
    ("url", "words"),
    [("hdfs://b/out", "is in no store that this program reaches"), ("s3:///out", "names no bucket"), ("gs://b//x", "")],
)
def test_a_place_that_no_store_has(
    url: str, words: str, tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "corpus.jsonl").write_bytes(jsonl({"text": "a"}))
    assert preprocess(tmp_path / "corpus.jsonl", url, "--compressors", "gzip") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert url in line
    assert words in line


def test_every_option_in_the_documentation_exists() -> None:
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/cluster.md").read_text(), re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    commands = [shlex.split(line)[3:] for line in lines if line.startswith("python -m pipeline ")]
    assert len(commands) == 6
    for arguments in commands:
        options, extra = cli.parser().parse_known_args(arguments)
        runners._create(options.runner)  # Beam knows the options of a runner that was imported.
        runners._refuse_unknown(extra, [])
        runners._check_hints(runners.options(options.runner, 1, extra))


def test_the_runner_of_the_options_is_the_one_named() -> None:
    for name in ("PortableRunner", "FlinkRunner", "SparkRunner", "DataflowRunner"):
        assert runners.options(name, 1, ()).view_as(StandardOptions).runner == name
