"""The runs that are disturbed: small corpora in many formats, models made once, and their undisturbed results."""

from __future__ import annotations

import gzip
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import zstandard

from pipeline.compressors.tokenizer.training import train_tokenizer
from tests.kernels.exact_models import quantised
from tests.kernels.micro_lm import CONFIG, micro_lm
from tests.pipeline.corpora import jsonl, table, texts, write_arrow, write_parquet
from tests.pipeline.runs import content
from tests.soak.child import Child, pipeline_child

LIMIT_SECONDS = 300
"""Of any child. Nothing here takes more than some seconds on an idle machine."""
UNITS = 12


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """A preprocessing command and what it must end in."""

    name: str
    arguments: tuple[str, ...]
    """Without --output."""
    final: dict[str, bytes]
    """The undisturbed run's manifest, shards and rejects."""
    seconds: float
    """Of the undisturbed run."""

    def start(self, output: Path, log: Path, *, before: Callable[[], object] | None = None) -> Child:
        """The run, in a child."""
        return pipeline_child([*self.arguments, "--output", str(output)], log, before=before)

    def finish(self, output: Path, log: Path) -> None:
        """Run it to its end; it must end well."""
        outcome = self.start(output, log).wait(limit_seconds=LIMIT_SECONDS)
        assert outcome.status == 0, (self.name, outcome.status, outcome.stderr)


@dataclass(frozen=True, kw_only=True, slots=True)
class Models:
    """Artifacts given to runs, so that they are not made every time."""

    tokenizer: str
    lm: str

    @property
    def neural_options(self) -> list[str]:
        """Options of a run with the micro byte LM; the short entropy context keeps its table small."""
        score = ["--boundary-score", "context_entropy", "--score-context-bytes", "1"]
        return ["--lm", self.lm, *score, "--theta", "quantile=0.6"]


def make_models(directory: Path) -> Models:
    """A tokenizer of 330 pieces and a byte LM of a few thousand parameters."""
    from schemas.byte_lm_files import write_byte_lm

    directory.mkdir()
    train_tokenizer((text.encode() for text in texts(70)), 330, directory / "tokenizer.model")
    write_byte_lm(str(directory / "lm"), config=CONFIG.to_dict(), training={}, arrays=quantised(micro_lm()))
    return Models(tokenizer=str(directory / "tokenizer.model"), lm=str(directory / "lm"))


def write_corpus(root: Path) -> Path:
    """JSON lines plain and compressed, Parquet and Arrow, with some rejects; enough for UNITS units."""
    root.mkdir()
    draw = random.Random(5)
    long = [{"text": "".join(draw.choices("etaoin shrdlu\n", k=3000))} for _ in range(UNITS * 4)]
    (root / "a.jsonl").write_bytes(jsonl(*long) + b'{"text": ""}\nnot json\n')
    (root / "b.jsonl.gz").write_bytes(gzip.compress(jsonl(*({"content": text} for text in texts(40))), mtime=0))
    zstd = zstandard.ZstdCompressor().compress(jsonl(*({"text": text} for text in texts(40)), {"body": "x"}))
    (root / "c.jsonl.zst").write_bytes(zstd)
    write_parquet(root / "d.parquet", table(40), 7)
    write_arrow(root / "e.arrow", table(40), 5)
    return root


def make_subject(name: str, corpus: Path, scratch: Path, options: list[str]) -> Subject:
    """A run with these options, and its result without any disturbance."""
    arguments = ["preprocess", "--input", str(corpus), "--shards", str(UNITS), "--max-reject-fraction", "0.5", *options]
    subject = Subject(name=name, arguments=tuple(arguments), final={}, seconds=0.0)
    output = scratch / f"undisturbed-{name}"
    outcome = subject.start(output, scratch / f"undisturbed-{name}").wait(limit_seconds=LIMIT_SECONDS)
    assert outcome.status == 0, (name, outcome.status, outcome.stderr)
    final = content(output)
    assert len([path for path in final if path.startswith("shard-")]) == UNITS, sorted(final)
    return Subject(name=name, arguments=tuple(arguments), final=final, seconds=outcome.seconds)
