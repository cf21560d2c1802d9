"""Whole runs from the outside: micro models, tiny corpora, and what a dataset's content is."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import pyarrow as pa
import pytest
import torch
import zstandard

from kernels.byte_lm import ByteLM
from kernels.byte_lm_config import ByteLMConfig
from pipeline.__main__ import main
from schemas.byte_lm_files import write_byte_lm
from schemas.store_clients import AMAZON_NAMES, GOOGLE_NAMES
from tests.kernels.exact_models import quantised
from tests.pipeline.corpora import jsonl, table, texts, write_arrow, write_parquet

ALL_COMPRESSORS = "neural,tokenizer,gzip,token_bytes"


@dataclass(frozen=True, kw_only=True, slots=True)
class Models:
    """Artifacts that are given to runs, so that none is trained."""

    lm: str
    tokenizer: str

    @property
    def options(self) -> list[str]:
        """Options of `preprocess`; the short entropy context keeps the table small."""
        score = ["--boundary-score", "context_entropy", "--score-context-bytes", "1", "--theta", "quantile=0.6"]
        return ["--lm", self.lm, "--tokenizer", self.tokenizer, *score]


def write_micro_lm(directory: Path, *, seed: int = 0) -> str:
    """An untrained byte LM that reads a thousand prefixes in no time."""
    model = ByteLM(ByteLMConfig(layers=2, dim=32, heads=2, ffn_dim=48, attention_bytes=16))
    model.initialise(seed)
    # Weights of a fresh model give all bytes nearly the same entropy, and θ could cut nowhere or everywhere.
    with torch.no_grad():
        model.head.weight.mul_(10)
    write_byte_lm(str(directory), config=model.config.to_dict(), training={}, arrays=quantised(model))
    return str(directory)


class Preprocess(Protocol):
    """What the fixture `preprocess` gives."""

    def __call__(self, corpus: Path | list[Path], output: Path | str, *options: str) -> int:
        """Run the command with micro models; the exit status."""


def preprocess_with(models: Models) -> Preprocess:
    """`preprocess(corpus, output, *options)` with these models, one worker, and all compressors if none are named."""

    def run(corpus: Path | list[Path], output: Path | str, *options: str) -> int:
        inputs = [str(path) for path in (corpus if isinstance(corpus, list) else [corpus])]
        arguments = ["preprocess", "--input", *inputs, "--output", str(output), *models.options]
        if "--compressors" not in options:
            options = ("--compressors", ALL_COMPRESSORS, *options)
        if "--workers" not in options:
            options = ("--workers", "1", *options)
        return main([*arguments, *options])

    return run


def write_mixed(root: Path) -> Path:
    """JSON lines plain, gzipped and zstd, Parquet and Arrow; 93 documents and 3 rejects."""
    root.mkdir(parents=True)
    (root / "a.jsonl").write_bytes(jsonl(*({"text": text} for text in texts(40))) + b'{"text": ""}\nnot json\n')
    (root / "b.jsonl.gz").write_bytes(gzip.compress(jsonl(*({"content": text} for text in texts(9))), mtime=0))
    zstd = zstandard.ZstdCompressor().compress(jsonl(*({"text": text} for text in texts(8)), {"body": "x"}))
    (root / "c.jsonl.zst").write_bytes(zstd)
    write_parquet(root / "d.parquet", table(20), 7)
    write_arrow(root / "e.arrow", table(16), 5)
    return root


MIXED_DOCUMENTS, MIXED_REJECTS = 93, {"bad_json": 1, "empty": 1, "no_text_field": 1}


def write_tree(root: Path) -> Path:
    """A source tree: nested directories, several languages, .json among them, bytes that are hard to keep."""
    files = {
        "main.py": b"import os\r\n\r\n\tprint('na\xc3\xafve')\n",
        "pkg/__init__.py": b"\n",
        "pkg/deep/er/util.c": b"int main(void) { return 0; }" * 40,
        "pkg/config.json": b'{"text": "a file, not a record"}\n',
        "pkg/list.json": b"[1,\n 2]\n",
        "docs/bom.md": b"\xef\xbb\xbf# Title\n",
        "docs/nul.txt": b"a\0b\0\0",
        "docs/no newline.txt": b"x",
        "docs/sp ace \xc3\xa9.txt".encode("latin-1").decode(): b"\xf0\x9f\x9a\x80" * 100,
        "Makefile": b"all:\n\ttrue\n",
    }
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def manifest(output: Path) -> dict[str, Any]:
    """The manifest as JSON."""
    return json.loads((output / "manifest.json").read_bytes())


def content(output: Path) -> dict[str, bytes]:
    """All that a dataset is: name to bytes of manifest, shards and rejects."""
    paths = [output / "manifest.json", *output.glob("shard-*"), *(output / "rejects").glob("*")]
    return {str(path.relative_to(output)): path.read_bytes() for path in sorted(paths)}


def shard_digests(output: Path) -> list[str]:
    """sha256 of the shards, in their order."""
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(output.glob("shard-*.arrow"))]


def rows(output: Path) -> pa.Table:
    """All rows of a dataset."""
    return pa.concat_tables([pa.ipc.open_file(path).read_all() for path in sorted(output.glob("shard-*.arrow"))])


def tree(root: Path) -> dict[str, bytes]:
    """Relative path to bytes of every file below."""
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def times(root: Path) -> dict[str, tuple[int, int]]:
    """Relative path to modification time and inode of everything below, `root` included."""
    return {
        os.path.relpath(path, root): (path.stat().st_mtime_ns, path.stat().st_ino) for path in [root, *root.rglob("*")]
    }


def without_credentials(monkeypatch: pytest.MonkeyPatch, home: Path) -> None:
    """An environment without credentials of any cloud, in which none is looked for on the network."""
    for name in (*AMAZON_NAMES, *GOOGLE_NAMES, "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("CLOUDSDK_CONFIG", str(home))
    monkeypatch.setenv("NO_GCE_CHECK", "true")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def told(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line of an error."""
    lines = capsys.readouterr().err.splitlines()
    assert not [line for line in lines if line.startswith("Traceback")], lines
    assert sum(line.startswith("error: ") for line in lines) == 1, lines
    return lines[-1]
