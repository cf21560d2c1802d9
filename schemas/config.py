"""Settings from a command line and a JSON file, and back to JSON.

    --unit-bytes 4096                    ──┐
    --config FILE  {"unit_bytes": 8192}  ──┼──►  Settings(unit_bytes=4096)  ──►  {"unit_bytes": 4096, …}
    defaults, or those of a base         ──┘

What a command line leaves out comes from the file, what that leaves out from the dataclass, or from the object given as
base. The options themselves are made by `schemas.options`.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from schemas.errors import SettingsError, UserError, refusing
from schemas.json_files import parse_object, said, typed
from schemas.options import OPTION, flag, holds_settings, without_none

Settings = TypeVar("Settings")


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """`--config FILE`, whose values stand where the command line says nothing."""
    parser.add_argument(
        "--config",
        metavar="FILE",
        default="",
        help="take what is not given here from this JSON file, such as the settings.json of an earlier run",
    )


def from_options(cls: type[Settings], options: argparse.Namespace, *, base: Any = None, **fixed: Any) -> Settings:
    """The settings that a command line asks for: `fixed`, then its options, then its `--config`, then base or defaults.

    SettingsError where the file is not one of such settings.
    """
    given = {**vars(options), **fixed}
    path = given.get("config") or ""
    config = read_config(path) if path else {}
    try:
        return _build(cls, given, config, base, f"--config {path}")
    except SettingsError as error:
        if not path or path in str(error):
            raise
        raise SettingsError(f"{error} (with --config {path})") from error


def from_json(cls: type[Settings], values: Mapping[str, Any], path: str) -> Settings:
    """The settings of which `to_json` made `values`, of the file at `path`; SettingsError where they are none."""
    return _build(cls, {}, values, None, path)


def config_value(options: argparse.Namespace, name: str, default: Any, hint: Any) -> Any:
    """One value of a command line or its `--config`, for what must be known before the rest, such as a size.

    hint: its type. SettingsError where the file has one of another type.
    """
    if hasattr(options, name):
        return getattr(options, name)
    path = getattr(options, "config", "")
    config = read_config(path) if path else {}
    return _checked(config[name], hint, name, f"--config {path}") if name in config else default


def read_config(path: str) -> dict[str, Any]:
    """The object in a JSON file; SettingsError where there is none."""
    with refusing(f"--config {path}", SettingsError, "give a settings.json"), open(home_expanded(path), "rb") as file:
        return parse_object(file.read())


def to_json(settings: Any) -> dict[str, Any]:
    """Settings as JSON values, as `--config` reads them."""
    found: dict[str, Any] = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if hasattr(type(value), "parse"):
            value = str(value)
        elif dataclasses.is_dataclass(value):
            value = to_json(value)
        found[field.name] = list(value) if isinstance(value, tuple) else value
    return found


def home_expanded(value: Any) -> Any:
    """A path, or each path of a tuple, with a leading `~` replaced by the home directory; other values as they are."""
    if isinstance(value, tuple):
        return tuple(map(home_expanded, value))
    return os.path.expanduser(value) if isinstance(value, str) else value


def _build(cls: Any, given: Mapping[str, Any], config: Mapping[str, Any], base: Any, where: str) -> Any:
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    names = list(fields)
    unknown = sorted(set(config) - set(names))
    if unknown:
        raise SettingsError(f"{where} has {said(unknown[0])}, which is no setting; known are {', '.join(names)}")
    values = {}
    for name in names:
        kind = without_none(hints[name])
        if holds_settings(kind):
            if name in given and not isinstance(given[name], str):
                values[name] = given[name]
                continue
            inner = config.get(name, {})
            if not isinstance(inner, dict):
                raise SettingsError(f"{where} has {name}={said(inner)}; it is an object of settings")
            values[name] = _build(kind, given, inner, None if base is None else getattr(base, name), where)
        elif name in given:
            value = given[name]
            if typing.get_origin(kind) is tuple:
                value = tuple(value.split(",")) if isinstance(value, str) else tuple(value)
            values[name] = value
        elif name in config:
            values[name] = _checked(config[name], hints[name], name, where)
        elif base is not None:
            values[name] = getattr(base, name)
        if name in values and fields[name].metadata.get(OPTION, {}).get("path"):
            default = fields[name].default if base is None else getattr(base, name)
            if values[name] == "" != default:
                raise SettingsError(f"{flag(cls, name)} is empty; give a path")
            values[name] = home_expanded(values[name])
    return cls(**values)


def _checked(value: Any, hint: Any, name: str, where: str) -> Any:
    """A value of a configuration file, of the field's type; SettingsError where it is of another."""
    try:
        return typed(hint, value, name)
    except UserError:
        raise
    except ValueError as error:
        raise SettingsError(f"{where} has {name}={said(value)}, which is not a value of that setting") from error
