"""The commands that look at a finished dataset: verify, decode, show, analyze, reformat. Each is a class of settings,
whose fields are its options, and a function."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipeline.analysis.settings import AnalyzeSettings
from schemas.config import from_options
from schemas.errors import SettingsError
from schemas.files import make_room
from schemas.options import option
from schemas.progress import Progress


@dataclass(frozen=True, kw_only=True, slots=True)
class VerifySettings:
    """What `verify` is asked for."""

    dataset: str = field(metadata=option(metavar="DIR", positional=True, path=True))
    """Directory of a finished dataset."""
    by_model: bool = False
    """Decode neural codes by the byte LM alone, without the codebook (slow)."""
    device: str = "cpu"
    """Where the byte LM runs: `cpu` or `cuda`."""


def run_verify(options: argparse.Namespace, extra: Sequence[str]) -> int:
    """Decode every document and compare it with raw; the exit status."""
    from pipeline.dataset.verify import verify

    settings = from_options(VerifySettings, options)
    result = None
    with Progress("verify", unit="B") as progress:
        progress.to(0)
        for result in verify(settings.dataset, device=settings.device, by_model=settings.by_model):
            progress.to(result.raw_bytes, f"{result.shards} shards")
    if result is None:
        raise SettingsError(f"{settings.dataset} has no shards; there is nothing to verify")
    print(
        f"verified: {result.documents:,} documents, {result.raw_bytes:,} bytes in {result.shards} shards "
        f"decode from {', '.join(result.compressors)} to exactly their raw bytes"
    )
    return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeSettings:
    """What `decode` is asked for."""

    dataset: str = field(metadata=option(metavar="DIR", positional=True, path=True))
    """Directory of a finished dataset."""
    out: str = field(metadata=option(metavar="DIR", path=True))
    """Where the documents go, by their source names."""
    compressor: str | None = field(default=None, metadata=option(metavar="NAME", default="neural, or else the first"))
    """Decode this encoding."""


def run_decode(options: argparse.Namespace, extra: Sequence[str]) -> int:
    """Write the corpus of a dataset again; the exit status."""
    from pipeline.dataset.decode import decode_to

    settings = from_options(DecodeSettings, options)
    documents = decode_to(settings.dataset, settings.out, settings.compressor)
    print(f"{documents:,} documents decoded to {settings.out}")
    return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ShowSettings:
    """What `show` is asked for."""

    shard: str = field(metadata=option(metavar="DIR|SHARD", positional=True, path=True))
    """A dataset, of which the first shard is shown, or a shard. All of the shard is read first, for its sha256."""
    view: Literal["raw", "comp", "paired", "windows"] = "paired"
    """Which view: documents' text, their symbols, a row per segment, or a row per symbol."""
    head: int = field(default=20, metadata=option(metavar="ROWS"))
    """Rows to print."""
    compressor: str | None = field(default=None, metadata=option(metavar="NAME", default="the shard's first"))
    """Whose encoding."""
    width: int = field(default=120, metadata=option(metavar="COLUMNS"))
    """Columns of the terminal."""


def run_show(options: argparse.Namespace, extra: Sequence[str]) -> int:
    """Print the head of a shard; the exit status."""
    from pipeline.dataset.show import show

    settings = from_options(ShowSettings, options)
    for line in show(settings.shard, settings.view, settings.head, settings.compressor, settings.width):
        print(line)
    return 0


def run_analyze(options: argparse.Namespace, extra: Sequence[str]) -> int:
    """Write tables and a page about a dataset; the exit status."""
    from pipeline.analysis.analyze import analyze

    settings = from_options(AnalyzeSettings, options)
    with Progress("analyze"):
        paths = analyze(settings)
    for path in paths:
        print(path)
    return 0


@dataclass(frozen=True, kw_only=True, slots=True)
class ReformatSettings:
    """What `reformat` is asked for."""

    dataset: str = field(metadata=option(metavar="DIR", positional=True, path=True))
    """Finished dataset, whose held-out documents are taken."""
    out: str = field(metadata=option(metavar="FILE", path=True))
    """The JSON lines to write, for preprocess --id-field id."""
    texts: int = field(default=1000, metadata=option(metavar="N"))
    """Documents to write, at most."""

    def __post_init__(self) -> None:
        if self.texts < 1:
            raise SettingsError(f"--texts is {self.texts}; give at least 1")


def run_reformat(options: argparse.Namespace, extra: Sequence[str]) -> int:
    """Write held-out texts in other formatting; the exit status."""
    from pipeline.analysis.reformat import FORMATS, write_reformatted

    settings = from_options(ReformatSettings, options)
    make_room(settings.out)
    count = write_reformatted(settings.dataset, settings.out, limit=settings.texts)
    print(f"{settings.out}: {count:,} texts in {len(FORMATS)} formats ({', '.join(FORMATS)})")
    return 0
