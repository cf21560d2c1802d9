"""The rooms of a package: the folders and single files directly below it, and which of them imports from which.

    python -m tests.rooms

prints for pipeline and trainer how many rooms there are, on how many levels (the longest chain of imports), and each
room with those that it imports from, imports inside functions included.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGES = ("schemas", "kernels", "pipeline", "trainer")
EXPORTED = ROOT / "trainer" / "model" / "hf"
"""Files that are copied into an exported folder and name each other by their place in it."""


def module_name(path: Path) -> str:
    """`pipeline/storage/open.py` is pipeline.storage.open, a package is its directory."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))}


def imported(path: Path) -> Iterator[tuple[str, bool]]:
    """(module, whether at import time) of every import in a file, those inside functions too."""

    def visit(node: ast.AST, at_import: bool) -> Iterator[tuple[str, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, at_import) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0 or (child.level == 1 and path.parent == EXPORTED), f"{path}: relative import"
                assert child.module is not None
                module = f"{module_name(path.parent)}.{child.module}" if child.level else child.module
                for alias in child.names:
                    inner = f"{module}.{alias.name}"
                    yield (inner if inner in MODULES else module), at_import
            else:
                is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from visit(child, at_import and not is_function)

    yield from visit(ast.parse(path.read_text("utf-8")), True)


def room_of(module: str) -> str:
    """`pipeline.corpus.readers.lines` is in the room pipeline.corpus, `pipeline.timing` is a room of its own."""
    return ".".join(module.split(".")[:2])


def rooms(package: str) -> dict[str, set[str]]:
    """Room to the other rooms of the same package that it imports from, anywhere in its files."""
    graph: dict[str, set[str]] = {}
    for module, path in MODULES.items():
        if module.partition(".")[0] != package or module == package:
            continue
        targets = {room_of(name) for name, _ in imported(path) if name in MODULES and name.startswith(f"{package}.")}
        graph.setdefault(room_of(module), set()).update(targets - {room_of(module)})
    return graph


def levels(graph: dict[str, set[str]]) -> dict[str, int]:
    """Room to its level: 1 imports from no other room, n from one on level n - 1. CycleError where they run round."""
    level: dict[str, int] = {}
    for room in TopologicalSorter(graph).static_order():
        level[room] = 1 + max((level[target] for target in graph[room]), default=0)
    return level


def main() -> None:
    """Print the rooms of both large packages, the highest level first."""
    for package in ("pipeline", "trainer"):
        graph = rooms(package)
        level = levels(graph)
        arrows = sum(map(len, graph.values()))
        print(f"{package}: {len(graph)} rooms on {max(level.values())} levels, {arrows} arrows")
        for room in sorted(graph, key=lambda room: (-level[room], room)):
            targets = ", ".join(sorted(target.partition(".")[2] for target in graph[room]))
            print(f"  {level[room]}  {room.partition('.')[2]:<14}{targets}")


if __name__ == "__main__":
    main()
