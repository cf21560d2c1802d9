"""Reproduction: budgets are equal, killed runs go on, and verdicts follow their stated rules."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.__main__ import main as pipeline_main
from schemas.errors import ArtifactError, DatasetError
from schemas.formats import AS_IS
from schemas.vocabulary import COMP_BASE, RAW_BASE
from trainer.__main__ import main
from trainer.data.loader import Loader
from trainer.data.mixing import Mixing
from trainer.reproduction.arms import SCALES, Arm, Job, arms, jobs, proxy_raw_share
from trainer.reproduction.claims import (
    AMBIGUOUS,
    NOT_MEASURED,
    NOT_REPRODUCED,
    OUT_OF_REACH,
    REPRODUCED,
    UNDECIDED,
    Evidence,
    judge_all,
)
from trainer.reproduction.findings import LENGTHS, CompressorFindings, read_findings
from trainer.reproduction.formats import FORMATS_NAME, job_format_bits
from trainer.reproduction.report import OURS, WHY, markdown
from trainer.reproduction.result_table import ResultTable, Spread
from trainer.reproduction.run import RESULT_NAME, Result, raw_per_comp, read_result, run_job, scored_pairs
from trainer.training.loop import loader_settings, open_blend

RATIO = 3.0
SMOKE = replace(SCALES["smoke"], compressors=("gzip",), steps=2, scored_bytes=300, translated_documents=2)


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


def test_every_arm_has_the_same_budget_but_the_matched_one() -> None:
    scale = SCALES["cpu"]
    for job in jobs(scale, RATIO):
        settings = job.settings("data", "run")
        share = settings.steps * settings.batch_symbols / scale.symbols
        assert share == pytest.approx(proxy_raw_share(scale, RATIO) if job.arm.name == "raw-matched" else 1, abs=0.01)
        assert settings.mixing.needs_raw == job.arm.reads_raw
    assert len(scale.sizes) >= 3
    assert len(scale.seeds) >= 3
    assert len({job.name for job in jobs(scale, RATIO)}) == len(jobs(scale, RATIO)) == len(arms(scale, RATIO)) * 9


def test_the_matched_share_is_what_a_proxy_sees_as_raw(data: str) -> None:
    """Counted in the loader's batches, without pairs, whose seams would count on both sides."""
    scale = replace(SMOKE, steps=40, batch_symbols=8192)
    job = next(job for job in jobs(scale, RATIO, only=["gzip"]))
    settings = replace(job.settings(data, ""), mixing=Mixing(mode="sentinel", warmup_steps=8))
    raw = total = 0
    with Loader(open_blend(settings), loader_settings(settings)) as loader:
        for _ in range(scale.steps):
            ids = next(loader).ids
            raw += int(((ids >= RAW_BASE) & (ids < COMP_BASE)).sum())
            total += int((ids >= RAW_BASE).sum())
    assert proxy_raw_share(scale, raw_per_comp(data, scale)) == pytest.approx(raw / total, abs=0.02)


def test_a_run_leaves_a_result_and_the_next_one_finds_it(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SCALES, "smoke", SMOKE)
    words = ["reproduce", "--data", data, "--scale", "smoke", "--out", str(tmp_path), "--processes", "1"]
    assert main([*words, "--arms", "gzip", "raw-matched"]) == 0
    page = (tmp_path / "reproduction.md").read_bytes()
    assert b"2 of 3 runs" in page
    result = read_result(str(tmp_path / "gzip-nano-0" / RESULT_NAME))
    assert result.raw_bits_per_byte is not None
    assert result.comp_bits_per_byte is not None
    assert result.translation is not None
    assert result.translation["documents"] == 2
    before = (tmp_path / "gzip-nano-0" / RESULT_NAME).stat().st_mtime_ns
    capsys.readouterr()
    assert main([*words, "--arms", "gzip", "raw-matched"]) == 0
    assert (tmp_path / "gzip-nano-0" / RESULT_NAME).stat().st_mtime_ns == before
    assert (tmp_path / "reproduction.md").read_bytes() == page
    assert main([*words, "--gather"]) == 0
    assert (tmp_path / "reproduction.md").read_bytes() == page
    monkeypatch.setitem(SCALES, "smoke", replace(SMOKE, scored_bytes=301))
    assert main([*words, "--gather"]) == 2
    assert "belongs to another dataset or other settings; remove" in capsys.readouterr().err


def test_a_run_of_the_reproduction_can_be_probed_by_hand(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SCALES, "smoke", SMOKE)
    words = ["--data", data, "--scale", "smoke", "--out", str(tmp_path), "--processes", "1", "--arms", "gzip"]
    assert main(["reproduce", *words]) == 0
    out = tmp_path / "translation.json"
    run = str(tmp_path / "gzip-nano-0")
    assert main(["evaluate", "translation", run, "--data", data, "--documents", "3", "--out", str(out)]) == 0
    assert "gzip to raw: 0.0% exact" in capsys.readouterr().out
    found = json.loads(out.read_text())
    assert (found["documents"], found["left_out"]) == (3, 0)
    assert main(["evaluate", "translation", run, "--data", data, "--positions", "9"]) == 2
    assert "--split-bytes" in capsys.readouterr().err


def test_all_arms_are_scored_on_the_same_documents(data: str) -> None:
    chosen = [scored_pairs(job, data) for job in jobs(SMOKE, RATIO)]
    assert all([pair.raw for pair in pairs] == [pair.raw for pair in chosen[0]] for pairs in chosen)
    assert sum(len(pair.raw) for pair in chosen[0]) >= SMOKE.scored_bytes


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--scale", "huge"], "scale 'huge' is unknown; choose one of"),
        (["--arms", "zip"], "arm 'zip' is unknown; choose from"),
        (["--processes", "-1"], "give 1 or more"),
        ([], "has no compressor 'neural'"),
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
    job = replace(jobs(SMOKE, RATIO)[0], scale=replace(SMOKE, row_symbols=8))
    with pytest.raises(DatasetError, match="--split-bytes"):
        scored_pairs(job, data)


def test_a_damaged_result_is_named(tmp_path: Path) -> None:
    (tmp_path / RESULT_NAME).write_text('{"arm": "neural"')
    with pytest.raises(ArtifactError, match="remove it"):
        read_result(str(tmp_path / RESULT_NAME))


HARM = {"tokenizer-only": 0.5}


def test_other_formats_are_scored_from_the_checkpoints_and_kept(
    data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(SCALES, "smoke", SMOKE)
    lines, formats = tmp_path / "parts.jsonl", tmp_path / "formats"
    assert pipeline_main(["reformat", data, "--out", str(lines)]) == 0
    options = ["--id-field", "id", "--compressors", "gzip", "--shards", "1", "--workers", "1"]
    assert pipeline_main(["preprocess", "--input", str(lines), "--output", str(formats), *options]) == 0
    words = ["reproduce", "--data", data, "--scale", "smoke", "--out", str(tmp_path / "runs"), "--processes", "1"]
    words += ["--arms", "raw-only", "--formats", str(formats)]
    assert main(words) == 0
    kept = tmp_path / "runs" / "raw-only-nano-0" / FORMATS_NAME
    bits = json.loads(kept.read_text())["bits_per_byte"]
    assert {AS_IS, "tabs", "deeper", "blank-lines", "trailing-spaces"} == bits.keys()
    assert "| nano | raw-only |" in (tmp_path / "runs" / "reproduction.md").read_text().split("## Formatting")[1]
    before = kept.read_bytes()
    assert main(words) == 0
    assert kept.read_bytes() == before
    kept.write_bytes(before.replace(b'"identity": "', b'"identity": "0'))
    capsys.readouterr()
    assert main(words) == 2
    assert "belongs to other texts or another run; remove it" in capsys.readouterr().err
    kept.write_text("[]")
    assert main(words) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_an_arm_of_symbols_alone_is_scored_in_its_own_encoding(data: str, tmp_path: Path) -> None:
    lines, formats = tmp_path / "parts.jsonl", tmp_path / "formats"
    assert pipeline_main(["reformat", data, "--out", str(lines)]) == 0
    options = ["--id-field", "id", "--compressors", "gzip", "--shards", "1", "--workers", "1"]
    assert pipeline_main(["preprocess", "--input", str(lines), "--output", str(formats), *options]) == 0
    arm = Arm(name="gzip-only", mode="comp-only", compressor="gzip")
    job = Job(arm=arm, size="nano", seed=0, scale=SMOKE)
    run_job(job, data, str(tmp_path / "runs"))
    where = {"data": data, "out": str(tmp_path / "runs"), "device": "cpu"}
    bits = job_format_bits(job, formats=str(formats), **where)
    # Members of gzip are longer than these texts, so a byte of text costs several symbols.
    assert 0 < bits[AS_IS] < 40
    manifest = formats / "manifest.json"
    digest = json.loads(manifest.read_text())["compressors"]["gzip"]["digest"]
    manifest.write_text(manifest.read_text().replace(digest, digest[::-1]))
    with pytest.raises(DatasetError, match="was encoded by another gzip than"):
        job_format_bits(job, formats=str(formats), **where)


def results(bits: dict[str, float], *, noise: float, exact: dict[str, float]) -> list[Result]:
    """Three seeds at two sizes; `bits` of the larger, 0.5 more at the smaller."""
    found = []
    for job in jobs(replace(SCALES["cpu"], sizes=("nano", "micro")), RATIO):
        found.append(_result(job, bits.get(job.arm.name, 4.0), noise, exact.get(job.arm.name, 0.0)))
    return found


def _result(job: Job, bits: float, noise: float, exact: float) -> Result:
    small = job.size == "nano"
    worse = 0.6 if small and job.arm.name == "neural" else 0.5 if small else 0.0
    translation = dict.fromkeys(("raw_similarity", "comp_exact", "comp_similarity", "bits_per_byte"), 0.5)
    translation |= {"raw_exact": exact, "bits_per_byte_given_comp": 3.0, "bits_per_byte_given_other_comp": 3.5}
    return Result(
        arm=job.arm.name,
        size=job.size,
        seed=job.seed,
        body_parameters=1 if small else 2,
        symbols=1,
        raw_bits_per_byte=bits + worse + noise * (job.seed - 1),
        comp_bits_per_byte=None,
        translation=translation if job.arm.is_proxy else None,
        train_seconds=0,
        identity="",
        format_bits={AS_IS: bits, "tabs": bits + HARM.get(job.arm.name, 0.1), "deeper": bits + 0.1},
    )


def verdicts(found: list[Result], findings: CompressorFindings | None = None) -> dict[str, str]:
    evidence = Evidence(table=ResultTable(found), findings=findings or CompressorFindings())
    return {judged.claim.letter: judged.verdict for judged in judge_all(evidence)}


PAPER = {"raw-matched": 5.0, "raw-only": 4.2, "neural": 4.0, "tokenizer": 4.1, "gzip": 5.1}
PAPER |= {"neural-none": 4.3, "neural-always": 4.2}


def test_the_papers_own_picture_is_reproduced() -> None:
    findings = CompressorFindings(
        bytes_per_symbol={"neural": 2.6, "tokenizer": 2.9},
        distance={"tokenizer": 0.4, "neural": 0.3, "gzip": 0.9},
        document_distance=0.5,
        long_prefix_share={"longest": 0.91, "mean": 0.95, "shortest": 1.0},
    )
    found = results(PAPER, noise=0.0, exact={"neural-none": 0.4, "neural": 0.6, "neural-always": 0.97})
    assert verdicts(found, findings) == dict.fromkeys("abcdefgh", REPRODUCED)
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
    flat = dict.fromkeys(PAPER, 4.0) | {"raw-matched": 4.001}
    found = verdicts(_with_noise(results(flat, noise=0.0, exact={}), 0.2))
    assert (found["d"], found["e"], found["f"]) == (OUT_OF_REACH, UNDECIDED, UNDECIDED)
    behind = verdicts(results({**PAPER, "raw-only": 3.0}, noise=0.0, exact={}))
    assert behind["g"] == OUT_OF_REACH


def _with_noise(found: list[Result], size: float) -> list[Result]:
    """Each arm and seed off by another amount."""
    shifts = {(result.arm, result.seed): size * ((7 * i) % 5 - 2) for i, result in enumerate(found)}
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
    assert list(nothing) == list("abcdefgh")
    assert set(nothing.values()) == {NOT_MEASURED}
    assert OURS.keys() == WHY.keys() == nothing.keys()


def test_the_page_names_every_claim_and_every_arm() -> None:
    found = results(PAPER, noise=0.1, exact={})
    page = markdown(found, CompressorFindings(), SCALES["cpu"], RATIO, name="cpu", all_jobs=72)
    assert all(f"| ({letter}) |" in page for letter in "abcdefgh")
    assert all(f"| {arm.name} |" in page for arm in arms(SCALES["cpu"], RATIO) if arm.reads_raw)
    assert page == markdown(list(reversed(found)), CompressorFindings(), SCALES["cpu"], RATIO, name="cpu", all_jobs=72)


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
