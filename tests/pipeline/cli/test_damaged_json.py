"""Every JSON file of a dataset, damaged at random: each command that reads it ends in a result or in one line."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.__main__ import main
from tests.pipeline.corpora import jsonl, texts

MUTATIONS = 60
JUNK: list[Any] = [None, True, -1, 0, 10**400, 1.5, float("nan"), "", "a\0b", "\ud800", "../x", [], {}, [[]], {"a": 1}]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value below the outermost."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in inner:
        yield (*path, key)
        yield from places(below, (*path, key))


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The file with a key lost, added or of another type; or no JSON any more."""
    kind = rng.random()
    if kind < 0.15:
        return rng.choice([b"[" * 100_000, data[: rng.randrange(len(data))], b"\xff" + data, b"", b"7" * 5000])
    value = json.loads(data)
    *outer, key = rng.choice(list(places(value)))
    holder = value
    for step in outer:
        holder = holder[step]
    if kind < 0.35:
        del holder[key]
    elif kind < 0.45 and isinstance(holder, dict):
        holder[rng.choice(["new", "\ud800", "a\0"])] = rng.choice(JUNK)
    else:
        holder[key] = rng.choice(JUNK)
    return json.dumps(value).encode()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("damaged")
    (directory / "c.jsonl").write_bytes(jsonl(*({"text": text} for text in texts(30))))
    assert main(["preprocess", *again(directory)]) == 0
    return directory


def again(directory: Path) -> list[str]:
    names = ["--input", str(directory / "c.jsonl"), "--output", str(directory / "out")]
    return [*names, "--compressors", "gzip", "--workers", "1"]


@pytest.mark.parametrize("name", ["manifest.json", "report.json", "settings.json"])
def test_damaged_json_is_one_line(name: str, dataset: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = dataset / "out" / name
    whole, rng = path.read_bytes(), random.Random(name)
    out = str(dataset / "out")
    commands = [
        ["verify", out],
        ["show", out, "--head", "1"],
        ["decode", out, "--out", str(dataset / "back")],
        ["plan", out, "--bytes", "1e9"],
        ["preprocess", *again(dataset)],
    ]
    for _ in range(MUTATIONS):
        data = damaged(whole, rng)
        path.write_bytes(data)
        for words in commands:
            shutil.rmtree(dataset / "back", ignore_errors=True)
            capsys.readouterr()
            try:
                status = main(words)
            except SystemExit as stop:
                status = int(stop.code or 0)
            errors = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
            assert status in (0, 1, 2), (words, data)
            assert len(errors) == (status != 0), (words, data, errors)
            assert path.exists()
    path.write_bytes(whole)
