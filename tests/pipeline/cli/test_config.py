"""`preprocess --config` reads back what a run wrote, and what is Beam's passes through."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from pipeline.__main__ import main
from pipeline.cli import parser as cli
from pipeline.cli.preprocess import read_settings
from pipeline.compressors.neural.settings import BitsTarget, JumpTarget, NeuralSettings, ThetaTarget
from pipeline.compressors.token_bytes.settings import TokenBytesSettings
from pipeline.corpus.settings import CorpusSettings, ReadSettings
from pipeline.job.settings import DEFAULT_OUTPUT, ModelSettings, PreprocessSettings
from schemas.config import to_json
from schemas.errors import SettingsError
from tests.pipeline.corpora import jsonl, texts
from tests.pipeline.runs import Preprocess, content, times
from tests.test_options_in_messages import beams, own

NO_DEFAULTS = PreprocessSettings(
    corpus=CorpusSettings(
        inputs=("a b", "gs://c/*.jsonl"),
        read=ReadSettings(
            text_fields=("body",),
            id_field="id",
            language_field="lang",
            source_field="path",
            max_document_bytes=999,
            split_bytes=96,
            max_expansion=7,
        ),
    ),
    output="out",
    compressors=("neural", "token_bytes"),
    models=ModelSettings(
        lm="models/lm",
        tokenizer="t.model",
        tokenizer_vocabulary=400,
        sample_bytes=1000,
        neural=NeuralSettings(
            theta=ThetaTarget(kind="bits", value=3.5),
            jump=JumpTarget(kind="quantile", value=0.8),
            boundary_score="context_entropy",
            score_context_bytes=4,
            context="document",
            max_segment_bytes=20,
            window_bits=12,
        ),
        token_bytes=TokenBytesSettings(width_bytes=3, code="gray"),
    ),
    compressors_of="data/code",
    shards=3,
    unit_bytes=1 << 16,
    compression="none",
    write_entropy=True,
    learn_once=True,
    max_reject_fraction=0.5,
    workers=97,
    device="cuda",
    runner="DataflowRunner",
    beam_options=("--project", "p"),
)


def read(*words: str) -> PreprocessSettings:
    options, extra = cli.parser().parse_known_args(["preprocess", *words])
    return read_settings(options, extra)


def write(directory: Path, settings: PreprocessSettings) -> str:
    path = directory / "settings.json"
    path.write_text(json.dumps(to_json(settings)), "utf-8")
    return str(path)


def leaves(value: object) -> list[object]:
    """The values of settings and of those in them."""
    if not hasattr(value, "__dataclass_fields__") or isinstance(value, BitsTarget):
        return [value]
    return [leaf for field in fields(value) for leaf in leaves(getattr(value, field.name))]  # type: ignore[arg-type]


def test_the_command_line_alone_is_the_dataclass() -> None:
    assert read() == PreprocessSettings()
    assert read("--output", "gs://bucket/out/").output == "gs://bucket/out"
    assert PreprocessSettings().output == DEFAULT_OUTPUT


def test_every_setting_is_read_back_from_a_file(tmp_path: Path) -> None:
    differ = [a != b for a, b in zip(leaves(NO_DEFAULTS), leaves(PreprocessSettings()), strict=True)]
    assert all(differ), "a field has its default here, so that losing it would not be seen"
    assert read("--config", write(tmp_path, NO_DEFAULTS)) == NO_DEFAULTS


def test_the_command_line_goes_before_the_file(tmp_path: Path) -> None:
    kept = replace(NO_DEFAULTS, compressors_of="")
    path = write(tmp_path, kept)
    changed = read("--config", path, "--shards", "9", "--no-write-entropy", "--theta", "quantile=0.5", "--region", "r")
    neural = replace(NO_DEFAULTS.models.neural, theta=ThetaTarget(kind="quantile", value=0.5))
    models = replace(NO_DEFAULTS.models, neural=neural)
    expected = replace(kept, shards=9, write_entropy=False, models=models, beam_options=("--region", "r"))
    assert changed == expected


def test_beams_options_pass_through() -> None:
    """None is ours, nor the beginning of one of ours, for which argparse would take it."""
    passed = sorted(beams() - {"-h", "--help", "--runner"})
    assert len(passed) > 100
    for name in passed:
        assert read("--runner", "DataflowRunner", name).beam_options == (name,)
    (ours,) = [action.choices["preprocess"] for action in cli.parser()._actions if action.choices]
    assert set(own(ours)) & beams() == {"-h", "--help", "--runner"}


def test_an_unknown_option_of_a_local_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="unknown option '--project'"):
        read("--project", "p")
    with pytest.raises(SettingsError, match="'shard', which is no setting"):
        (tmp_path / "x.json").write_text('{"shard": 1}')
        read("--config", str(tmp_path / "x.json"))


def test_what_a_run_wrote_describes_that_run(
    tmp_path: Path, preprocess: Preprocess, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, output = tmp_path / "corpus.jsonl", tmp_path / "out"
    corpus.write_bytes(jsonl(*({"text": text} for text in texts(10))))
    options = ("--compressors", "neural,gzip", "--window-bits", "12", "--shards", "2", "--max-segment-bytes", "9")
    assert preprocess(corpus, output, *options) == 0
    settings = output / "settings.json"
    before = times(output)
    assert main(["preprocess", "--config", str(settings)]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert times(output) == before
    assert main(["preprocess", "--config", str(settings), "--output", str(tmp_path / "again")]) == 0
    assert content(tmp_path / "again") == content(output)
    written, again = (json.loads((path / "settings.json").read_bytes()) for path in (output, tmp_path / "again"))
    assert again == {**written, "output": str(tmp_path / "again")}


def test_settings_hold_no_credentials_that_beam_is_given() -> None:
    """Workers and the file see the job's settings, from which Beam's options are removed."""
    from pipeline.job.job import plan_job

    settings = PreprocessSettings(
        corpus=CorpusSettings(inputs=()),
        output="out",
        compressors=("gzip",),
        runner="DataflowRunner",
        beam_options=("--s3_secret_access_key", "secret"),
    )
    assert "secret" not in json.dumps(to_json(plan_job(settings, ()).settings))
