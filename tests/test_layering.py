"""Imports run one way, schemas <- kernels <- pipeline and schemas <- kernels <- trainer, and never in a circle."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "schemas": {"schemas"},
    "kernels": {"schemas", "kernels"},
    "pipeline": {"schemas", "kernels", "pipeline"},
    "trainer": {"schemas", "kernels", "trainer"},
}
OURS = set(MAY_IMPORT) | {"tests"}
NOT_IN_KERNELS = {
    *("os", "io", "pathlib", "shutil", "tempfile", "glob", "sys", "subprocess", "socket", "logging", "warnings"),
    *("apache_beam", "smart_open", "tqdm", "json", "pickle", "argparse", "time", "random"),
}
"""Kernels are arithmetic on arrays: no files, no Beam, no logging, no clock, no dice."""
NOT_CALLED_IN_KERNELS = {"open", "print", "input", "exec", "eval"}


def module_name(path: Path) -> str:
    """`pipeline/storage/open.py` is pipeline.storage.open, a package is its directory."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for package in MAY_IMPORT for path in sorted((ROOT / package).rglob("*.py"))}


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """(module, whether at import time) of every import in a file, those inside functions too."""

    def visit(node: ast.AST, at_import: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, at_import) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path} has a relative import"
                assert child.module is not None
                for alias in child.names:
                    inner = f"{child.module}.{alias.name}"
                    yield (inner if inner in MODULES else child.module), at_import
            else:
                is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from visit(child, at_import and not is_function)

    yield from visit(ast.parse(path.read_text("utf-8")), True)


def test_there_are_modules() -> None:
    assert {name.partition(".")[0] for name in MODULES} == set(MAY_IMPORT)
    assert len(MODULES) > 40


@pytest.mark.parametrize("name", MODULES)
def test_imports_run_one_way(name: str) -> None:
    package = name.partition(".")[0]
    ours = {module for module, _ in imported(MODULES[name]) if module.partition(".")[0] in OURS}
    assert {module for module in ours if module.partition(".")[0] not in MAY_IMPORT[package]} == set()
    assert ours - set(MODULES) == set(), "what is imported exists"


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        name: {module for module, at_import in imported(path) if at_import and module in MODULES} - {name}
        for name, path in MODULES.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


def test_not_even_through_imports_inside_functions() -> None:
    graph = {
        name: {module for module, _ in imported(path) if module in MODULES} - {name} for name, path in MODULES.items()
    }
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("kernels")])
def test_kernels_do_no_input_or_output(name: str) -> None:
    modules = {module for module, _ in imported(MODULES[name])}
    assert {module.partition(".")[0] for module in modules} & NOT_IN_KERNELS == set()
    assert {module for module in modules if module.startswith("pyarrow")} <= {"pyarrow", "pyarrow.compute"}
    calls = [node for node in ast.walk(ast.parse(MODULES[name].read_text("utf-8"))) if isinstance(node, ast.Call)]
    called = {node.func.id for node in calls if isinstance(node.func, ast.Name)}
    assert called & NOT_CALLED_IN_KERNELS == set()


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("schemas")])
def test_schemas_need_neither_torch_nor_beam(name: str) -> None:
    modules = {module.partition(".")[0] for module, _ in imported(MODULES[name])}
    assert modules & {"torch", "apache_beam", "numba", "sentencepiece"} == set()


@pytest.mark.parametrize("name", [name for name in MODULES if name.partition(".")[0] in ("pipeline", "kernels")])
def test_only_the_graph_and_the_file_systems_know_beam(name: str) -> None:
    knows = any(module.startswith("apache_beam") for module, _ in imported(MODULES[name]))
    assert not knows or name in (
        "pipeline.job.graph",
        "pipeline.storage.open",
        "pipeline.job.runners",
        "pipeline.storage.files",
    )
