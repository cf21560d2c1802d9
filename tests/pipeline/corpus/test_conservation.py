"""What the inputs name ends as documents, as rejects, or as a named "not read": whatever servers and links do."""

from __future__ import annotations

import gzip
import io
import itertools
import json
import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipeline.corpus.discover import list_inputs
from pipeline.corpus.read import read_documents
from pipeline.corpus.records import Record
from pipeline.corpus.settings import ReadSettings
from pipeline.corpus.source_files import NotRead
from pipeline.corpus.units import WorkUnit
from pipeline.storage import open as open_module
from schemas import patience
from schemas.errors import InputError, UnreachableError
from schemas.patience import Patience
from schemas.rejects import Reject
from tests.pipeline.corpora import jsonl, plan_units, table, texts
from tests.pipeline.web_server import Fault, Site, serve

COUNT = 40
EXPECTED = texts(COUNT)
UNIT_BYTES = 1500


def columns(kind: str) -> bytes:
    sink = io.BytesIO()
    if kind == "parquet":
        pq.write_table(table(COUNT), sink, row_group_size=10)
    else:
        with pa.ipc.new_file(sink, table(COUNT).schema) as writer:
            writer.write_table(table(COUNT), max_chunksize=10)
    return sink.getvalue()


LINES = jsonl(*({"text": text} for text in EXPECTED))
FILES = {
    "a.jsonl": LINES,
    "a.jsonl.gz": gzip.compress(LINES, mtime=0),
    "a.jsonl.zst": zstandard.compress(LINES),
    "a.parquet": columns("parquet"),
    "a.arrow": columns("arrow"),
}
FAULTS = {
    **{str(status): Fault(status=status) for status in (408, 429, 500, 502, 503, 504)},
    "asked to wait": Fault(status=429, retry_after="3600"),
    "hangs up": Fault(refuse=True),
    "cut at once": Fault(cut_after=0),
    "cut": Fault(cut_after=700),
    "stalls": Fault(stall_after=2000),
}


@pytest.fixture(autouse=True)
def little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    short = Patience(waits_s=(0.0, 0.0, 0.0), longest_wait_s=0.0, timeout_s=0.2)
    monkeypatch.setattr(patience, "PATIENCE", short)


def plan(url: str) -> list[WorkUnit]:
    return plan_units([url], shards=None, unit_bytes=UNIT_BYTES)


def read(units: Sequence[WorkUnit]) -> list[Record | Reject]:
    return [item for unit in units for item in read_documents(unit.pieces, ReadSettings())]


def documents(items: Sequence[Record | Reject]) -> list[str]:
    return [item.text.decode() for item in items if isinstance(item, Record)]


def rejects(items: Sequence[Record | Reject]) -> list[Reject]:
    return [item for item in items if isinstance(item, Reject)]


def at(numbers: Callable[[int], bool], fault: Fault) -> Callable[[int, str], Fault | None]:
    return lambda number, path: fault if numbers(number) else None


SITES = list(itertools.product((True, False), (True, False)))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("lengths", "ranges"), SITES)
def test_every_document_comes_whatever_a_server_tells(name: str, lengths: bool, ranges: bool) -> None:
    for longest in (None, 100):
        site = Site(files=FILES, lengths=lengths, ranges=ranges, longest_range=longest)
        with serve(site) as base:
            units = plan(f"{base}/{name}")
            assert documents(read(units)) == EXPECTED
        known = [piece.size_bytes is not None for unit in units for piece in unit.pieces]
        assert known == [lengths] * len(known)
        assert (len(units) > 1) == (lengths and name in ("a.jsonl", "a.parquet", "a.arrow"))


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", FILES)
def test_one_fault_at_any_request_loses_nothing(name: str, fault: str) -> None:
    for lengths, ranges in SITES:
        site = Site(files=FILES, lengths=lengths, ranges=ranges)
        with serve(site) as base:
            read(plan(f"{base}/{name}"))
        for number in range(len(site.requests)):
            broken = Site(files=FILES, lengths=lengths, ranges=ranges, fault=at(number.__eq__, FAULTS[fault]))
            with serve(broken) as base:
                assert documents(read(plan(f"{base}/{name}"))) == EXPECTED, (lengths, ranges, number)
            assert len(broken.requests) >= len(site.requests)


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
@pytest.mark.parametrize("fault", ["503", "cut", "hangs up"])
def test_columns_that_are_looked_into_by_ranges(name: str, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(open_module, "SPOOLED_BYTES", 0)
    site = Site(files=FILES)
    with serve(site) as base:
        units = plan(f"{base}/{name}")
        assert documents(read(units)) == EXPECTED
        assert len(site.requests) > len(units) + 2
        site.fault = at(lambda number: number % 2 == 0, FAULTS[fault])
        assert documents(read(plan(f"{base}/{name}"))) == EXPECTED


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", FILES)
def test_a_fault_that_stays_is_named(name: str, fault: str) -> None:
    site = Site(files=FILES)
    with serve(site) as base:
        read(plan(f"{base}/{name}"))
    for first in {0, 1, len(site.requests) - 1}:
        with serve(Site(files=FILES, fault=at(first.__le__, FAULTS[fault]))) as base:
            try:
                # A server that sends 700 bytes at a time is slow, but sends everything.
                assert documents(read(plan(f"{base}/{name}"))) == EXPECTED
                assert fault in ("cut", "stalls")
            except UnreachableError as error:
                assert f"{base}/{name} failed 4 times" in str(error)
                assert "run the same command again" in str(error)
                assert "\n" not in str(error)
                assert "object at" not in str(error)


@pytest.mark.parametrize("status", [401, 403, 404, 410])
@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_is_a_reject_with_its_bytes(name: str, status: int) -> None:
    site = Site(files=FILES)
    with serve(site) as base:
        units = plan(f"{base}/{name}")
        site.fault = at(lambda number: True, Fault(status=status))
        items = read(units)
        with pytest.raises(InputError, match=rf"{name}' cannot be opened: {status}"):
            plan(f"{base}/{name}")
    assert {reject.reason for reject in rejects(items)} == {"unreadable"}
    assert sum(reject.lost_bytes or 0 for reject in rejects(items)) == len(FILES[name])
    assert documents(items) == []


def test_a_file_of_unknown_size_that_is_gone_has_lost_unknown_bytes() -> None:
    site = Site(files=FILES, lengths=False)
    with serve(site) as base:
        units = plan(f"{base}/a.jsonl")
        site.files = {}
        (reject,) = rejects(read(units))
    assert reject.lost_bytes is None
    assert json.loads(reject.to_line())["lost_bytes"] is None


def break_once_and_change(site: Site, first: int, number: int, path: str) -> Fault | None:
    """The answer breaks off, and from then on the server has another file of the same size."""
    if number == first:
        return Fault(cut_after=150)
    site.files[path] = bytes(reversed(FILES[path]))
    site.versions[path] = '"2"'
    return None


@pytest.mark.parametrize("name", FILES)
def test_two_versions_are_never_mixed(name: str) -> None:
    for ranges in (True, False):
        site = Site(files=dict(FILES), ranges=ranges)
        with serve(site) as base:
            whole = plan_units([f"{base}/{name}"], shards=1, unit_bytes=1 << 30)
            site.fault = partial(break_once_and_change, site, len(site.requests))
            items = read(whole)
        assert set(documents(items)) < set(EXPECTED)
        assert sum(reject.lost_bytes or 0 for reject in rejects(items)) > 0
        assert any("changed while it was read" in reject.detail for reject in rejects(items))


@pytest.mark.parametrize("new_size", [0, 1, 700, len(LINES) - 1, len(LINES) + 30])
def test_a_file_that_has_another_size_than_planned_says_so(tmp_path: Path, new_size: int) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    units = plan(str(path))
    path.write_bytes((LINES + b'{"text": "appended later"}\n' * 9)[:new_size])
    items = read(units)
    changed = [reject for reject in rejects(items) if "when the run was planned" in reject.detail]
    assert sum(reject.lost_bytes or 0 for reject in changed) == abs(len(LINES) - new_size)
    assert EXPECTED[: len(documents(items))] == documents(items)
    assert len(documents(items)) >= COUNT - 1 or new_size < len(LINES) - 1


def test_a_server_that_knew_less_while_the_run_was_planned() -> None:
    site = Site(files={"a.jsonl": LINES[:100]})
    with serve(site) as base:
        units = plan(f"{base}/a.jsonl")
        site.files["a.jsonl"] = LINES
        items = read(units)
    assert sum(reject.lost_bytes or 0 for reject in rejects(items)) == len(LINES) - 100


def test_names_of_hosts_and_ports_that_are_not() -> None:
    with pytest.raises(InputError, match="its host is not known"):
        plan("http://no-such-host.invalid/a.jsonl")
    with serve(Site(files={})) as base:
        pass
    with pytest.raises(UnreachableError, match=r"failed 4 times .*refused"):
        plan(f"{base}/a.jsonl")


def test_queries_may_be_secret(tmp_path: Path) -> None:
    with (
        serve(Site(files=FILES, fault=at(lambda number: True, Fault(status=503)))) as base,
        pytest.raises(UnreachableError) as caught,
    ):
        plan(f"{base}/a.jsonl?signature=secret")
    assert "secret" not in str(caught.value)


# Links


@pytest.fixture
def linked(tmp_path: Path) -> Iterator[Path]:
    root, real = tmp_path / "d", tmp_path / "real"
    root.mkdir()
    real.mkdir()
    (real / "w.jsonl").write_bytes(jsonl({"text": "a"}, {"text": "b"}))
    (root / "l.jsonl").write_bytes(jsonl({"text": "local"}))
    os.symlink("../real/w.jsonl", root / "w.jsonl")
    yield root


def listed(root: Path) -> tuple[list[str], dict[str, str]]:
    listing = list_inputs([str(root)])
    reasons = {name.path.removeprefix(f"{root}/"): name.reason for name in listing.not_read}
    return [file.source for file in listing.files], reasons


def test_linked_files_are_read(linked: Path) -> None:
    assert documents(read(plan(str(linked)))) == ["local", "a", "b"]
    (linked / "l.jsonl").unlink()
    assert documents(read(plan(str(linked)))) == ["a", "b"]


def test_linked_directories_are_read_once(linked: Path) -> None:
    os.symlink("../real", linked / "first")
    os.symlink(linked.parent / "real", linked / "second")
    assert listed(linked) == (
        ["first/w.jsonl", "l.jsonl"],
        {
            "second": f"the same directory as {linked.parent}/real",
            "w.jsonl": f"the same file as {linked}/first/w.jsonl",
        },
    )


def test_a_corpus_behind_a_link_gets_the_same_names(linked: Path) -> None:
    """Of a file under two names the one without a link, wherever the corpus lies."""
    (linked / "b.jsonl").write_bytes(jsonl({"text": "b"}))
    os.symlink("b.jsonl", linked / "a.jsonl")
    os.symlink("d", linked.parent / "elsewhere")
    expected = ["b.jsonl", "l.jsonl", "w.jsonl"]
    assert listed(linked)[0] == listed(linked.parent / "elsewhere")[0] == expected
    assert [file.source for file in list_inputs([f"{linked.parent}/elsewhere/"]).files] == expected


def test_links_that_lead_around_in_circles(linked: Path) -> None:
    os.symlink(".", linked / "here")
    os.symlink("..", linked / "up")
    os.symlink("/", linked / "everything")
    (linked.parent / "real/deep").mkdir()
    (linked.parent / "real/deep/x.jsonl").write_bytes(jsonl({"text": "x"}))
    os.symlink("../..", linked.parent / "real/deep/back")
    os.symlink("../real", linked / "real")
    sources, reasons = listed(linked)
    assert sources == ["l.jsonl", "real/deep/x.jsonl", "real/w.jsonl"]
    around = "a link to a directory around it"
    assert reasons["up"] == reasons["everything"] == reasons["here"] == reasons["real/deep/back"] == around


def test_a_link_to_nothing_is_a_reject_and_a_pipe_is_named(linked: Path) -> None:
    os.symlink("nowhere", linked / "lost.jsonl")
    os.mkfifo(linked / "pipe.jsonl")
    items = read(plan(str(linked)))
    (reject,) = rejects(items)
    assert (reject.source, reject.reason, reject.lost_bytes) == ("lost.jsonl", "unreadable", None)
    assert listed(linked)[1] == {"pipe.jsonl": "no regular file"}
    # The same by a glob, which matches links to nothing too.
    assert [item.source for item in rejects(read(plan(f"{linked}/*.jsonl")))] == ["lost.jsonl"]
    listing = list_inputs([f"{linked}/*.jsonl"])
    assert listing.not_read == (NotRead(path=f"{linked}/pipe.jsonl", reason="no regular file", size_bytes=None),)


def test_a_directory_that_a_glob_matches_is_read_unless_the_glob_says_what_of_it(linked: Path) -> None:
    (linked / "sub/deep").mkdir(parents=True)
    (linked / "sub/deep/y.jsonl").write_bytes(jsonl({"text": "y"}))
    (linked / "sub/deep/notes.md").write_text("notes")
    assert [file.source for file in list_inputs([f"{linked}/**/deep"]).files] == ["sub/deep/y.jsonl"]
    everything = [file.source for file in list_inputs([f"{linked}/**/*"]).files]
    assert everything == ["l.jsonl", "sub/deep/notes.md", "sub/deep/y.jsonl", "w.jsonl"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root can list every directory")
def test_a_directory_that_cannot_be_listed_is_an_error(linked: Path) -> None:
    (linked / "closed").mkdir(mode=0)
    with pytest.raises(InputError, match="closed cannot be listed"):
        plan(str(linked))
