"""A settings dataclass as command-line options, so that each default and explanation is typed once.

    class Settings:
        unit_bytes: int = 8 << 20   ──►  --unit-bytes BYTES  input per shard (default: 8388608)
        \"\"\"Input per shard.\"\"\"

Every field is an option, `--` and its name with hyphens; its help is the string below it in the class. A field whose
type is a dataclass contributes its own fields. `field(metadata=option(...))` says what the type cannot. What was typed
becomes settings in `schemas.config`.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal, NoReturn

from schemas.errors import UserError
from schemas.json_files import MOST, said

OPTION = "option"
"""Key of a field's metadata under which `option` is kept."""
_UNITS = ("bytes", "bits", "symbols", "steps", "documents", "share", "fraction", "seconds", "shards", "rows", "heads")

_PLACES = {"DIR", "FILE", "PATH", "SHARD"}
"""Words of the help for values that are paths."""


def option(
    name: str = "",
    *,
    metavar: str = "",
    default: str = "",
    positional: bool = False,
    commas: bool = False,
    path: bool = False,
    choices: Sequence[str] = (),
    hidden: bool = False,
) -> dict[str, Any]:
    """Metadata of a field: how its option differs from what the field's name and type say.

    name: the option without `--`. metavar: what stands for the value in the help. default: what the help says of the
    default where the value itself tells little. positional: an argument without a name. commas: a tuple as one word,
    separated by commas. path: the value, or each of a tuple, is a path, in which a leading `~` is the home directory.
    choices: the only values, where they are known only when the program runs, such as the names in a table.
    hidden: no option; the field can be set in a configuration file only.
    """
    return {
        OPTION: {
            "name": name,
            "metavar": metavar,
            "default": default,
            "positional": positional,
            "commas": commas,
            "path": path,
            "choices": choices,
            "hidden": hidden,
        }
    }


@dataclasses.dataclass(frozen=True, kw_only=True, slots=True)
class _Leaf:
    """One field that holds a value, wherever it lies in nested dataclasses."""

    path: tuple[str, ...]
    type: Any
    """Without `| None`."""
    help: str
    default: Any
    has_default: bool
    own: Mapping[str, Any]
    """What `option()` said."""

    @property
    def flag(self) -> str:
        return _flag(self.path[-1], self.own)

    @property
    def is_tuple(self) -> bool:
        return typing.get_origin(self.type) is tuple

    @property
    def metavar(self) -> str:
        if self.own.get("metavar"):
            return str(self.own["metavar"])
        last = self.path[-1].rpartition("_")[2]
        return last.upper() if last in _UNITS else {int: "N", float: "X"}.get(self.type, last.upper())


def flag(settings: Any, name: str) -> str:
    """How a field of a settings dataclass is typed, for errors: `--unit-bytes`, or the bare name of an argument."""
    own = settings.__dataclass_fields__[name].metadata.get(OPTION, {})
    return name if own.get("positional") else _flag(name, own)


def _flag(name: str, own: Mapping[str, Any]) -> str:
    return "--" + (own.get("name") or name.replace("_", "-"))


def field_help(cls: type) -> dict[str, str]:
    """The string below each field of a dataclass and of those it inherits from, on one line, without its full stop."""
    found: dict[str, str] = {}
    for base in cls.__bases__:
        if dataclasses.is_dataclass(base):
            found |= field_help(base)
    body = ast.parse(inspect.cleandoc("\n" + inspect.getsource(cls))).body[0]
    assert isinstance(body, ast.ClassDef)
    for node, below in zip(body.body, body.body[1:], strict=False):
        match node, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(words))):
                text = " ".join(words.split()).replace("`", "").removesuffix(".")
                first = text.partition(" ")[0]
                found[name] = text if any(map(str.isupper, first[1:])) else text[:1].lower() + text[1:]
    return found


def _leaves(cls: Any, base: Any = None, path: tuple[str, ...] = ()) -> Iterator[_Leaf]:
    hints, texts = typing.get_type_hints(cls), field_help(cls)
    for field in dataclasses.fields(cls):
        kind = without_none(hints[field.name])
        if base is not None:
            default = getattr(base, field.name)
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        else:
            default = field.default
        here = (*path, field.name)
        if holds_settings(kind):
            yield from _leaves(kind, None if default is dataclasses.MISSING else default, here)
            continue
        yield _Leaf(
            path=here,
            type=kind,
            help=texts.get(field.name, ""),
            default=default,
            has_default=default is not dataclasses.MISSING,
            own=field.metadata.get(OPTION, {}),
        )


def typed_flags(cls: type, options: argparse.Namespace) -> list[str]:
    """Which options of a settings dataclass a command line names, those of a `--config` not among them."""
    return [leaf.flag for leaf in _leaves(cls) if hasattr(options, leaf.path[-1])]


def holds_settings(kind: Any) -> bool:
    """Whether a field's type is a dataclass of further settings, and not one value with a text form of its own."""
    return dataclasses.is_dataclass(kind) and not hasattr(kind, "parse")


def without_none(hint: Any) -> Any:
    """The type X of a hint `X | None`; any other hint as it is."""
    if isinstance(hint, types.UnionType) or typing.get_origin(hint) is typing.Union:
        (kind,) = [part for part in typing.get_args(hint) if part is not type(None)]
        return kind
    return hint


def add_options(
    parser: argparse._ActionsContainer, cls: type, *, omit: Sequence[str] = (), base: Any = None, defaults: str = ""
) -> None:
    """An option for every field of a settings dataclass but those in `omit`, in a parser or one of its groups.

    base: an object of `cls` whose values are the defaults that the help names. defaults: said of each default instead,
    where it depends on another option.
    """
    for leaf in _leaves(cls, base):
        if leaf.own.get("hidden") or leaf.path[-1] in omit or leaf.path[0] in omit:
            continue
        assert leaf.help, f"{cls.__name__}.{'.'.join(leaf.path)} has no string below it to explain it"
        is_place = not _PLACES.isdisjoint(leaf.metavar.split("|"))
        assert leaf.own.get("path") or not is_place, f"{cls.__name__}.{leaf.path[-1]} has no path=True, so `~` stays"
        said = leaf.own.get("default") or defaults or _said(leaf)
        words: dict[str, Any] = {
            "help": (f"{leaf.help} (default: {said})" if said else leaf.help).replace("%", "%%"),
            "default": argparse.SUPPRESS,
        }
        if leaf.own.get("positional"):
            words["nargs"] = "?" if leaf.has_default else None
            parser.add_argument(leaf.path[-1], metavar=leaf.metavar, **words)
            continue
        words["dest"] = leaf.path[-1]
        if leaf.type is bool:
            switch = parser.add_argument(leaf.flag, action=_Switch, **words)
            if not leaf.default:
                # `--no-…` is understood, to undo what a configuration file says, but would only lengthen the help.
                switch.option_strings = [leaf.flag]
            continue
        if leaf.own.get("choices") or typing.get_origin(leaf.type) is Literal:
            words["choices"] = leaf.own.get("choices") or typing.get_args(leaf.type)
        else:
            words["metavar"] = leaf.metavar
            words["type"] = str if leaf.is_tuple else _reader(leaf.type)
            if leaf.is_tuple and not leaf.own.get("commas"):
                # `--input a --input b` is both, not the last alone, which nothing would tell.
                words["nargs"], words["action"] = "+", "extend"
        parser.add_argument(leaf.flag, required=not leaf.has_default, **words)


class OneLineParser(argparse.ArgumentParser):
    """A parser, and that of its commands, whose errors are one line on standard error and exit status 2."""

    def error(self, message: str) -> NoReturn:
        """Say what is wrong and where the help is."""
        self.exit(2, f"error: {message}; see `{self.prog} --help`\n")


class _Switch(argparse.BooleanOptionalAction):
    """`--name` sets True, `--no-name` False, whichever of the two the help shows."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: Any = None
    ) -> None:
        setattr(namespace, self.dest, not str(option_string).startswith("--no-"))


def _said(leaf: _Leaf) -> str:
    """The default, as the help names it; empty where there is nothing to say."""
    if not leaf.has_default or leaf.default is None or leaf.default is False or leaf.default in ("", ()):
        return ""
    if leaf.is_tuple:
        return ("," if leaf.own.get("commas") else " ").join(leaf.default)
    if leaf.default is True:
        return "yes"
    return str(leaf.default)


def _reader(kind: Any) -> Callable[[str], Any]:
    """What reads a value of a type from a word; its errors are those that argparse tells."""
    if kind is int:
        return _integer
    if not hasattr(kind, "parse"):
        return kind

    def parse(word: str) -> Any:
        try:
            return kind.parse(word)
        except UserError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def _integer(word: str) -> int:
    try:
        value = int(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"invalid int value: {said(word)}") from None
    if not -MOST <= value < MOST:
        raise argparse.ArgumentTypeError(f"{said(word)} has more than 63 bits")
    return value
