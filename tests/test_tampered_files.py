"""A few of `make soak SOAK=files`: every file that commands read, tampered with, and that its laws can be broken."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from schemas import json_files
from schemas.errors import UserError
from schemas.manifest import read_manifest
from tests.soak.files import try_one
from tests.soak.laws import BrokenLawError
from tests.soak.scene import TARGETS, Target, make_scene
from tests.soak.tampered import places, tamper
from trainer.data.loader_state import read_state
from trainer.training import checkpoint


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scene(tmp_path_factory.mktemp("scene"))


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.path)
def test_a_tampered_file_is_read_or_refused_in_one_line(target: Target, scene: Path, tmp_path: Path) -> None:
    few = Target(path=target.path, kind=target.kind, commands=target.commands[:1])
    for number in range(2):
        try_one(scene, tmp_path / "copy", few, random.Random(f"suite {number} {target.path}"))


@pytest.mark.parametrize(
    ("path", "read"),
    [
        ("data/manifest.json", lambda path: read_manifest(path.parent)),
        ("run/checkpoints/step-00000002/state.json", lambda path: _read_state(path.parent)),
    ],
)
def test_a_thousand_manifests_and_states(
    path: str, read: Callable[[Path], object], scene: Path, tmp_path: Path
) -> None:
    """By their readers alone."""
    whole, copy = (scene / path).read_bytes(), tmp_path / Path(path).name
    refused = 0
    for number in range(1000):
        _, changed = tamper(whole, "json", random.Random(f"suite {number}"))
        copy.write_bytes(changed or b"")
        try:
            read(copy)
        except UserError as error:
            assert "\n" not in str(error)
            refused += 1
    assert 400 < refused < 900


def _read_state(folder: Path) -> None:
    """As a run that goes on reads it."""
    state = checkpoint.read_state(str(folder))
    checkpoint.refuse_other_step(state)
    lanes = 4
    read_state(state["loader"], {"sequence_length": 64}, lanes)


def test_a_traceback_breaks_the_law(scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(data: bytes, *, foreign: bool = False) -> object:
        raise KeyError("rows")

    monkeypatch.setattr(json_files, "parse_json", careless)
    with pytest.raises(BrokenLawError, match="KeyError: 'rows'"):
        try_one(scene, tmp_path / "copy", TARGETS[0], random.Random(0))


def test_every_change_changes_a_file() -> None:
    data = b'{"a": [1, {"b": "x"}], "c": 0.5}\n'
    assert list(places({"a": [1]})) == [("a",), ("a", 0)]
    for kind in ("json", "lines", "csv", "bytes"):
        made = {tamper(data, kind, random.Random(seed))[1] for seed in range(60)}
        assert (len(made) > 25 and None in made) or kind == "lines"
