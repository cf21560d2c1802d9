"""Baselines by name: the paper's heads and rows, and one line for what would make a name untrue."""

from __future__ import annotations

import argparse
from pathlib import Path

import pytest

from schemas.config import to_json
from schemas.errors import SettingsError
from schemas.files import canonical_json
from trainer.cli.train import add, read_settings
from trainer.training.arms import ARMS
from trainer.training.settings import TrainSettings
from trainer.training.sizes import SIZES

PAPER = str(Path(__file__).parents[3] / "docs/examples/paper/train.json")


def read(*words: str) -> TrainSettings:
    """The settings that a command line asks for."""
    parser = argparse.ArgumentParser()
    add(parser)
    return read_settings(parser.parse_args(words))


def heads(settings: TrainSettings) -> tuple[int, int]:
    return settings.symbol_heads, settings.raw_heads


@pytest.mark.parametrize("words", [("--size", "7b"), ("--config", PAPER)])
def test_the_arms_are_the_papers(words: tuple[str, ...]) -> None:
    """Typed beside the paper's recipe too, whose file names the proxy's mode, heads and rows."""
    proxy, raw, tokens, gzip = (read(*words, "--arm", arm) for arm in ARMS)
    assert (proxy.mixing.mode, proxy.compressor, heads(proxy)) == ("pair-warmup", "neural", (1, 1))
    assert (raw.mixing.mode, raw.compressor, heads(raw)) == ("raw-only", None, (8, 0))
    assert (tokens.mixing.mode, tokens.compressor, heads(tokens)) == ("comp-only", "tokenizer", (2, 0))
    assert (gzip.mixing.mode, gzip.compressor, heads(gzip)) == ("pair-warmup", "gzip", (1, 0))
    assert proxy.sequence_length == raw.sequence_length == gzip.sequence_length == 16_384
    assert (tokens.sequence_length, tokens.micro_batch_size) == (4096, 4)
    assert len({arm.batch_symbols for arm in (proxy, raw, tokens, gzip)}) == 1


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("arm", ARMS)
def test_every_arm_of_every_size_is_a_run_of_its_own(size: str, arm: str) -> None:
    settings = read("--size", size, "--arm", arm)
    assert settings.run_dir == (f"runs/{size}" if arm == "proxy" else f"runs/{arm}-{size}")
    assert settings.accumulation(1) >= 1
    assert settings.global_batch_size * settings.sequence_length == SIZES[size].run.batch_symbols


def test_what_is_typed_wins_over_an_arm_and_an_arm_over_a_file(tmp_path: Path) -> None:
    settings = read("--arm", "bytes", "--symbol-heads", "4", "--steps", "7")
    assert (heads(settings), settings.steps) == ((4, 0), 7)
    path = tmp_path / "settings.json"
    path.write_bytes(canonical_json(to_json(settings)))
    assert read("--config", str(path)) == settings
    changed = read("--config", str(path), "--arm", "gzip")
    assert (changed.arm, changed.compressor, heads(changed), changed.steps) == ("gzip", "gzip", (1, 0), 7)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--arm bytes --mode pair-warmup", "--arm bytes trains on raw bytes alone, --mode is pair-warmup; .* raw-only"),
        ("--arm bytes --compressor neural", "raw bytes alone, --compressor is neural; .*or leave --compressor out"),
        ("--arm tokens --mode raw-only", "tokens alone, --mode is raw-only; .*take --mode comp-only"),
        ("--arm tokens --compressor neural", "tokens alone, --compressor is neural; .*take --compressor tokenizer"),
        ("--arm tokens --raw-heads 1", "teaches nothing to heads over raw bytes, --raw-heads is 1; take 0"),
        ("--arm gzip --compressor neural", "gzip's, --compressor is neural; .*take --compressor gzip"),
        ("--arm gzip --mode comp-only", "gzip's, --mode is comp-only"),
        ("--arm proxy --mode raw-only", "raw bytes and a compressor's symbols, --mode is raw-only"),
    ],
)
def test_what_would_make_the_name_untrue_is_refused(words: str, message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        read(*words.split())
    assert "\n" not in str(caught.value)


def test_an_unknown_arm_is_named_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="--arm is 'words'; choose one of proxy, bytes, tokens, gzip"):
        TrainSettings.for_size("tiny", arm="words")  # type: ignore[arg-type]


def test_a_proxy_without_a_compressor_is_refused() -> None:
    with pytest.raises(SettingsError, match="--compressor is None; .*take --compressor neural"):
        TrainSettings.for_size("tiny", arm="proxy", compressor=None)
