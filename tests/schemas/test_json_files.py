"""What JSON files may hold, and that whatever else they hold is one line."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given

from schemas.errors import ArtifactError, UserError, tell
from schemas.json_files import MAX_DEPTH, Count, parse_json, read_json, read_record, record
from tests.schemas.hostile_json import VALUES


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    name: str
    share: float = 0.5


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    rows: Count
    small: Annotated[int, range(2, 5)]
    kind: Literal["a", "b"]
    inner: Inner
    several: tuple[Inner, ...] = ()
    counts: dict[str, Count] = field(default_factory=dict)
    perhaps: float | None = None
    anything: Any = None


WHOLE: dict[str, Any] = {
    "rows": 1, "small": 2, "kind": "a", "inner": {"name": "x", "share": 1}, "several": [], "counts": {"a": 0},
    "perhaps": None, "anything": [1],
}  # fmt: skip


@given(VALUES)
def test_what_is_written_is_read(value: Any) -> None:
    text = json.dumps(value)
    try:
        found = parse_json(text.encode())
    except ValueError as error:
        assert "\n" not in str(error)
        assert any(mark in text for mark in ("NaN", "Infinity", "\\u0000", "\\ud", "999"))
        return
    assert found == value


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b"1 2", "not JSON"),
        (b"\xff", "byte 0 is not UTF-8"),
        (b"[NaN]", "NaN is no number"),
        (b"[-Infinity]", "-Infinity is no number"),
        (b"[1e999]", "1e999 is no number"),
        (b'{"a": 1, "b": 2, "a": 3}', "the key 'a' twice"),
        (b'["\\ud800"]', r"the string '\\ud800', which is no text"),
        (b'{"a\\u0000": 1}', r"the string 'a\\x00', which is no text"),
        (b"[" + b"7" * 5000 + b"]", "an integer of 5000 digits"),
        (b"[" * 10_000 + b"]" * 10_000, "more than 100 deep"),
        (b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1), "more than 100 deep"),
        (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "more than 100 deep"),
    ],
)
def test_what_is_not_kept(data: bytes, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_json(data)


def test_a_mark_at_the_beginning_and_a_legal_depth_pass() -> None:
    assert parse_json(b"\xef\xbb\xbf[1]") == [1]
    assert parse_json(b"[" * MAX_DEPTH + b"]" * MAX_DEPTH)
    assert parse_json(b'["\\\\u0000 \\ud83d\\ude00"]') == ["\\u0000 😀"]


def test_what_other_programs_write_is_read() -> None:
    found = parse_json(b'{"a": NaN, "b": "\\ud800", "c": 1, "c": 2, "d": ' + b"7" * 5000 + b"}", foreign=True)
    assert found["a"] != found["a"] and found["c"] == 2 and found["d"] == "7" * 5000
    with pytest.raises(ValueError, match="more than 100 deep"):
        parse_json(b"[" * 10_000, foreign=True)


def test_a_record_has_the_types_of_its_fields() -> None:
    found = record(Outer, {**WHOLE, "several": [{"name": "y", "share": 0.25}]})
    assert found.inner == Inner(name="x", share=1.0) and type(found.inner.share) is float
    assert found.several == (Inner(name="y", share=0.25),)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rows": -1}, "rows is -1, not an integer from 0 to"),
        ({"rows": True}, "rows is True"),
        ({"rows": 1.0}, "rows is 1.0"),
        ({"rows": 1 << 63}, "rows is 9223372036854775808"),
        ({"small": 5}, "small is 5, not an integer from 2 to 4"),
        ({"kind": "c"}, "kind is 'c', not one of a, b"),
        ({"inner": {"name": 1, "share": 1}}, "inner: name is 1, not str"),
        ({"inner": {"share": 1}}, "inner: no key 'name'"),
        ({"inner": []}, r"inner: \[\] where an object is expected"),
        ({"several": {}}, "several is {}, not tuple"),
        ({"several": [1]}, r"several\[0\]: 1 where an object is expected"),
        ({"counts": {"a": None}}, r"counts\['a'\] is None"),
        ({"perhaps": "x"}, "perhaps is 'x', not float"),
        ({"more": 1}, "unknown key 'more'"),
    ],
)
def test_a_record_of_other_types_is_refused_by_name(change: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        record(Outer, {**WHOLE, **change})


def test_keys_may_be_missing_or_more_where_that_is_said() -> None:
    few = {name: WHOLE[name] for name in ("rows", "small", "kind", "inner")}
    with pytest.raises(ValueError, match="no key 'several'"):
        record(Outer, few)
    assert record(Outer, {**few, "more": 1}, only=False, whole=False).counts == {}


@pytest.mark.parametrize("make", [lambda path: None, Path.mkdir, lambda path: path.write_bytes(b"[]")])
def test_a_file_that_is_none_is_named_with_the_remedy(make: Any, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    make(path)
    for read in (read_json, lambda *words, **more: read_record(Inner, *words, **more)):
        with pytest.raises(ArtifactError, match=r"a\.json cannot be read \(.*\); make it again"):
            read(path, error=ArtifactError, remedy="make it again")


def test_one_line_and_no_orders_to_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    assert tell(UserError("a\nb\x1b[2Jc\ud800é")) == 2
    assert capsys.readouterr().err == "error: a\\nb\\x1b[2Jc\\ud800é\n"
    assert tell(PermissionError(13, "Permission denied", "/x/y")) == 1
    assert capsys.readouterr().err.startswith("error: /x/y: Permission denied; ")
    with pytest.raises(OSError, match="ours"):
        tell(OSError("ours"))
