"""One of everything that commands read: dataset, models, an unfinished run, a training run, an export, problems.

data/       all four compressors, their artifacts, report, settings, analysis     unfinished/   commit records only
lm/, tokenizer.model, sample.arrow      run/  a checkpoint, metrics      export/  for transformers
problems/, code/  HumanEval, samples and a file of samples begun         study/   a result of the reproduction
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.__main__ import main as pipeline
from tests.soak.runs import make_models, texts
from trainer.__main__ import main as trainer
from trainer.reproduction.findings import LENGTHS

PREPROCESS = (
    "preprocess --input corpus.jsonl --output data --tokenizer tokenizer.model --lm lm --workers 1 --shards 1 "
    "--compressors neural,tokenizer,gzip,token_bytes --boundary-score context_entropy --score-context-bytes 1 "
    "--theta quantile=0.6 --write-entropy"
)
UNFINISHED = "preprocess --input bad.jsonl --output unfinished --compressors gzip --workers 1 --max-reject-fraction 0"
TRAIN = (
    "train --data data --out run --size pico --compressor gzip --steps 2 --batch-symbols 256 --sequence-length 64 "
    "--micro-batch-size 4 --lanes 4 --lr-warmup-steps 1 --mixing-warmup-steps 2 --device cpu --checkpoint-steps 1"
)
CODE = "evaluate code run --data-dir problems --out code --max-new-bytes 4 --context 512 --device cpu"
SCORE = "evaluate score code/samples.jsonl --data-dir problems --suite base --sandbox rlimits --workers 1"
LM = "lm --sample data/compressors/sample.arrow --out made --device cpu --steps 1 --rows 2 --held-out-bytes 64"
EXPORTED = "export run --out export --shard-bytes 100000"
DECODED = "decode data --out decoded"
STUDY = "reproduce --data data --scale smoke --out study --gather --arms gzip raw-only"


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A file and the commands that read it."""

    path: str
    """Below the scene; of several files a pattern."""
    kind: str
    """See `tests.soak.tampered.tamper`."""
    commands: tuple[str, ...]


READ = (
    "verify data", "show data --head 1", "decode data --out back", "plan --dataset data --bytes 1e9", PREPROCESS,
    "reformat data --out formats.jsonl", f"{TRAIN} --steps 3", "evaluate bpb run --data data --device cpu", STUDY,
)  # fmt: skip
MODEL = ("generate run --max-bytes 2 --device cpu", "evaluate bpb run --data data --device cpu", "export run --out new")
EXPORT = ("generate export --max-bytes 2 --device cpu", "evaluate bpb export --data data --device cpu")
ARTIFACT = ("verify data", "plan --dataset data --bytes 1e9", PREPROCESS)
TARGETS = (
    Target(path="data/manifest.json", kind="json", commands=READ),
    Target(path="data/report.json", kind="json", commands=("plan --dataset data --bytes 1e9", PREPROCESS)),
    Target(path="data/settings.json", kind="json", commands=("preprocess --config data/settings.json",)),
    Target(path="data/shard-*", kind="bytes", commands=READ[:3]),
    Target(path="data/compressors/neural/compressor.json", kind="json", commands=ARTIFACT),
    Target(path="data/compressors/neural/lm.json", kind="json", commands=ARTIFACT),
    Target(path="data/compressors/neural/weights.safetensors", kind="bytes", commands=ARTIFACT),
    Target(path="data/compressors/neural/codebook.arrow", kind="bytes", commands=ARTIFACT),
    Target(path="data/compressors/neural/entropy.arrow", kind="bytes", commands=ARTIFACT),
    Target(path="data/compressors/tokenizer/request.json", kind="json", commands=ARTIFACT),
    Target(path="data/compressors/tokenizer/tokenizer.model", kind="bytes", commands=ARTIFACT),
    Target(path="data/compressors/sample.arrow", kind="bytes", commands=(LM,)),
    Target(path="lm/lm.json", kind="json", commands=(f"{PREPROCESS} --output other",)),
    Target(path="lm/weights.safetensors", kind="bytes", commands=(f"{PREPROCESS} --output other",)),
    Target(path="tokenizer.model", kind="bytes", commands=(f"{PREPROCESS} --output other",)),
    Target(path="unfinished/_work/done/unit-*", kind="json", commands=(UNFINISHED,)),
    Target(path="run/checkpoints/step-00000002/state.json", kind="json", commands=(*MODEL, f"{TRAIN} --steps 3")),
    Target(path="run/checkpoints/step-00000002/*.safetensors", kind="bytes", commands=(*MODEL, f"{TRAIN} --steps 3")),
    Target(path="run/settings.json", kind="json", commands=("train --config run/settings.json --steps 2",)),
    Target(path="run/metrics.jsonl", kind="lines", commands=("plot run", f"{TRAIN} --steps 3")),
    Target(path="export/config.json", kind="json", commands=EXPORT),
    Target(path="export/model.safetensors.index.json", kind="json", commands=EXPORT),
    Target(path="export/model-00001-*", kind="bytes", commands=EXPORT),
    Target(path="problems/HumanEval.jsonl", kind="lines", commands=(CODE, f"{SCORE} --allow-code-execution")),
    Target(path="code/samples.jsonl", kind="lines", commands=(f"{SCORE} --allow-code-execution",)),
    Target(path="code/samples.unfinished.jsonl", kind="lines", commands=(f"{CODE} --overwrite",)),
    Target(path="study/gzip-nano-x1-0/result.json", kind="json", commands=(STUDY,)),
    Target(path="study/results.jsonl", kind="lines", commands=(STUDY,)),
    Target(path="data/analysis/stability.csv", kind="csv", commands=(STUDY,)),
    Target(path="data/analysis/frontier.csv", kind="csv", commands=(STUDY,)),
    Target(path="data/analysis/collisions.json", kind="json", commands=(STUDY,)),
)


def run(command: str) -> int:
    """A command of either program, in this process and working directory; its exit status."""
    words = command.split()
    main: Callable[[Sequence[str]], int] = trainer if words[0] in TRAINER else pipeline
    try:
        return main(words)
    except SystemExit as stop:
        return int(stop.code or 0)


TRAINER = ("train", "generate", "evaluate", "export", "plot", "reproduce", "lm")


def make_scene(root: Path) -> Path:
    """All the files, made by the commands themselves where they can be made in a second."""
    models = make_models(root / "models")
    shutil.move(models.tokenizer, root / "tokenizer.model")
    shutil.move(models.lm, root / "lm")
    rows = [json.dumps({"text": text[:200]}) for text in texts(60)]
    (root / "corpus.jsonl").write_text("\n".join(rows) + "\n")
    (root / "bad.jsonl").write_text("\n".join(rows[:5]) + "\nbad\n")
    with contextlib.chdir(root), contextlib.redirect_stderr(io.StringIO()) as said, contextlib.redirect_stdout(said):
        for command, status in ((PREPROCESS, 0), (UNFINISHED, 1), (TRAIN, 0), (EXPORTED, 0), (DECODED, 0)):
            assert run(command) == status, (command, said.getvalue())
        _write_problems()
        assert run(CODE) == 0, said.getvalue()
        _begin_samples()
        _write_study()
        assert run(STUDY) == 0, said.getvalue()
    return root


def _write_problems() -> None:
    from tests.trainer.evaluation.code.files import HUMANEVAL, lines

    os.mkdir("problems")
    Path("problems/HumanEval.jsonl").write_bytes(lines(HUMANEVAL))


def _begin_samples() -> None:
    """What a killed run of `evaluate code` leaves, as its file says after its last batch."""
    from trainer.evaluation.code import sample_files

    finish = sample_files.SampleFile.finish
    try:
        sample_files.SampleFile.finish = lambda *_: None  # type: ignore[method-assign]
        assert run(f"{CODE} --overwrite") == 0
    finally:
        sample_files.SampleFile.finish = finish  # type: ignore[method-assign]


def _write_study() -> None:
    """A result as a training would leave it, and tables as `analyze` writes them."""
    from schemas.files import canonical_json
    from trainer.reproduction.arms import SCALES, jobs
    from trainer.reproduction.documents import raw_per_comp
    from trainer.reproduction.run import identity

    figures = {
        "body_parameters": 1000, "symbols": 4096, "raw_bits_per_byte": 4.0, "comp_bits_per_byte": 5.0,
        "arithmetic": "float32", "cpu_seconds": 1.5, "format_bits": None, "translation_curve": None,
        "translation": {
            "documents": 2, "raw_exact": 0.5, "raw_similarity": 0.5, "comp_exact": 0.5, "comp_similarity": 0.5,
            "bits_per_byte": 4.0, "bits_per_byte_given_comp": 3.0, "bits_per_byte_given_other_comp": 4.0,
        },
    }  # fmt: skip
    os.mkdir("study")
    for job in jobs(SCALES["smoke"], only=["gzip", "raw-only"]):
        place = {"arm": job.arm.name, "size": job.size, "seed": job.seed, "budget": job.budget, "density": job.density}
        result = {**figures, **place, "raw_per_comp": raw_per_comp(job, "data"), "identity": identity(job, "data")}
        if job.arm.is_proxy:
            os.makedirs(f"study/{job.name}")
            Path(f"study/{job.name}/result.json").write_bytes(canonical_json(result))
        else:
            with open("study/results.jsonl", "a", encoding="utf-8") as file:
                file.write(json.dumps({**result, "translation": None}) + "\n")
    os.mkdir("data/analysis")
    Path("data/analysis/stability.csv").write_text("compressor,kind,share,distance\ngzip,delete,0.1,0.9\n")
    Path("data/analysis/frontier.csv").write_text("context,bytes_per_symbol,distance\ndocument,3.5,0.4\n")
    shares = {f"case_prefix_over_{over}": {"long_share": 0.5} for over in LENGTHS}
    tables = [{"level": "segment", "colliding_codes": 7, "prefix_over_longer": {"long_share": 0.5}, **shares}]
    Path("data/analysis/collisions.json").write_bytes(canonical_json(tables))
