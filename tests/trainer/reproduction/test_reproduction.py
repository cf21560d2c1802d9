"""Reproduction: budgets are equal, killed runs go on, and verdicts follow their stated rules."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import threading
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from pipeline.__main__ import main as pipeline_main
from schemas.errors import ArtifactError, DatasetError
from schemas.formats import AS_IS
from schemas.vocabulary import COMP_BASE, RAW_BASE
from trainer.__main__ import main
from trainer.data.dataset import Dataset
from trainer.data.loader import Loader
from trainer.data.mixing import Mixing
from trainer.evaluation.translation import Translation
from trainer.reproduction.arms import ARMS, PROXIES, RAW_ONLY, SCALES, WATCHED, Arm, Job, Part, jobs, proxy_raw_share
from trainer.reproduction.claims import (
    AMBIGUOUS,
    FALLS,
    HOLDS,
    NOT_MEASURED,
    NOT_REPRODUCED,
    OUT_OF_REACH,
    REPRODUCED,
    UNDECIDED,
    judge_all,
)
from trainer.reproduction.documents import JudgedDocuments, raw_per_comp
from trainer.reproduction.evidence import Evidence
from trainer.reproduction.figures import draw
from trainer.reproduction.findings import LENGTHS, CompressorFindings, read_findings
from trainer.reproduction.formats import job_format_bits
from trainer.reproduction.report import markdown
from trainer.reproduction.result_table import ResultTable, Spread
from trainer.reproduction.results import Result, TranslationPoint, read_result, read_results, write_results
from trainer.reproduction.run import RESULT_NAME, SPENT_NAME, identity, of_jobs, run_job
from trainer.reproduction.words import OURS, WHY
from trainer.training.load_model import load_model
from trainer.training.loop import loader_settings, open_blend

RATIO = 3.0
GZIP_PART = Part(arms=("gzip",), sizes=("nano",), densities=(0.5, 1.0), seeds=(0,))
SMOKE = replace(SCALES["smoke"], parts=(GZIP_PART,), steps=2, scored_bytes=300, translated_documents=2)
SMOKE = replace(SMOKE, translated_bytes=120)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    directory = tmp_path_factory.mktemp("short")
    corpus = directory / "corpus"
    corpus.mkdir()
    for number in range(60):
        lines = (f"def function_{number}_{k}(x):\n    return x * {k} + {number}\n" for k in range(8))
        (corpus / f"file{number:02}.py").write_text("".join(lines))
    arguments = ["--input", str(corpus), "--output", str(directory / "data"), "--compressors", "gzip"]
    assert pipeline_main(["preprocess", *arguments, "--split-bytes", "120", "--workers", "1"]) == 0
    return str(directory / "data")


def with_a_row_of_neural_long(words: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command with a study that has the arm too, and a table in which a row of gzip stands for a run of it."""
    part = replace(GZIP_PART, arms=("gzip", "neural-long"))
    monkeypatch.setitem(SCALES, "smoke", replace(SMOKE, parts=(part,)))
    table = Path(words[words.index("--results") + 1])
    lines = table.read_text().splitlines()
    copy = table.with_name("more.jsonl")
    copy.write_text("\n".join([*lines, lines[0].replace('"arm": "gzip"', '"arm": "neural-long"')]))
    return [str(copy) if word == str(table) else word for word in words]


@pytest.mark.parametrize("name", SCALES)
def test_every_proxy_has_its_budget_and_raw_alone_around_what_it_saw(name: str) -> None:
    scale = SCALES[name]
    every = jobs(scale)
    assert len({job.name for job in every}) == len(every)
    for job in every:
        settings = job.settings("data", "run")
        shown = scale.symbols * job.budget * job.density
        assert settings.steps * settings.batch_symbols == pytest.approx(shown, rel=0.01)
        assert settings.steps == round(scale.steps * job.budget)
        assert settings.mixing.needs_raw == job.arm.reads_raw
        if job.arm.is_proxy and name != "smoke":
            place = (RAW_ONLY, job.size, job.budget)
            raw = [other.density for other in every if (other.arm, other.size, other.budget) == place]
            assert max(raw) == 1
            assert min(raw) <= proxy_raw_share(2.5 if job.arm.name != "gzip" else 0.9)
    if name != "smoke":
        assert {job.arm.name for job in every} == ARMS.keys()
        assert all({job.seed for job in every if job.size == size} == {0, 1, 2} for size in {job.size for job in every})


def test_boundaries_that_are_not_the_default_have_a_dataset_of_their_own() -> None:
    read = {job.arm.name: job.settings("data/pieces", "").data for job in jobs(SCALES["cpu"])}
    assert read["neural"] == read["raw-only"] == read["neural-literals"] == "data/pieces"
    assert read["neural-level"] == "data/pieces-level"
    assert {name for name, location in read.items() if location != "data/pieces"} == {
        "neural-level",
        "neural-jump",
        "neural-long",
        "neural-short",
        "tokenizer-short",
    }


def test_the_raw_share_is_what_a_proxy_sees_as_raw(data: str) -> None:
    """Counted in the loader's batches, without pairs, whose seams would count on both sides."""
    scale = replace(SMOKE, steps=40, batch_symbols=8192)
    job = next(job for job in jobs(scale, only=["gzip"]))
    settings = replace(job.settings(data, ""), mixing=Mixing(mode="sentinel", warmup_steps=8))
    raw = total = 0
    with Loader(open_blend(settings), loader_settings(settings)) as loader:
        for _ in range(scale.steps):
            ids = next(loader).ids
            raw += int(((ids >= RAW_BASE) & (ids < COMP_BASE)).sum())
            total += int((ids >= RAW_BASE).sum())
    ratio = raw_per_comp(job, data)
    assert ratio is not None
    assert proxy_raw_share(ratio) == pytest.approx(raw / total, abs=0.02)


def test_a_run_leaves_a_result_and_the_next_one_finds_it(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SCALES, "smoke", SMOKE)
    words = ["reproduce", "--data", data, "--scale", "smoke", "--out", str(tmp_path), "--processes", "1"]
    assert main([*words, "--arms", "gzip"]) == 0
    page = (tmp_path / "reproduction.md").read_bytes()
    assert b"1 of 3 runs" in page
    picture = (tmp_path / "reproduction.svg").read_bytes()
    assert b"(reproduction.svg)" in page and b"gzip" in picture
    result = read_result(str(tmp_path / "gzip-nano-x1-0" / RESULT_NAME))
    assert result.raw_bits_per_byte is not None
    assert result.comp_bits_per_byte is not None
    assert result.translation is not None
    assert result.translation.documents == 2
    before = (tmp_path / "gzip-nano-x1-0" / RESULT_NAME).stat().st_mtime_ns
    capsys.readouterr()
    assert main([*words, "--arms", "gzip"]) == 0
    assert (tmp_path / "gzip-nano-x1-0" / RESULT_NAME).stat().st_mtime_ns == before
    assert (tmp_path / "reproduction.md").read_bytes() == page
    assert (tmp_path / "reproduction.svg").read_bytes() == picture
    # The table alone is enough: a study goes on where the runs themselves are not.
    elsewhere = [*words[:5], "--out", str(tmp_path / "elsewhere"), "--results", str(tmp_path / "results.jsonl")]
    assert main([*elsewhere, "--gather"]) == 0
    assert (tmp_path / "elsewhere" / "reproduction.md").read_bytes() == page
    # Of results whose dataset is not here, too.
    assert main([*with_a_row_of_neural_long(elsewhere, monkeypatch), "--gather"]) == 0
    assert b"2 of 4 runs" in (tmp_path / "elsewhere" / "reproduction.md").read_bytes()
    monkeypatch.setitem(SCALES, "smoke", SMOKE)
    # So is a dataset at a URL, whose copy is the same dataset.
    at_url = ["reproduce", "--data", f"file://{data}", *elsewhere[3:5], "--out", str(tmp_path / "third")]
    assert main([*at_url, *elsewhere[7:], "--arms", "gzip"]) == 0
    assert (tmp_path / "third" / "reproduction.md").read_bytes() == page
    monkeypatch.setitem(SCALES, "smoke", replace(SMOKE, scored_bytes=301))
    assert main([*words, "--gather"]) == 2
    assert "holds gzip-nano-x1-0 of other documents or settings; take the corpus" in capsys.readouterr().err
    (tmp_path / "results.jsonl").unlink()
    assert main([*words, "--gather"]) == 2
    assert "holds gzip-nano-x1-0 of other documents or settings; remove" in capsys.readouterr().err


def test_a_study_of_some_arms_needs_no_dataset_of_the_others(data: str) -> None:
    scale = replace(SMOKE, parts=(Part(arms=("gzip", "neural-jump"), sizes=("nano",), densities=(), seeds=(0,)),))
    every = jobs(scale)
    gzip, jump = (_result(job, 4.0, 0.0, 0.0) for job in every)
    here = replace(gzip, identity=identity(every[0], data))
    kept = of_jobs([here, jump], every, data, "results.jsonl", wanted=every[:1])
    assert kept == {here.name: here, jump.name: jump}
    with pytest.raises(DatasetError, match="-jump"):
        of_jobs([here, jump], every, data, "results.jsonl", wanted=every)
    with pytest.raises(ArtifactError, match="holds gzip-nano-x1-0 of other documents"):
        of_jobs([gzip, jump], every, data, "results.jsonl", wanted=every[1:])


def test_a_result_whose_dataset_is_gone_can_be_gathered(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = Part(arms=("neural-long",), sizes=("nano",), densities=(), seeds=(0,))
    monkeypatch.setitem(SCALES, "smoke", replace(SMOKE, parts=(part,)))
    (job,) = jobs(SCALES["smoke"])
    (tmp_path / job.name).mkdir()
    (tmp_path / job.name / RESULT_NAME).write_text(json.dumps(asdict(_result(job, 4.0, 0.0, 0.0))))
    words = ["reproduce", "--data", data, "--scale", "smoke", "--out", str(tmp_path)]
    assert main([*words, "--gather"]) == 0
    assert b"1 of 1 runs" in (tmp_path / "reproduction.md").read_bytes()
    assert main(words) == 2, "what is to be trained needs its dataset"


def test_a_result_counts_the_cpu_time_of_all_slices(data: str, tmp_path: Path) -> None:
    endless = Job(arm=ARMS["gzip"], size="nano", budget=1.0, seed=0, scale=replace(SMOKE, steps=10**6))
    run = tmp_path / endless.name

    def stop_when_it_trains() -> None:
        while not (run / "metrics.jsonl").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=stop_when_it_trains, daemon=True).start()
    assert run_job(endless, data, str(tmp_path)) is None
    assert 0 < json.loads((run / SPENT_NAME).read_text()) < 1000

    shutil.rmtree(run)
    run.mkdir()
    (run / SPENT_NAME).write_text("5000")
    result = run_job(replace(endless, scale=SMOKE), data, str(tmp_path))
    assert result is not None
    assert 5000 < result.cpu_seconds < 6000
    for damaged in ("-1", '"5"', "5e9", "{"):
        (run / SPENT_NAME).write_text(damaged)
        with pytest.raises(ArtifactError, match=f"{SPENT_NAME}.*remove it"):
            run_job(replace(endless, scale=SMOKE), data, str(tmp_path))


def test_a_study_stops_in_time_and_goes_on(data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SCALES, "smoke", replace(SMOKE, steps=6))
    words = ["reproduce", "--data", data, "--scale", "smoke", "--out", str(tmp_path), "--processes", "1"]
    words += ["--arms", "gzip", "--no-bf16"]
    assert main([*words, "--minutes", "0.0001"]) == 0
    assert read_results(str(tmp_path / "results.jsonl")) == []
    assert main(words) == 0
    (result,) = read_results(str(tmp_path / "results.jsonl"))
    assert (result.name, result.arithmetic) == ("gzip-nano-x1-0", "float32")


def test_a_table_of_results_reads_as_it_was_written(tmp_path: Path) -> None:
    path = str(tmp_path / "results.jsonl")
    assert read_results(path) == []
    found = results(PAPER, noise=0.1, exact={})
    write_results(path, reversed(found))
    assert read_results(path) == sorted(found, key=lambda result: result.name)
    for line in (b'{"arm": "neural"}\n', b"[]\n", b'{"arm'):
        (tmp_path / "results.jsonl").write_bytes(line)
        with pytest.raises(ArtifactError, match="repair or remove it"):
            read_results(path)


def test_a_run_of_the_reproduction_can_be_probed_by_hand(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SCALES, "smoke", SMOKE)
    words = ["--data", data, "--scale", "smoke", "--out", str(tmp_path), "--processes", "1", "--arms", "gzip"]
    assert main(["reproduce", *words]) == 0
    out = tmp_path / "translation.json"
    run = str(tmp_path / "gzip-nano-x1-0")
    assert main(["evaluate", "translation", run, "--data", data, "--documents", "3", "--out", str(out)]) == 0
    assert "gzip to raw: 0.0% exact" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert (found["documents"], found["left_out"]) == (3, 0)
    assert main(["evaluate", "translation", run, "--data", data, "--positions", "9"]) == 2
    assert "--split-bytes" in capsys.readouterr().err


def test_all_arms_are_scored_on_the_same_documents_read_once(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [JudgedDocuments(job, data) for job in jobs(SMOKE)]
    monkeypatch.delattr(Dataset, "batch_at")
    for chosen in ([one.scored() for one in documents], [one.short() for one in documents]):
        assert all([pair.raw for pair in pairs] == [pair.raw for pair in chosen[0]] for pairs in chosen)
    assert sum(len(pair.raw) for pair in documents[0].scored()) >= SMOKE.scored_bytes
    assert all(len(pair.raw) <= SMOKE.translated_bytes for pair in documents[0].short())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scale", "huge"], "--scale is 'huge'; choose one of"),
        (["--arms", "zip"], "--arms names 'zip', which is unknown; choose from"),
        (["--processes", "-1"], "give 1 or more"),
        ([], "has no compressor 'neural'"),
        (["--scale", "cpu", "--arms", "neural-level"], "data-level"),
        (["--minutes", "-1"], "give a number above 0"),
    ],
)
def test_wrong_arguments_are_one_line(
    data: str, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", "--data", data, *words]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_a_dataset_of_long_documents_is_refused(data: str) -> None:
    job = replace(jobs(SMOKE)[0], scale=replace(SMOKE, row_symbols=8))
    with pytest.raises(DatasetError, match="--split-bytes"):
        JudgedDocuments(job, data).scored()


def test_translation_is_watched_at_every_checkpoint(data: str, tmp_path: Path) -> None:
    arm = Arm(name="gzip-watched", mode="pair-always", compressor="gzip", watched_checkpoints=2)
    job = Job(arm=arm, size="nano", budget=1.0, seed=0, scale=replace(SMOKE, steps=4))
    result = run_job(job, data, str(tmp_path))
    assert result is not None
    assert result.translation_curve is not None
    assert [point.step for point in result.translation_curve] == [2, 4]
    assert read_result(str(tmp_path / job.name / RESULT_NAME)) == result


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    (tmp_path / RESULT_NAME).write_text('{"arm": "neural"')
    with pytest.raises(ArtifactError, match="remove it"):
        read_result(str(tmp_path / RESULT_NAME))


HARM = {"tokenizer-only": 0.5}


def test_other_formats_are_scored_with_the_run_they_belong_to(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SCALES, "smoke", SMOKE)
    lines, formats = tmp_path / "parts.jsonl", tmp_path / "formats"
    assert pipeline_main(["reformat", data, "--out", str(lines)]) == 0
    options = ["--id-field", "id", "--compressors", "gzip", "--shards", "1", "--workers", "1"]
    assert pipeline_main(["preprocess", "--input", str(lines), "--output", str(formats), *options]) == 0
    words = ["reproduce", "--data", data, "--scale", "smoke", "--out", str(tmp_path / "runs"), "--processes", "1"]
    words += ["--arms", "raw-only", "--formats", str(formats)]
    assert main(words) == 0
    for result in read_results(str(tmp_path / "runs" / "results.jsonl")):
        assert result.format_bits is not None
        assert {AS_IS, "tabs", "deeper", "blank-lines", "trailing-spaces"} == result.format_bits.keys()
    assert "| nano ×1 | raw-only |" in (tmp_path / "runs" / "reproduction.md").read_text().split("## Formatting")[1]


def test_an_arm_of_symbols_alone_is_scored_in_its_own_encoding(data: str, tmp_path: Path) -> None:
    lines, formats = tmp_path / "parts.jsonl", tmp_path / "formats"
    assert pipeline_main(["reformat", data, "--out", str(lines)]) == 0
    options = ["--id-field", "id", "--compressors", "gzip", "--shards", "1", "--workers", "1"]
    assert pipeline_main(["preprocess", "--input", str(lines), "--output", str(formats), *options]) == 0
    arm = Arm(name="gzip-only", mode="comp-only", compressor="gzip")
    job = Job(arm=arm, size="nano", budget=1.0, seed=0, scale=SMOKE)
    result = run_job(job, data, str(tmp_path / "runs"), formats=str(formats))
    assert result is not None
    bits = result.format_bits
    assert bits is not None
    # Members of gzip are longer than these texts, so a byte of text costs several symbols.
    assert 0 < bits[AS_IS] < 40
    manifest = formats / "manifest.json"
    digest = json.loads(manifest.read_text())["compressors"]["gzip"]["digest"]
    manifest.write_text(manifest.read_text().replace(digest, digest[::-1]))
    with pytest.raises(DatasetError, match="was encoded by another gzip than"):
        job_format_bits(job, load_model(str(tmp_path / "runs" / job.name))[0], data=data, formats=str(formats))


SIZES_OF_TESTS = {"nano": 1e5, "micro": 1e6, "mini": 1e7}
STUDY = replace(SCALES["cpu"], parts=(Part(arms=(*PROXIES, "tokenizer-only"), sizes=tuple(SIZES_OF_TESTS)),))


def results(bits: dict[str, float], *, noise: float, exact: dict[str, float]) -> list[Result]:
    """Three seeds at three sizes; `bits` of the largest, 0.5 more for each tenth of it, of the proxy 0.6."""
    return [
        _result(job, bits.get(_key(job), bits.get(job.arm.name, 4.0)), noise, exact.get(job.arm.name, 0.0))
        for job in jobs(STUDY)
    ]


def _key(job: Job) -> str:
    return f"{job.arm.name} of {job.density:g}"


def _result(job: Job, bits: float, noise: float, exact: float) -> Result:
    worse = (0.6 if job.arm.name == "neural" else 0.5) * (7 - math.log10(SIZES_OF_TESTS[job.size]))
    translation = Translation(
        documents=2,
        raw_exact=exact,
        raw_similarity=0.5,
        comp_exact=0.5,
        comp_similarity=0.5,
        bits_per_byte=0.5,
        bits_per_byte_given_comp=3.0,
        bits_per_byte_given_other_comp=3.5,
    )
    return Result(
        arm=job.arm.name,
        size=job.size,
        budget=job.budget,
        density=job.density,
        seed=job.seed,
        body_parameters=int(SIZES_OF_TESTS[job.size]),
        symbols=1,
        raw_per_comp=RATIO if job.arm.compressor else None,
        raw_bits_per_byte=bits + worse + noise * (job.seed - 1) if job.arm.reads_raw else None,
        comp_bits_per_byte=None,
        translation=translation if job.arm.is_proxy else None,
        arithmetic="float32",
        cpu_seconds=0,
        identity="",
        format_bits={AS_IS: bits, "tabs": bits + HARM.get(job.arm.name, 0.1), "deeper": bits + 0.1},
    )


def verdicts(found: list[Result], findings: CompressorFindings | None = None) -> dict[str, str]:
    evidence = Evidence(table=ResultTable(found), findings=findings or CompressorFindings())
    return {judged.claim.letter: judged.verdict for judged in judge_all(evidence)}


PAPER = {"raw-only of 0.125": 5.6, "raw-only of 0.25": 5.2, "raw-only of 0.5": 4.8, "raw-only": 4.2}
PAPER |= {"neural": 4.0, "tokenizer": 4.1, "gzip": 5.3, "neural-none": 4.3, "neural-always": 4.2}
PAPER |= {"neural-long": 4.1, "neural-jump": 4.2}


def test_the_papers_own_picture_is_reproduced() -> None:
    findings = CompressorFindings(
        bytes_per_symbol={"neural": 2.6, "tokenizer": 2.9},
        distance={"tokenizer": 0.4, "neural": 0.3, "gzip": 0.9},
        document_distance=0.5,
        long_prefix_share={"longest": 0.91, "mean": 0.95, "shortest": 1.0},
    )
    found = results(PAPER, noise=0.0, exact={"neural-none": 0.4, "neural": 0.6, "neural-always": 0.97})
    assert verdicts(found, findings) == {**dict.fromkeys("abcdefgh", REPRODUCED), "i": HOLDS, "j": HOLDS}
    for shares, verdict in (((0.9, 0.9, 0.9), NOT_REPRODUCED), ((0.3, 0.8, 1.0), AMBIGUOUS)):
        other = replace(findings, long_prefix_share=dict(zip(LENGTHS, shares, strict=True)))
        assert verdicts(found, other)["b"] == verdict
    unmeasured = [replace(result, format_bits=None) for result in found]
    assert verdicts(unmeasured, findings)["h"] == NOT_MEASURED
    worse = [
        replace(result, format_bits={AS_IS: 1.0, "tabs": 9.0}) if result.arm == "neural" else result for result in found
    ]
    assert verdicts(worse, findings)["h"] == NOT_REPRODUCED


def test_what_lies_within_the_spread_is_undecided_and_what_never_appears_out_of_reach() -> None:
    flat = dict.fromkeys(PAPER, 4.0)
    found = verdicts(_with_noise(results(flat, noise=0.0, exact={}), 0.2))
    assert {found[letter] for letter in "efij"} == {UNDECIDED}
    assert found["d"] == OUT_OF_REACH
    behind = verdicts(results({**PAPER, "raw-only": 3.0}, noise=0.0, exact={}))
    assert behind["g"] == OUT_OF_REACH


@pytest.mark.parametrize(
    ("bits", "letter", "verdict"),
    [
        ({"gzip": 4.5}, "f", NOT_REPRODUCED),
        ({"tokenizer": 5.5}, "f", NOT_REPRODUCED),
        ({"neural-jump": 3.9}, "i", FALLS),
        ({"neural-long": 3.9}, "j", FALLS),
        ({"neural-none": 3.9}, "e", NOT_REPRODUCED),
    ],
)
def test_a_claim_fails_where_its_rule_says_so(bits: dict[str, float], letter: str, verdict: str) -> None:
    assert verdicts(results({**PAPER, **bits}, noise=0.0, exact={}))[letter] == verdict


def test_a_gain_that_shrinks_with_size_is_no_growth() -> None:
    found = results(PAPER, noise=0.0, exact={})
    shrinking = [
        replace(result, raw_bits_per_byte=4.0)
        if result.arm in ("neural", "raw-only") and result.density == 1
        else result
        for result in found
    ]
    assert verdicts(shrinking)["g"] == UNDECIDED
    falling = [
        replace(result, raw_bits_per_byte=4.0 + math.log10(result.body_parameters))
        if result.arm == "neural"
        else result
        for result in shrinking
    ]
    assert verdicts(falling)["g"] == NOT_REPRODUCED


def test_as_much_raw_alone_is_read_off_between_two_densities() -> None:
    table = ResultTable(results(PAPER, noise=0.25, exact={}))
    share = proxy_raw_share(RATIO)
    wanted = 5.2 + (4.8 - 5.2) * math.log2(share / 0.25)
    spread = table.spread(table.raw_alone_bits, ("mini", 1.0), "neural")
    assert spread is not None
    assert spread.values == pytest.approx([wanted - 0.25, wanted, wanted + 0.25])
    gain = table.spread(table.transfer_gain, ("mini", 1.0), "neural")
    assert gain is not None
    assert gain.values == pytest.approx([wanted - 4.0] * 3)
    few = ResultTable([result for result in table.results if result.arm != "raw-only" or result.density == 1])
    assert few.spread(few.transfer_gain, ("mini", 1.0), "neural") is None
    assert table.spread(table.transfer_gain, ("mini", 1.0), "raw-only") is None


def test_claims_are_judged_where_there_is_most_of_them() -> None:
    found = results(PAPER, noise=0.0, exact={})
    assert ResultTable(found).last("neural", "gzip") == ("mini", 1.0)
    one_seed = [result for result in found if result.arm != "gzip" or result.size == "nano" or result.seed == 0]
    assert ResultTable(one_seed).last("neural", "gzip") == ("nano", 1.0)
    alone = [result for result in found if result.seed == 0]
    assert ResultTable(alone).last("neural", "gzip") == ("mini", 1.0)
    assert ResultTable([]).last("neural") is None


def _with_noise(found: list[Result], size: float) -> list[Result]:
    """Each arm and seed off by another amount, that of an arm nothing on average."""
    orders = ((0, 1, -1), (1, -1, 0), (-1, 0, 1))
    names = sorted({result.arm for result in found})
    shifts = {(name, seed): size * orders[i % 3][seed] for i, name in enumerate(names) for seed in range(3)}
    return [
        replace(result, raw_bits_per_byte=result.raw_bits_per_byte + shifts[result.arm, result.seed])
        for result in found
        if result.raw_bits_per_byte is not None
    ]


def test_a_single_seed_decides_nothing() -> None:
    assert Spread(values=(1.0,)).sign == Spread(values=(1.0, 1.0)).sign == 0
    assert Spread(values=(1.0, 1.1, 0.9)).sign == 1
    assert Spread(values=(-1.0, 1.1, 0.1)).sign == 0


def test_every_claim_is_judged_and_put_into_words() -> None:
    nothing = verdicts([])
    assert list(nothing) == list("abcdefghij")
    assert set(nothing.values()) == {NOT_MEASURED}
    assert OURS.keys() == WHY.keys() == nothing.keys()


def test_the_page_names_every_claim_every_rule_and_every_arm() -> None:
    found = results(PAPER, noise=0.1, exact={})
    page = markdown(found, CompressorFindings(), STUDY, name="cpu", all_jobs=len(found))
    assert page.count("| (i) |") == page.count("| (a) |") == 2
    assert all(f"| {arm} |" in page for arm in ARMS if arm not in WATCHED)
    curve = [TranslationPoint(step=step, raw_exact=step / 8, saved_bits_per_byte=0.5) for step in (1, 2)]
    watched = replace(found[0], arm="neural-short", translation_curve=curve)
    with_curve = markdown([*found, watched], CompressorFindings(), STUDY, name="cpu", all_jobs=len(found) + 1)
    assert "| neural-short | 0 | 2 | 0.250 | 0.500 |" in with_curve
    # Such a run is compared with none: it stands beside (d), and no other number changes.
    told = "; neural-short at nano ×1, pairs to the end: exact 25.0%, own comp saves 0.500"
    assert with_curve.count(told) == 1
    with_curve = with_curve.replace(told, "")
    tables = [text.split("## Claims")[1].split("## Translation over")[0] for text in (page, with_curve)]
    assert tables[0] == tables[1]


def test_the_picture_is_drawn_of_any_results_and_the_same_every_time(tmp_path: Path) -> None:
    found = results(PAPER, noise=0.1, exact={})
    for some in (found, found[:1], [result for result in found if result.arm == "raw-only"]):
        pictures = []
        for number in range(2):
            file = tmp_path / f"{number}.svg"
            draw(Evidence(table=ResultTable(some[:: 1 - 2 * number]), findings=CompressorFindings()), str(file))
            pictures.append(file.read_bytes())
        assert pictures[0] == pictures[1]


def test_findings_are_read_from_what_analyze_writes(data: str, tmp_path: Path) -> None:
    assert read_findings(data).distance == {}
    (tmp_path / "stability.csv").write_text(
        "compressor,kind,share,distance\ngzip,delete,0.1,0.9\ngzip,insert,0.1,0.8\n"
    )
    rows = "context,bytes_per_symbol,distance\n2,1.0,0.3\ndocument,9.0,0.8\ndocument,1.0,0.6\n"
    (tmp_path / "frontier.csv").write_text(rows)
    shares = {"longest": 0.3, "mean": 0.7, "shortest": 1.0}
    table = {"level": "segment", "colliding_codes": 1234, "prefix_over_longer": {"long_share": 0.2}}
    table |= {f"case_prefix_over_{over}": {"long_share": share} for over, share in shares.items()}
    (tmp_path / "collisions.json").write_text(json.dumps([table]))
    found = read_findings(data, str(tmp_path))
    assert found.distance == {"gzip": 0.9}
    assert found.document_distance == 0.6
    assert found.long_prefix_share == shares
    assert found.prefix_note.startswith("of 1,234 codes; of pairs over the longer one 20.0%; ")
    for name in ("stability.csv", "frontier.csv", "collisions.json"):
        before = (tmp_path / name).read_text()
        (tmp_path / name).write_text("kind,context\ndelete,document\n")
        with pytest.raises(ArtifactError, match="make it again"):
            read_findings(data, str(tmp_path))
        (tmp_path / name).write_text(before)
