"""Imports run one way, schemas <- kernels <- pipeline and schemas <- kernels <- trainer, and never in a circle."""

from __future__ import annotations

import ast
import re
from graphlib import TopologicalSorter

import pytest

from tests.rooms import MODULES, ROOT, imported, levels, rooms

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


@pytest.mark.parametrize("package", ["pipeline", "trainer"])
def test_folders_are_rooms_without_a_circle(package: str) -> None:
    """One folder imports from another in one direction only, also by imports inside functions."""
    graph = rooms(package)
    assert set(levels(graph)) == set(graph)
    assert len(graph) > 5


@pytest.mark.parametrize("package", ["pipeline", "trainer"])
def test_hardly_anything_lies_flat(package: str) -> None:
    """A large package is made of folders: beside `__init__` and `__main__` there is at most one more file."""
    names = {path.stem for path in (ROOT / package).glob("*.py")}
    assert {"__init__", "__main__"} <= names
    assert len(names) <= 3, sorted(names)


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


GRAPH = {"pipeline.job.graph", "pipeline.job.learn_steps", "pipeline.job.worker"}
"""The steps, and what a process holds for them."""


@pytest.mark.parametrize("name", [name for name in MODULES if name.partition(".")[0] in ("pipeline", "kernels")])
def test_only_the_graph_and_the_file_systems_know_beam(name: str) -> None:
    knows = any(module.startswith("apache_beam") for module, _ in imported(MODULES[name]))
    assert knows == (name in GRAPH | {"pipeline.job.runners", "pipeline.storage.beam"})


RENAMES = {
    "schemas.files": "atomic_path, the one helper for local files",
    "pipeline.storage.files": "staged files of a dataset, whose readers trust the manifest alone",
    "trainer.training.checkpoint": "a whole directory",
}
"""Who gives a file its final name, and why there is more than one."""


def test_files_are_replaced_by_one_helper() -> None:
    """Else each place has a guarantee of its own: what is flushed, what a crash leaves, what an exception removes."""
    found = set()
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Attribute(value=ast.Name(id="os"), attr="replace" | "rename" | "renames"):
                    found.add(name)
                case ast.Attribute(value=ast.Name(id="shutil"), attr="move"):
                    found.add(name)
    assert found == set(RENAMES)


def test_what_the_machine_has_is_asked_in_one_place() -> None:
    """It is not what a process in a container may use; `schemas.machine` knows that."""
    asked = re.compile(r"cpu_count\(|SC_PHYS_PAGES|SC_AVPHYS_PAGES|/proc/meminfo")
    found = [name for name, path in MODULES.items() if asked.search(path.read_text("utf-8"))]
    # Which of the two is less is how the trainer knows that torch must be told.
    assert found == ["schemas.machine", "trainer.__main__"]


def test_loops_are_compiled_in_one_way() -> None:
    """Else a module may not be importable where nothing can be written beside it."""
    assert [
        name for name, path in MODULES.items() if re.search(r"import numba|from numba", path.read_text("utf-8"))
    ] == ["kernels.compiled"]


@pytest.mark.parametrize("name", [name for name in MODULES if name.startswith("kernels.")])
def test_only_compiled_functions_have_no_types(name: str) -> None:
    """pyproject lets mypy pass functions without types in kernels/; those are what numba and Triton compile."""
    tree = ast.parse(MODULES[name].read_text("utf-8"))
    compiled = {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and any(re.match(r"compiled\(|triton\.jit", ast.unparse(one)) for one in node.decorator_list)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name not in compiled:
            parameters = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            untyped = [one.arg for one in parameters if one.annotation is None and one.arg not in ("self", "cls")]
            assert (untyped == [] and node.returns is not None) or node.name == "__init__", (node.name, untyped)
