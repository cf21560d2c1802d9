"""Plans: pure, complete, ordered, and as many units as were asked for."""

from __future__ import annotations

import http.server
import logging
import os
import pickle
import shutil
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.corpus.corpus import Corpus, log_not_read
from pipeline.corpus.discover import list_inputs
from pipeline.corpus.languages import NAME_LANGUAGES, SUFFIX_LANGUAGES, language_of
from pipeline.corpus.read import read_documents
from pipeline.corpus.records import Record
from pipeline.corpus.settings import ReadSettings
from pipeline.corpus.source_files import JSONL, NotRead, SourceFile, format_of
from pipeline.corpus.units import cut_units
from schemas.errors import InputError, SettingsError
from tests.pipeline.corpora import MemoryFileSystem, jsonl, plan_units, table, write_arrow, write_parquet
from tests.pipeline.runs import without_credentials

MIB = 1 << 20


def sources(*inputs: str | Path) -> list[str]:
    return [file.source for file in list_inputs([str(name) for name in inputs]).files]


def fill(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"contents of {name}\n")
    return root


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    root = tmp_path / "mixed"
    root.mkdir()
    (root / "a.jsonl").write_bytes(jsonl(*({"text": "x" * 50} for _ in range(40))))
    write_parquet(root / "b.parquet", table(60), 10)
    write_arrow(root / "c.arrow", table(60), 10)
    write_arrow(root / "d.arrow", table(20), 5, stream=True)
    (root / "e.jsonl.gz").write_bytes(b"\x1f\x8b not read by the plan")
    return root


def test_a_tree_of_source_code(tmp_path: Path) -> None:
    fill(tmp_path, "b.py", "a/z.c", "a/Makefile", "a/logo.png", "package.json", ".git/config.py", "__pycache__/b.py")
    fill(tmp_path, "a/node_modules/m.js", "lib/site-packages/p.py", "a/.hidden/x.py")
    os.symlink(tmp_path / "b.py", tmp_path / "link.py")
    os.symlink(tmp_path / "a", tmp_path / "linked")
    listing = list_inputs([str(tmp_path)])
    assert [file.source for file in listing.files] == ["a/Makefile", "a/z.c", "b.py", "package.json"]
    assert {file.format for file in listing.files} == {"text"}
    assert {name.path.removeprefix(f"{tmp_path}/"): name.reason for name in listing.not_read} == {
        ".git": "a directory that is not looked into",
        "__pycache__": "a directory that is not looked into",
        "a/.hidden": "a directory that is not looked into",
        "a/logo.png": "no text known by its suffix",
        "a/node_modules": "a directory that is not looked into",
        "lib/site-packages": "a directory that is not looked into",
        "link.py": f"the same file as {tmp_path}/b.py",
        "linked": f"the same directory as {tmp_path}/a",
    }


def test_a_directory_with_records_gives_only_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fill(tmp_path, "README.md", "deep/down/a.jsonl.zst", "b.parquet", "dataset_infos.json")
    assert sources(tmp_path) == ["b.parquet", "deep/down/a.jsonl.zst"]
    with caplog.at_level(logging.INFO):
        log_not_read(Corpus([str(tmp_path)]).not_read)
    assert "not read: 2 files" in caplog.text
    assert ".md 1" in caplog.text


def test_a_file_that_is_named_is_read_whatever_it_is(tmp_path: Path) -> None:
    fill(tmp_path, "notes.unknown", "rows.json")
    files = list_inputs([str(tmp_path / "notes.unknown"), str(tmp_path / "rows.json")]).files
    assert [(file.source, file.format) for file in files] == [("notes.unknown", "text"), ("rows.json", "jsonl")]


def test_globs_name_sources_from_the_part_before_the_wildcard(tmp_path: Path) -> None:
    fill(tmp_path, "c/x/1.jsonl", "c/y/1.jsonl", "c/2.jsonl", "c/3.txt")
    assert sources(tmp_path / "c/*/*.jsonl") == ["x/1.jsonl", "y/1.jsonl"]
    assert sources(tmp_path / "c/**/*.jsonl") == ["2.jsonl", "x/1.jsonl", "y/1.jsonl"]
    assert sources(tmp_path / "c/x*") == ["x/1.jsonl"]
    assert sources(tmp_path / "c/[23].*") == ["2.jsonl", "3.txt"]


def test_names_with_wildcards_are_taken_literally_first(tmp_path: Path) -> None:
    fill(tmp_path, "a[1].py", "a1.py")
    assert sources(tmp_path / "a[1].py") == ["a[1].py"]


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, "c/a.jsonl")
    monkeypatch.chdir(tmp_path)
    assert sources("c") == sources("c/") == sources("./c/*.jsonl") == sources("c/a.jsonl") == ["a.jsonl"]
    (file,) = list_inputs(["c"]).files
    assert file.path == str(tmp_path / "c/a.jsonl")


def test_a_file_reached_twice_is_taken_once_from_the_outermost_root(tmp_path: Path) -> None:
    fill(tmp_path, "c/sub/a.jsonl", "c/b.jsonl")
    os.symlink(tmp_path / "c/b.jsonl", tmp_path / "other.jsonl")
    inputs = [tmp_path / "c/sub", tmp_path / "c/sub/*.jsonl", tmp_path / "c", tmp_path / "other.jsonl"]
    assert sources(*inputs) == sources(*reversed(inputs)) == ["other.jsonl", "sub/a.jsonl"]


def test_equal_sources_are_named_from_their_common_directory(tmp_path: Path) -> None:
    fill(tmp_path, "v1/data/a.py", "v2/data/a.py", "v2/data/b.py", "data/a.py")
    inputs = [tmp_path / "v1/data", tmp_path / "v2/data", tmp_path / "data"]
    assert sources(*inputs) == sources(*inputs[::-1]) == ["b.py", "data/a.py", "v1/data/a.py", "v2/data/a.py"]


def test_names_that_become_equal_by_renaming_are_told_apart_too(tmp_path: Path) -> None:
    fill(tmp_path, "x/p/a.py", "x/q/a.py", "tree/p/a.py")
    inputs = [tmp_path / "x/p", tmp_path / "x/q", tmp_path / "tree"]
    assert sources(*inputs) == ["tree/p/a.py", "x/p/a.py", "x/q/a.py"]


def test_the_order_of_inputs_does_not_matter(mixed: Path) -> None:
    inputs = [str(path) for path in mixed.iterdir()]
    plans = [plan_units(names, shards=5, unit_bytes=MIB) for names in (inputs, inputs[::-1], inputs * 2, [str(mixed)])]
    assert all(plan == plans[0] for plan in plans)


def test_a_plan_does_not_depend_on_where_the_corpus_lies(mixed: Path, tmp_path: Path) -> None:
    shutil.copytree(mixed, tmp_path / "elsewhere/deep")
    first = plan_units([str(mixed)], shards=6, unit_bytes=MIB)
    second = plan_units([str(tmp_path / "elsewhere/deep")], shards=6, unit_bytes=MIB)
    blank = [[replace(piece, path="") for unit in plan for piece in unit.pieces] for plan in (first, second)]
    assert blank[0] == blank[1]


def test_units_go_through_pickle(mixed: Path) -> None:
    for unit in plan_units([str(mixed)], shards=7, unit_bytes=MIB):
        assert pickle.loads(pickle.dumps(unit)) == unit


@pytest.mark.parametrize("shards", [1, 2, 3, 7, 16, 40])
def test_exactly_the_shards_that_were_asked_for(mixed: Path, shards: int) -> None:
    units = plan_units([str(mixed)], shards=shards, unit_bytes=MIB)
    assert len(units) == shards
    assert all(unit.pieces and unit.total == shards for unit in units)
    if shards <= 7:
        mean_bytes = sum(unit.size_bytes for unit in units) / shards
        assert max(unit.size_bytes for unit in units) < 2.5 * mean_bytes


def test_fewer_units_than_shards_where_files_cannot_be_cut(tmp_path: Path) -> None:
    fill(tmp_path, "a.py", "b.py", "c.py")
    assert len(plan_units([str(tmp_path)], shards=9, unit_bytes=MIB)) == 3


def test_small_files_are_packed_and_large_ones_cut(tmp_path: Path) -> None:
    fill(tmp_path, *(f"{i:02}.py" for i in range(30)))
    total_bytes = sum(path.stat().st_size for path in tmp_path.iterdir())
    units = plan_units([str(tmp_path)], shards=None, unit_bytes=total_bytes // 3)
    assert [len(unit.pieces) for unit in units] == [10, 10, 10]
    (tmp_path / "big.jsonl").write_bytes(b"\n" * 1000)
    units = plan_units([str(tmp_path / "big.jsonl")], shards=None, unit_bytes=100)
    assert [(unit.pieces[0].start, unit.pieces[0].end) for unit in units] == [(i, i + 100) for i in range(0, 1000, 100)]


def test_parquet_and_arrow_are_cut_between_groups_and_batches(mixed: Path) -> None:
    for name in ("b.parquet", "c.arrow"):
        units = plan_units([str(mixed / name)], shards=3, unit_bytes=MIB)
        assert [(unit.pieces[0].start, unit.pieces[0].end) for unit in units] == [(0, 2), (2, 4), (4, 6)]
    assert len(plan_units([str(mixed / "d.arrow")], shards=3, unit_bytes=MIB)) == 1


@given(
    sizes=st.lists(st.tuples(st.integers(0, 300), st.booleans()), min_size=1, max_size=12),
    shards=st.none() | st.integers(1, 20),
    unit_bytes=st.integers(1, 400),
)
def test_units_cover_everything_once_and_in_order(
    sizes: list[tuple[int, bool]], shards: int | None, unit_bytes: int
) -> None:
    files = [
        SourceFile(path=f"/{i:02}", source=f"{i:02}", format=JSONL if lines else "text", size_bytes=size)
        for i, (size, lines) in enumerate(sizes)
    ]
    units = cut_units(files, shards=shards, unit_bytes=unit_bytes)
    pieces = [piece for unit in units for piece in unit.pieces]
    for file in files:
        ends = [(piece.start, piece.end) for piece in pieces if piece.source == file.source]
        if file.format == JSONL:
            assert [start for start, _ in ends] + [file.size_bytes] == [0] + [end for _, end in ends]
        else:
            assert ends == [(0, None)]
    assert [piece.source for piece in pieces] == sorted(piece.source for piece in pieces)
    assert all(unit.pieces for unit in units)
    if shards is not None:
        assert len(units) == min(shards, sum(file.splittable_parts for file in files))


def test_damaged_files_stay_whole_in_the_plan(tmp_path: Path) -> None:
    fill(tmp_path, "a.parquet", "b.arrow", "c.feather")
    (tmp_path / "d.arrow").write_bytes(b"ARROW1\0\0" + b"\xff" * 50 + b"\x10\0\0\0ARROW1")
    (tmp_path / "e.parquet").write_bytes(b"")
    units = plan_units([str(tmp_path)], shards=40, unit_bytes=MIB)
    assert [(piece.start, piece.end) for unit in units for piece in unit.pieces] == [(0, None)] * 5


def test_nothing_found_names_the_input_and_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_credentials(monkeypatch, tmp_path)
    with pytest.raises(
        InputError, match=r"no file matches '.*nowhere\*\.jsonl'; check the path, and put globs in quot"
    ):
        list_inputs([str(tmp_path / "nowhere*.jsonl")])
    with pytest.raises(InputError, match=r"holds 1 files, but no records .* name the files with a glob"):
        list_inputs([str(fill(tmp_path / "images", "x.png"))])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds 0 files"):
        list_inputs([str(tmp_path / "empty")])
    with pytest.raises(InputError, match="no input was given"):
        list_inputs([])
    with pytest.raises(SettingsError, match="gs:// paths need Google credentials, and there are none here"):
        list_inputs(["gs://x/y"])
    with pytest.raises(InputError, match=r"'nonsense://x/y\.jsonl' cannot be opened"):
        list_inputs(["nonsense://x/y.jsonl"])


@pytest.mark.parametrize(("shards", "unit_bytes"), [(0, 1), (-1, 1), (None, 0)])
def test_impossible_sizes_are_refused(tmp_path: Path, shards: int | None, unit_bytes: int) -> None:
    with pytest.raises(SettingsError, match="is -?[01]; give at least 1"):
        plan_units([str(fill(tmp_path, "a.py"))], shards=shards, unit_bytes=unit_bytes)


def test_names_that_are_not_utf8_are_left_out_and_told(tmp_path: Path) -> None:
    fill(tmp_path, "a.py")
    with open(os.fsencode(tmp_path) + b"/\xff.py", "wb") as file:
        file.write(b"x")
    listing = list_inputs([str(tmp_path)])
    assert [file.source for file in listing.files] == ["a.py"]
    assert listing.not_read == (
        NotRead(path=str(tmp_path) + "/\\xff.py", reason="its name is not UTF-8", size_bytes=1),
    )


def test_formats_by_suffix() -> None:
    names = "a.jsonl a.NDJSON a.json.gz a.jsonl.zst a.parquet a.feather a.arrow a.py a.gz https://h/a.jsonl.gz?x=1.py"
    formats = "jsonl jsonl jsonl.gz jsonl.zst parquet arrow arrow text text jsonl.gz"
    assert [format_of(name) for name in names.split()] == formats.split()


def test_languages() -> None:
    assert all(suffix == suffix.lower() and suffix.startswith(".") for suffix in SUFFIX_LANGUAGES)
    assert all(name == name.lower() for name in NAME_LANGUAGES)
    names = ["a/b.py", "X.PY", "Makefile", "CMakeLists.txt", "a.txt", "noext", ".py", "a.unknown"]
    assert [language_of(name) for name in names] == ["Python", "Python", "Makefile", "CMake", "Text", "", "", ""]


@pytest.fixture
def bucket() -> Iterator[dict[str, bytes]]:
    objects = MemoryFileSystem.objects
    objects.clear()
    names = ["a.jsonl", "sub/b.jsonl", "sub/c.txt", ".git/d.jsonl"]
    objects.update({f"mem://bucket/data/{name}": jsonl({"text": name}) for name in names})
    objects["mem://bucket/data/sub/"] = b""
    yield objects
    objects.clear()


def test_beam_file_systems(bucket: dict[str, bytes]) -> None:
    assert sources("mem://bucket/data") == sources("mem://bucket/data/") == ["a.jsonl", "sub/b.jsonl"]
    assert sources("mem://bucket/data/sub/c.txt") == ["c.txt"]
    assert sources("mem://bucket/data/*/b.jsonl") == ["sub/b.jsonl"]
    assert sources("mem://bucket/data/[as]*/**/*.jsonl", "mem://bucket/data/*.jsonl") == ["a.jsonl", "sub/b.jsonl"]
    with pytest.raises(InputError, match="no file matches 'mem://bucket/none'"):
        list_inputs(["mem://bucket/none"])
    units = plan_units(["mem://bucket/data"], shards=3, unit_bytes=MIB)
    records = [record for unit in units for record in read_documents(unit.pieces, ReadSettings())]
    assert [record.text for record in records if isinstance(record, Record)] == [b"a.jsonl", b"sub/b.jsonl"]


def test_beam_reads_columns_too(bucket: dict[str, bytes], mixed: Path) -> None:
    for name in ("b.parquet", "c.arrow", "d.arrow"):
        bucket[f"mem://bucket/columns/{name}"] = (mixed / name).read_bytes()
    local = plan_units([str(mixed / "*.[pa][ar]*")], shards=7, unit_bytes=MIB)
    remote = plan_units(["mem://bucket/columns"], shards=7, unit_bytes=MIB)
    assert len(remote) == 7
    read = [[list(read_documents(unit.pieces, ReadSettings())) for unit in plan] for plan in (local, remote)]
    assert read[0] == read[1]
    assert sum(map(len, read[0])) == 140


def test_one_url_through_smart_open(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl({"text": "over the wire"}))

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: object) -> None:
            super().__init__(*args, directory=str(tmp_path))  # type: ignore[arg-type]

        def log_message(self, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        (unit,) = plan_units([f"{base}/a.jsonl?download=1"], shards=None, unit_bytes=MIB)
        assert unit.pieces[0].source == "a.jsonl"
        (record,) = read_documents(unit.pieces, ReadSettings())
        # This server does not serve ranges: the second half is reached by reading on.
        halves = plan_units([f"{base}/a.jsonl"], shards=2, unit_bytes=MIB)
        assert [len(list(read_documents(half.pieces, ReadSettings()))) for half in halves] == [1, 0]
        with pytest.raises(InputError, match=r"missing\.jsonl' cannot be opened: .*404"):
            list_inputs([f"{base}/missing.jsonl"])
        server.shutdown()
    assert isinstance(record, Record)
    assert record.text == b"over the wire"
