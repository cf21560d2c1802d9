"""Beam's runners: their options, and what of them can be found wrong before any work starts.

Beam drops options that it does not know, tries for minutes to find credentials, and tells of a missing worker image
when the first worker has died. Here each of these is one line.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
import socket
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from typing import NoReturn

import grpc
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import (
    DebugOptions,
    GoogleCloudOptions,
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.portability.api import beam_job_api_pb2, beam_job_api_pb2_grpc
from apache_beam.runners.portability.portable_runner import PortableRunner
from apache_beam.runners.runner import PipelineRunner, create_runner

from pipeline.job.settings import LOCAL_RUNNER, PreprocessSettings
from pipeline.job.traces import WORKER_ERROR
from pipeline.storage import credentials, files
from schemas import errors
from schemas.errors import SettingsError, UserError
from schemas.files import sha256_hex

DATAFLOW = "DataflowRunner"
DASK = "DaskRunner"
LONG_NAMES = {DASK: "apache_beam.runners.dask.dask_runner.DaskRunner"}
"""Of runners that Beam has, but knows by their class alone."""
CONNECT_SECONDS = 10.0
GPU_HINTS = {
    "accelerator": "type:nvidia-l4;count:1;machine_type:g2-standard-8;install-nvidia-driver",
    "min_ram": "12GB",
}
"""Of the compress step where the byte LM runs on a GPU; `--resource_hint NAME=VALUE` replaces each."""
GPU_THREADS = 4
"""Bundles at once on a GPU machine, in one process with one model: enough to read and write while the model works."""
_DASK_PARTS = ("--dask_partition_size", "--dask_npartitions")
_DASK_ADDRESS = re.compile(r"(tcp|tls|ucx|ws|wss)://(.+):(\d+)")
_MARK = re.compile(r" \[while running .*")


def pipeline_options(settings: PreprocessSettings) -> PipelineOptions:
    """The options of a run's job, with what its runner and device ask for where the user has not said it."""
    found = options(settings.runner, settings.workers, settings.beam_options)
    if _is_dataflow(found):
        cloud, debug = found.view_as(GoogleCloudOptions), found.view_as(DebugOptions)
        # Dataflow refuses a second active job of the same name, also when the launcher of the first is gone.
        cloud.job_name = cloud.job_name or f"proxy-{sha256_hex(settings.output.encode())[:16]}"
        if settings.device != "cpu":
            debug.add_experiment("no_use_multiple_sdk_containers")
            debug.number_of_worker_harness_threads = debug.number_of_worker_harness_threads or GPU_THREADS
    return found


def options(runner: str, workers: int, extra: Sequence[str]) -> PipelineOptions:
    """Beam's options; the local runner gets one thread per worker. SettingsError for what it does not know."""
    name = type(_create(runner)).__name__
    flags = [f"--runner={LONG_NAMES.get(runner, runner)}", *extra]
    if name == LOCAL_RUNNER:
        if extra:
            raise SettingsError(
                f"the local runner takes no Beam options; remove {' '.join(extra)!r} or choose --runner"
            )
        flags += [f"--direct_num_workers={workers}"]
        flags += ["--direct_running_mode=" + ("multi_threading" if workers > 1 else "in_memory")]
    else:
        flags += ["--no_save_main_session"]
        if name == DASK and not any(option.startswith(_DASK_PARTS) for option in extra):
            # Dask's guess is 128 units a task, which leaves all but one worker of a small cluster idle.
            flags += ["--dask_partition_size=1"]
    return PipelineOptions(flags)


def take_hints(options: PipelineOptions) -> dict[str, str]:
    """The user's resource hints, taken out of the options: left there, Beam would give them to every step."""
    standard = options.view_as(StandardOptions)
    hints = dict(hint.partition("=")[::2] for hint in standard.resource_hints)
    standard.resource_hints = []
    return hints


def check(settings: PreprocessSettings) -> None:
    """SettingsError where the run's job could not be submitted or its workers could not work."""
    runner = _create(settings.runner)
    endpoint = _job_endpoint(settings.beam_options) if isinstance(runner, PortableRunner) else ""
    described = _described_options(endpoint) if endpoint and endpoint != "embed" else []
    _refuse_unknown(settings.beam_options, described)
    _refuse_s3_options(settings.beam_options)
    found = pipeline_options(settings)
    _check_hints(found)
    if _is_dataflow(found):
        _check_dataflow(settings, found)
    elif isinstance(runner, PortableRunner):
        _check_portable(type(runner).__name__, found)
    elif type(runner).__name__ == DASK:
        _check_dask(found)
    # The launcher's own reads by Beam (hdfs://) go by the same options.
    FileSystems.set_options(found)


def user_error(error: BaseException) -> UserError | None:
    """The user's error that a worker met, out of what the runner says of its job; None if it was none."""
    if isinstance(error, UserError):
        return type(error)(_MARK.sub("", str(error)))
    for name, message in reversed(WORKER_ERROR.findall(str(error))):
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, UserError):
            return kind(f"a worker says: {message}")
    if "StartWorker" in str(error) and "StatusCode.UNAVAILABLE" in str(error):
        return SettingsError("the job service reaches no worker pool; start one, or mend --environment_config")
    if type(error).__name__ == "DataflowJobAlreadyExistsError":
        return SettingsError(f"another run is writing to this --output; {errors.one_line(error)}")
    return None


def _create(runner: str) -> PipelineRunner:
    if runner == DASK and importlib.util.find_spec("distributed") is None:
        raise SettingsError(f"--runner {DASK} needs the package distributed; pip install distributed")
    try:
        found = create_runner(LONG_NAMES.get(runner, runner))
    except (ValueError, ImportError, AttributeError, TypeError) as error:
        raise SettingsError(f"--runner {runner} cannot be had: {errors.one_line(error)}") from error
    if not isinstance(found, PipelineRunner):
        raise SettingsError(f"--runner {runner} cannot be had: it is no runner of Beam's; see --help")
    return found


def _is_dataflow(options: PipelineOptions) -> bool:
    return type(_create(options.view_as(StandardOptions).runner)).__name__ == DATAFLOW


def _job_endpoint(extra: Sequence[str]) -> str:
    return PipelineOptions(list(extra)).view_as(PortableOptions).job_endpoint or ""


def _described_options(endpoint: str) -> list[str]:
    """Names of the options that a job service takes beside Beam's own."""
    with grpc.insecure_channel(endpoint) as channel:
        stub = beam_job_api_pb2_grpc.JobServiceStub(channel)
        request = beam_job_api_pb2.DescribePipelineOptionsRequest()
        try:
            grpc.channel_ready_future(channel).result(timeout=CONNECT_SECONDS)
            described = stub.DescribePipelineOptions(request, timeout=CONNECT_SECONDS).options
        except (grpc.FutureTimeoutError, grpc.RpcError) as error:
            raise SettingsError(
                f"no job service answers at --job_endpoint {endpoint} within {CONNECT_SECONDS:g} s; "
                "start one there, or mend the address"
            ) from error
    return [option.name for option in described]


def _refuse_unknown(extra: Sequence[str], described: Iterable[str]) -> None:
    """SettingsError for an option that neither Beam nor the job service knows, and for a value that cannot be."""
    parsers: list[ArgumentParser] = []

    def take(parser: ArgumentParser) -> None:
        parsers.append(parser)

    # The one public way to a parser of all of Beam's options, those of imported runners included.
    PipelineOptions([]).get_all_options(add_extra_args_fn=take)
    (parser,) = parsers
    known = {name for action in parser._actions for name in action.option_strings}
    for name in sorted({f"--{name}" for name in described} - known):
        parser.add_argument(name)
        known.add(name)

    def refuse(message: str) -> NoReturn:
        raise SettingsError(f"a Beam option is wrong: {message}")

    parser.error = refuse  # type: ignore[method-assign]
    _, unknown = parser.parse_known_args(list(extra))
    if unknown:
        option = unknown[0].partition("=")[0]
        near = difflib.get_close_matches(option, sorted(known), n=1)
        hint = f"did you mean {near[0]}?" if near else "look it up in the runner's documentation"
        raise SettingsError(f"unknown option {option!r}: neither this command nor the runner has it; {hint}")


def _refuse_s3_options(extra: Sequence[str]) -> None:
    """SettingsError for options of Beam's own client of S3, which this program does not use."""
    for option in extra:
        if option.lstrip("-").startswith("s3_"):
            raise SettingsError(
                f"{option.partition('=')[0]} is of Beam's own client, which is not used here; set AWS_ENDPOINT_URL, "
                "AWS_REGION, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY on every machine, see docs/cluster.md"
            )


def _check_hints(options: PipelineOptions) -> None:
    from apache_beam.transforms.resources import parse_resource_hints

    for hint in options.view_as(StandardOptions).resource_hints:
        name, _, value = hint.partition("=")
        try:
            parse_resource_hints({name: value})
        except (ValueError, TypeError) as error:
            words = str(error).rstrip(".")
            raise SettingsError(f"--resource_hint {hint!r}: {words}; give NAME=VALUE such as min_ram=12GB") from error


def _check_portable(name: str, options: PipelineOptions) -> None:
    portable = options.view_as(PortableOptions)
    if name == "PortableRunner" and not portable.job_endpoint:
        raise SettingsError(f"--runner {name} needs --job_endpoint=HOST:PORT, the address of a Beam job service")
    kind = (portable.environment_type or "DOCKER").upper()
    if not portable.job_endpoint and not portable.environment_type:
        return  # FlinkRunner and SparkRunner start their own service and choose.
    if kind == "DOCKER" and not (
        portable.environment_config or portable.lookup_environment_option("docker_container_image")
    ):
        raise SettingsError(
            "the job service would start workers from Beam's own image, which lacks this program; give "
            "--environment_config=IMAGE built from pipeline/Dockerfile, or --environment_type=EXTERNAL or LOOPBACK"
        )
    if kind == "EXTERNAL" and not (
        portable.environment_config or portable.lookup_environment_option("external_service_address")
    ):
        raise SettingsError(
            "--environment_type=EXTERNAL needs --environment_config=HOST:PORT, the address of a worker pool"
        )


def _check_dask(options: PipelineOptions) -> None:
    address = options.get_all_options().get("address")
    found = _DASK_ADDRESS.fullmatch(address or "tcp://localhost:1")
    if found is None:
        raise SettingsError(f"--dask_client_address is {address!r}; give tcp://HOST:PORT, as the scheduler says it")
    if address and found[1] == "tcp":
        try:
            socket.create_connection((found[2].strip("[]"), int(found[3])), timeout=CONNECT_SECONDS).close()
        except OSError as error:
            raise SettingsError(
                f"no Dask scheduler answers at --dask_client_address {address} ({errors.one_line(error)}); start one "
                "there, or mend the address"
            ) from error


def _check_dataflow(settings: PreprocessSettings, options: PipelineOptions) -> None:
    cloud = options.view_as(GoogleCloudOptions)
    missing = [f"--{name}" for name in ("project", "region", "temp_location") if not getattr(cloud, name)]
    if missing:
        raise SettingsError(f"--runner {DATAFLOW} needs {', '.join(missing)}; see docs/cluster.md")
    setup, worker = options.view_as(SetupOptions), options.view_as(WorkerOptions)
    if not (worker.sdk_container_image or setup.setup_file or setup.extra_packages):
        raise SettingsError(
            "Dataflow's workers would run Beam's own image, which lacks this program; give "
            "--sdk_container_image=IMAGE built from pipeline/Dockerfile"
        )
    for option, path in [("--output", settings.output), *(("--input", path) for path in settings.corpus.inputs)]:
        if files.is_local(path):
            raise SettingsError(
                f"{option} {path} is on this machine, where Dataflow's workers cannot see it; give a gs:// path"
            )
    if not cloud.temp_location.startswith("gs://"):
        raise SettingsError(f"--temp_location is {cloud.temp_location!r}; give a gs:// path")
    if cloud.no_auth:
        return
    credentials.check_google(f"jobs of --runner {DATAFLOW}")
