"""A settings dataclass, its options and its JSON file say the same."""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.config import add_config_option, config_value, from_options, to_json
from schemas.errors import SettingsError
from schemas.options import add_options, field_help, flag, option


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """A value with an encoding of its own."""

    bits: float

    @classmethod
    def parse(cls, text: str) -> Target:
        """From `3.5b`."""
        if not text.endswith("b"):
            raise SettingsError(f"target is {text!r}; give bits, such as 3b")
        return cls(bits=float(text[:-1]))

    def __str__(self) -> str:
        return f"{self.bits}b"


@dataclass(frozen=True, kw_only=True, slots=True)
class Inner:
    """Settings within settings."""

    window_bits: int = 16
    """Bits of a symbol, 100 % of them."""
    kind: Literal["plain", "gray"] = "plain"
    """How it is spelled."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Outer:
    """All kinds of fields."""

    inputs: tuple[str, ...] = field(metadata=option("input", metavar="PATH", path=True))
    """Files."""
    names: tuple[str, ...] = field(default=("a", "b"), metadata=option(commas=True))
    """Names, separated
    by commas."""
    inner: Inner = field(default_factory=Inner)
    shards: int | None = None
    """How many shards."""
    share: float = 0.05
    """Share of something."""
    fast: bool = False
    """Whether to hurry."""
    target: Target = field(default_factory=lambda: Target(bits=2.0))
    """What is aimed at."""
    secret: int = field(default=3, metadata=option(hidden=True))


def parser(**more: object) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_config_option(made)
    add_options(made, Outer, **more)  # type: ignore[arg-type]
    return made


def read(*words: str, base: Outer | None = None) -> Outer:
    return from_options(Outer, parser().parse_args(["--input", "x", *words]), base=base)


def test_what_is_left_out_is_the_dataclass_own_default() -> None:
    assert read() == Outer(inputs=("x",))


def test_every_kind_of_option_is_read() -> None:
    found = read(
        "--names", "c,d,e", "--window-bits", "12", "--kind", "gray", "--shards", "4", "--share", "0.5", "--fast"
    )
    expected = Outer(
        inputs=("x",), names=("c", "d", "e"), inner=Inner(window_bits=12, kind="gray"), shards=4, share=0.5, fast=True
    )
    assert found == expected
    assert read("--target", "3b").target == Target(bits=3.0)
    assert not read("--no-fast").fast


def test_an_option_of_several_values_adds_up_and_one_of_a_single_value_is_the_last() -> None:
    found = read("--input", "y", "z", "--shards", "1", "--input", "w", "--shards", "2")
    assert (found.inputs, found.shards) == (("x", "y", "z", "w"), 2)
    assert read("--input", "v").inputs == ("x", "v"), "no state is left of the line before"


def test_a_tilde_is_the_home_directory_in_paths_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "settings.json").write_text(json.dumps({"inputs": ["~/a", "b/~"], "names": ["~/c"]}))
    made = parser()
    assert from_options(Outer, made.parse_args(["--input", "~", "x~"])).inputs == (str(tmp_path), "x~")
    options = made.parse_args(["--config", "~/settings.json", "--input", "y"])
    del options.inputs
    found = from_options(Outer, options)
    assert (found.inputs, found.names) == ((f"{tmp_path}/a", "b/~"), ("~/c",))


def test_help_names_unit_default_and_choices() -> None:
    text = " ".join(parser().format_help().split())
    for words in (
        "--window-bits BITS bits of a symbol, 100 % of them (default: 16)",
        "--kind {plain,gray} how it is spelled (default: plain)",
        "--names NAMES names, separated by commas (default: a,b)",
        "--shards SHARDS how many shards",
        "--share SHARE share of something (default: 0.05)",
        "--target TARGET what is aimed at (default: 2.0b)",
        "--input PATH [PATH ...] files",
    ):
        assert words in text
    assert "--secret" not in text
    assert "--fast whether to hurry" in text
    assert "--no-fast" not in text
    assert "--shards" not in parser(omit=("shards",)).format_help()


def test_a_field_without_explanation_cannot_be_an_option() -> None:
    @dataclass
    class Silent:
        width: int = 1

    with pytest.raises(AssertionError, match=r"Silent\.width"):
        add_options(argparse.ArgumentParser(), Silent)


def test_a_field_that_is_a_path_must_say_so_for_the_home_directory() -> None:
    @dataclass
    class Placed:
        out: str = field(default="", metadata=option(metavar="SIZE|DIR"))
        """Where it goes."""

    with pytest.raises(AssertionError, match=r"Placed\.out has no path=True"):
        add_options(argparse.ArgumentParser(), Placed)


@dataclass(frozen=True, kw_only=True, slots=True)
class Places:
    """Paths that must be somewhere, and one that need not be."""

    shard: str = field(metadata=option(positional=True, path=True))
    """What is read."""
    out: str = field(default="runs", metadata=option("output", path=True))
    """What is written."""
    cache: str = field(default="", metadata=option(path=True))
    """What is kept."""


@pytest.mark.parametrize(
    ("words", "said"),
    [(["a", "--output", ""], "--output is empty; give a path"), ([""], "shard is empty; give a path")],
)
def test_a_path_is_empty_only_where_that_is_the_default(words: list[str], said: str, tmp_path: Path) -> None:
    made = argparse.ArgumentParser()
    add_config_option(made)
    add_options(made, Places)
    assert from_options(Places, made.parse_args(["a", "--cache", ""])) == Places(shard="a")
    with pytest.raises(SettingsError, match=f"^{said}$"):
        from_options(Places, made.parse_args(words))
    (tmp_path / "settings.json").write_text('{"out": ""}')
    with pytest.raises(SettingsError, match="--output is empty"):
        from_options(Places, made.parse_args(["a", "--config", str(tmp_path / "settings.json")]))


def test_a_field_is_named_as_it_is_typed() -> None:
    assert [flag(Places, name) for name in ("shard", "out", "cache")] == ["shard", "--output", "--cache"]
    assert flag(Inner(), "window_bits") == "--window-bits"


def test_wrong_values_end_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["--share", "much"], "invalid float"),
        (["--target", "3"], "give bits"),
        (["--kind", "x"], "gray"),
    ):
        with pytest.raises(SystemExit):
            read(*words)
        assert said in capsys.readouterr().err.splitlines()[-1]


def test_a_required_field_is_a_required_option() -> None:
    with pytest.raises(SystemExit):
        parser().parse_args([])


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"))
"""What a command line can hold."""


@given(
    st.builds(
        Outer,
        inputs=st.lists(TEXT.filter(lambda path: not path.startswith("~")), min_size=1).map(tuple),
        names=st.lists(TEXT, min_size=1).map(tuple),
        inner=st.builds(Inner, window_bits=st.integers(-(2**63), 2**63 - 1), kind=st.sampled_from(("plain", "gray"))),
        shards=st.none() | st.integers(-(2**63), 2**63 - 1),
        share=st.floats(allow_nan=False, allow_infinity=False),
        fast=st.booleans(),
        target=st.builds(Target, bits=st.floats(0, 100)),
        secret=st.integers(-(2**63), 2**63 - 1),
    )
)
def test_what_a_run_wrote_is_read_back(settings: Outer) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "settings.json")
        path.write_text(json.dumps(to_json(settings)), "utf-8")
        options = parser().parse_args(["--config", str(path), "--input", "y"])
        del options.inputs
        assert from_options(Outer, options) == settings


def test_the_command_line_goes_before_the_file_and_the_file_before_the_base(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"shards": 7, "inner": {"window_bits": 12}}))
    base = Outer(inputs=("z",), shards=1, share=0.25)
    found = read("--config", str(path), "--window-bits", "14", base=base)
    assert found == Outer(inputs=("x",), shards=7, share=0.25, inner=Inner(window_bits=14))
    path.write_text(json.dumps({"shards": [7]}))
    with pytest.raises(SettingsError, match=r"has shards=\[7\], which is not a value"):
        config_value(parser().parse_args(["--config", str(path), "--input", "x"]), "shards", 0, int)
    path.write_text(json.dumps({"shards": 7}))
    assert config_value(parser().parse_args(["--config", str(path), "--input", "x"]), "shards", 0, int) == 7


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("[]", "[] where an object is expected"),
        ("[" * 100_000, "cannot be read"),
        ('{"shard": 1}', "'shard', which is no setting"),
        ('{"shards": "many"}', "shards='many'"),
        ('{"shards": true}', "shards=True"),
        ('{"share": null}', "share=None"),
        ('{"kind": "plain"}', "'kind', which is no setting"),
        ('{"inner": {"kind": "odd"}}', "kind='odd'"),
        ('{"inner": 3}', "inner=3"),
        ('{"names": "a"}', "names='a'"),
        ('{"names": [1]}', "names=[1]"),
        ('{"target": "x"}', "target is 'x'"),
    ],
)
def test_a_file_that_is_not_of_such_settings_is_refused(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        read("--config", str(path))
    assert said in str(caught.value)


def test_strings_below_fields_are_found_in_any_class() -> None:
    assert field_help(Inner) == {"window_bits": "bits of a symbol, 100 % of them", "kind": "how it is spelled"}


def test_a_help_keeps_the_capitals_of_a_name() -> None:
    @dataclass
    class Named:
        a: str = ""
        """SentencePiece model."""
        b: str = ""
        """UTF-8 text."""
        c: str = ""
        """A file."""
        d: str = ""
        """Where to go."""

    assert field_help(Named) == {"a": "SentencePiece model", "b": "UTF-8 text", "c": "a file", "d": "where to go"}


def test_a_subclass_has_the_options_of_its_base_with_their_help() -> None:
    @dataclass(frozen=True, kw_only=True, slots=True)
    class Wider(Inner):
        name: str = field(default="a", metadata=option(choices=("a", "b")))
        """Which one."""

    made = argparse.ArgumentParser()
    add_options(made, Wider)
    text = " ".join(made.format_help().split())
    for words in ("--window-bits BITS bits of a symbol, 100 % of them (default: 16)", "--name {a,b} which one"):
        assert words in text
    assert from_options(Wider, made.parse_args(["--name", "b", "--kind", "gray"])) == Wider(name="b", kind="gray")
    with pytest.raises(SystemExit):
        made.parse_args(["--name", "c"])
