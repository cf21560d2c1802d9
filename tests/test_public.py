"""The names that users import without a module: they exist, are documented and typed, and cost nothing until used."""

from __future__ import annotations

import ast
import importlib
import inspect
import tomllib
import typing
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = [
    package.name
    for package in sorted(ROOT.iterdir())
    if (package / "__init__.py").is_file() and "_HOMES" in (package / "__init__.py").read_text("utf-8")
]
NAMES = [(package, name) for package in PACKAGES for name in importlib.import_module(package)._HOMES]


def test_there_are_public_names() -> None:
    assert {"schemas", "trainer"} <= set(PACKAGES)
    assert 10 <= len(NAMES) <= 30, "few names that a user would look for"


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_a_public_name_is_the_documented_object_itself(package: str, name: str) -> None:
    module = importlib.import_module(package)
    value = getattr(module, name)
    assert value.__module__ == module._HOMES[name] and value.__name__ == name
    assert value.__doc__ and not value.__doc__.startswith(f"{name}("), "a docstring of its own"
    assert name in dir(module)


@pytest.mark.parametrize(("package", "name"), NAMES)
def test_a_public_callable_is_fully_typed(package: str, name: str) -> None:
    value = getattr(importlib.import_module(package), name)
    called = value.__init__ if inspect.isclass(value) else value
    if issubclass(value, Exception) if inspect.isclass(value) else False:
        return
    hints = typing.get_type_hints(called)
    parameters = [parameter for parameter in inspect.signature(called).parameters if parameter != "self"]
    assert set(parameters) <= set(hints), "every parameter has a type"
    assert "return" in hints


@pytest.mark.parametrize("package", PACKAGES)
def test_type_checkers_see_the_same_names(package: str) -> None:
    """What is imported under TYPE_CHECKING is what `__getattr__` gives."""
    source = ast.parse((ROOT / package / "__init__.py").read_text("utf-8"))
    (block,) = [node for node in source.body if isinstance(node, ast.If)]
    seen = {
        alias.asname: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    assert seen == importlib.import_module(package)._HOMES


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_an_attribute_error_that_names_the_package(package: str) -> None:
    with pytest.raises(AttributeError, match=f"'{package}' has no attribute 'nothing'"):
        importlib.import_module(package).nothing  # noqa: B018


@pytest.mark.parametrize("package", ["schemas", "kernels", "pipeline", "trainer"])
def test_packages_are_marked_as_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").read_bytes() == b""


def test_the_version_is_one() -> None:
    import schemas

    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert schemas.__version__ == project["version"]
    assert f"\n## {schemas.__version__}" in (ROOT / "CHANGELOG.md").read_text("utf-8")
