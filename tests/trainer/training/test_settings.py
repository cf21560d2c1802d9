"""Settings of a run: every size has defaults that fit it, and what decides the weights is in a checkpoint's content."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from schemas.config import to_json
from schemas.errors import SettingsError
from schemas.files import canonical_json
from schemas.vocabulary import vocabulary_size
from trainer.cli.train import add, read_settings
from trainer.data.mixing import Mixing
from trainer.model.memory import GPU_BYTES, Load, estimate_memory
from trainer.training.settings import NOT_CONTENT, TrainSettings
from trainer.training.sizes import SIZES, sized_config

SMALL = [name for name, size in SIZES.items() if size.body.body_parameters < 10e6]
LARGE = [name for name in SIZES if name not in SMALL]


def read(*words: str) -> TrainSettings:
    """The settings that a command line asks for."""
    parser = argparse.ArgumentParser()
    add(parser)
    return read_settings(parser.parse_args(words))


@pytest.mark.parametrize("size", SIZES)
def test_the_defaults_of_every_size_make_a_run(size: str) -> None:
    settings = TrainSettings.for_size(size)
    assert settings == read("--size", size)
    assert settings.run_dir == f"runs/{size}"
    for ranks in (1, 2, 4, 8, 64):
        divides = settings.global_batch_size % (ranks * settings.micro_batch_size) == 0
        assert divides or size in SMALL
        if divides and settings.lanes % ranks == 0:
            assert settings.accumulation(ranks) * ranks * settings.micro_batch_size == settings.global_batch_size
    assert settings.accumulation(1) >= 1
    assert settings.sequence_length % SIZES[size].body.attention_window == 0
    assert settings.lr_warmup_steps < settings.steps and settings.mixing.warmup_steps < settings.steps
    assert settings.mixing.warmup_steps == settings.steps // 5, "as in the paper"
    assert settings.checkpoint_steps < settings.steps
    assert settings.checkpoint_steps % settings.eval_every == 0, "no checkpoint adds a measurement"


def test_small_sizes_are_for_a_laptop_and_large_ones_for_gpus() -> None:
    assert SMALL == ["pico", "nano", "micro", "tiny", "mini", "small"]
    for size, row in SIZES.items():
        run = row.run
        config = sized_config(size, vocabulary=vocabulary_size(1 << 16), raw_heads=run.raw_heads)
        symbols = run.micro_batch_size * run.sequence_length
        needed = [
            estimate_memory(
                config,
                Load(
                    symbols=symbols,
                    sharding=run.sharding,
                    world_size=ranks,
                    micro_batches=2,
                    recompute=run.recompute is None,
                ),
            ).total_bytes
            for ranks in (1, 8)
        ]
        if size in SMALL:
            assert (run.sharding, run.recompute) == ("ddp", False)
            assert needed[0] < 4e9
            assert 6 * config.body_parameters * run.steps * run.batch_symbols < 6e12
        else:
            assert needed[1] < GPU_BYTES["80 GB"]
            assert (run.sharding == "ddp") == (needed[0] < GPU_BYTES["40 GB"])


def other(value: Any) -> Any:
    """Another value of a field's type."""
    match value:
        case bool():
            return not value
        case int():
            return 2 * value + (value == 0)
        case float():
            return value / 2
        case Mixing():
            return replace(value, compressed_fraction=0.5)
        case "ddp":
            return "fsdp"
        case "tiny":
            return "pico"
        case "adamw":
            return "muon"
    return f"{value}-other"


@pytest.mark.parametrize("name", [field.name for field in fields(TrainSettings)])
def test_every_setting_is_in_the_content_or_on_the_list_of_those_that_cannot_matter(name: str) -> None:
    settings = TrainSettings.for_size("tiny", device="cpu", cache="c")
    changed = replace(settings, **{name: "proxy" if name == "arm" else other(getattr(settings, name))})
    assert changed != settings
    assert (changed.content() == settings.content()) == (name in NOT_CONTENT)


def test_the_list_names_settings_and_says_why() -> None:
    assert set(NOT_CONTENT) <= {field.name for field in fields(TrainSettings)}
    assert all(len(why) > 5 for why in NOT_CONTENT.values())


def test_each_part_of_the_mixing_is_content() -> None:
    settings = TrainSettings.for_size("tiny")
    changes = {"mode": "sentinel", "compressed_fraction": 0.5, "initial_compressed_fraction": 0.5, "warmup_steps": 3}
    assert set(changes) == {field.name for field in fields(Mixing)}
    for name, value in changes.items():
        changed = replace(settings, mixing=replace(settings.mixing, **{name: value}))
        assert changed.content() != settings.content()


@pytest.mark.parametrize("size", ["pico", "7b"])
def test_a_configuration_file_gives_the_settings_it_was_written_from(size: str, tmp_path: Path) -> None:
    settings = TrainSettings.for_size(
        size, mixing=Mixing(mode="pair-always", warmup_steps=7), weight_decay=0.3, adam_eps=1e-9, cache="c", prefetch=0
    )
    path = tmp_path / "settings.json"
    path.write_bytes(canonical_json(to_json(settings)))
    assert read("--config", str(path)) == settings
    changed = read("--config", str(path), "--weight-decay", "0.2", "--mode", "sentinel")
    assert changed == replace(settings, weight_decay=0.2, mixing=replace(settings.mixing, mode="sentinel"))


def test_a_size_on_the_command_line_gives_its_defaults_where_the_file_says_nothing(tmp_path: Path) -> None:
    path = tmp_path / "some.json"
    path.write_text('{"steps": 7, "mixing": {"mode": "none"}}')
    mixing = replace(SIZES["nano"].run.mixing, mode="none")
    assert read("--config", str(path), "--size", "nano") == TrainSettings.for_size("nano", steps=7, mixing=mixing)


def test_a_file_of_an_older_version_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text('{"row_symbols": 512}')
    with pytest.raises(SettingsError, match=r"has 'row_symbols', which is no setting; known are .*sequence_length"):
        read("--config", str(path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "--steps is 0, it must be at least 1"),
        ({"sequence_length": 1}, "--sequence-length is 1, it must be at least 2"),
        (
            {"batch_symbols": 1000},
            "--batch-symbols is 1000, no whole sequences of 512 ids; take a multiple, such as 512",
        ),
        ({"peak_lr": 0.0}, "--peak-lr is 0.0, it must be above 0 and finite"),
        ({"peak_lr": float("nan")}, "--peak-lr is nan"),
        ({"adam_beta2": 1.0}, "--adam-beta2 is 1.0, it must be at least 0 and below 1"),
        ({"final_lr_share": -0.1}, "--final-lr-share is -0.1, it must be between 0 and 1"),
        ({"weight_decay": -1.0}, "--weight-decay is -1.0, it must be at least 0"),
        ({"clip_norm": 0.0}, "--clip-norm is 0.0, it must be above 0"),
        ({"matrix_lr": 0.0}, "--matrix-lr is 0.0, it must be above 0"),
        ({"matrix_momentum": 1.0}, "--matrix-momentum is 1.0, it must be at least 0 and below 1"),
        ({"optimizer": "sgd"}, "--optimizer is 'sgd'; choose one of adamw, muon"),
        ({"optimizer": "muon", "sharding": "fsdp"}, "muon needs whole matrices, which fsdp divides; .*--sharding ddp"),
        ({"sharding": "pp"}, "--sharding is 'pp'; choose one of ddp, fsdp"),
        ({"cache_bytes": 0}, "--cache-bytes is 0"),
        ({"eval_every": -1}, "--eval-every is -1, it must be at least 0"),
        ({"eval_bytes": 0}, "--eval-bytes is 0, it must be at least 1"),
    ],
)
def test_wrong_settings_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        TrainSettings.for_size("tiny", **change)


def test_an_unknown_size_is_named_with_the_known_ones() -> None:
    with pytest.raises(SettingsError, match="--size is '8b'; choose one of pico, nano, .* medium, 0.5b"):
        TrainSettings.for_size("8b")
