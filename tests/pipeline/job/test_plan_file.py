"""The plan of a run as a file: what was planned comes back, unit by unit, or one line says that it is another plan."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.corpus.source_files import FORMATS, Piece
from pipeline.corpus.units import MAX_PIECES, WorkUnit
from pipeline.job.job import content, identity
from pipeline.job.plan_file import PLAN_NAME, UNITS_PER_BATCH, open_plan, write_plan
from pipeline.job.settings import PreprocessSettings
from schemas.errors import DatasetError
from schemas.files import canonical_json, sha256_hex
from schemas.shards import FORMAT_VERSION
from tests.pipeline.corpora import plan_units
from tests.pipeline.job.jobs import gzip_job

ROOT = Path(__file__).parents[3]
COUNTS = st.none() | st.integers(0, 2**62)
NAMES = st.text(st.characters(codec="utf-8"), max_size=9)
PIECES = st.builds(
    Piece, path=NAMES, source=NAMES, format=st.sampled_from(FORMATS), start=st.integers(0, 2**62), end=COUNTS,
    size_bytes=COUNTS, file_bytes=COUNTS,
)  # fmt: skip


def numbered(pieces: list[list[Piece]]) -> list[WorkUnit]:
    return [WorkUnit(index=i, total=len(pieces), pieces=tuple(some)) for i, some in enumerate(pieces)]


UNITS = st.lists(st.lists(PIECES, min_size=1, max_size=3), max_size=UNITS_PER_BATCH + 2).map(numbered)


@settings(max_examples=60)
@given(units=UNITS)
def test_every_unit_comes_back(units: list[WorkUnit], tmp_path_factory: pytest.TempPathFactory) -> None:
    written = write_plan(str(tmp_path_factory.getbasetemp() / PLAN_NAME), units)
    assert written.units == len(units)
    plan = open_plan(written)
    assert [plan.unit(index) for index in reversed(range(len(units)))] == units[::-1]


@settings(max_examples=60)
@given(units=UNITS)
def test_the_identity_is_the_digest_of_the_whole_as_canonical_json(units: list[WorkUnit]) -> None:
    """It is written piece by piece; equal identities of earlier releases stay equal."""
    asked = PreprocessSettings(compressors=("gzip",), output="nowhere")
    pieces = [[(p.source, p.format, p.start, p.end, p.size_bytes) for p in unit.pieces] for unit in units]
    whole = {"format": FORMAT_VERSION, "units": pieces, "settings": content(asked), "artifacts": sha256_hex(b"{}\n")}
    assert identity(asked, units) == sha256_hex(canonical_json(whole))


@pytest.mark.parametrize("damage", ["another", "cut", "gone"])
def test_another_plan_is_refused_in_one_line(damage: str, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"text")
    (tmp_path / "b.txt").write_bytes(b"other text")
    one, two = (plan_units([str(tmp_path / name)], shards=1, unit_bytes=9) for name in ("a.txt", "b.txt"))
    job = gzip_job(tmp_path / "out")
    path = job.path("_work", PLAN_NAME)
    written = write_plan(path, one)
    if damage == "another":
        write_plan(path, two)
    elif damage == "cut":
        Path(path).write_bytes(Path(path).read_bytes()[:-1])
    else:
        Path(path).unlink()
    with pytest.raises(DatasetError, match=f"^.*{PLAN_NAME} is .*; run the command again$"):
        open_plan(written)


@pytest.mark.parametrize("count", [MAX_PIECES, MAX_PIECES + 1])
def test_a_unit_that_is_cut_by_size_has_a_bounded_number_of_files(count: int, tmp_path: Path) -> None:
    """Empty files among them; a number of shards that was asked for is kept to."""
    for number in range(count):
        (tmp_path / f"{number}.txt").write_bytes(b"x" * (number % 2))
    units = plan_units([str(tmp_path)], shards=None, unit_bytes=1 << 27)
    assert [len(unit.pieces) for unit in units] == ([count] if count <= MAX_PIECES else [MAX_PIECES, 1])
    (whole,) = plan_units([str(tmp_path)], shards=1, unit_bytes=1 << 27)
    assert [piece for unit in units for piece in unit.pieces] == list(whole.pieces)


SCRIPT = """
import resource, sys
from pipeline.corpus import discover
from pipeline.corpus.corpus import Corpus
from pipeline.corpus.local_files import Found, found_file
from pipeline.corpus.sample import SAMPLE_UNIT_BYTES
from pipeline.job.job import identity
from pipeline.job.plan_file import open_plan, write_plan
from pipeline.job.settings import PreprocessSettings

count, path = int(sys.argv[1]), sys.argv[2]
names = (f"s3://bucket/corpus/{i % 1000:03}/part-{i:07}.jsonl.zst" for i in range(count))
files = [found_file(name, "s3://bucket/corpus", 3_000_000 + 7919 * i % 600_000) for i, name in enumerate(names)]
discover._find_remote = lambda url: Found(directories=[files])
corpus = Corpus(["s3://bucket/corpus"])
units = corpus.units(shards=None, unit_bytes=128 << 20)
assert len(corpus.units(shards=None, unit_bytes=SAMPLE_UNIT_BYTES)) > len(units)
identity(PreprocessSettings(compressors=("gzip",), output="nowhere"), units)
plan = open_plan(write_plan(path, units))
assert plan.unit(len(units) - 1) == units[-1]
used = resource.getrusage(resource.RUSAGE_SELF)
# Not ru_maxrss: what the process that started this one had counts there too.
peak_kb = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(len(units), used.ru_utime + used.ru_stime, int(peak_kb) * 1024)
"""


def plan_of(count: int, path: Path) -> tuple[int, float, int]:
    """Units, CPU seconds and peak bytes of a process that plans so many files of 3.3 MB in a store."""
    words = [sys.executable, "-c", SCRIPT, str(count), str(path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    units, seconds, peak_bytes = done.stdout.split()
    return int(units), float(seconds), int(peak_bytes)


def test_a_plan_of_many_files_takes_little(tmp_path: Path) -> None:
    """50,000 files: what a file takes, a million of them take less than a gigabyte of, and the plan is small."""
    few, many = (plan_of(count, tmp_path / str(count)) for count in (1_000, 50_000))
    assert many[0] == pytest.approx(50_000 * 3.3e6 / (128 << 20), rel=0.01)
    assert few[2] + (many[2] - few[2]) / 49_000 * 1_000_000 < 1e9
    assert (tmp_path / "50000").stat().st_size < 50_000 * 30
