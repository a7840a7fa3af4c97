"""The graph of imports between the modules of tidegate, read from their source."""

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

ROOT = Path(__file__).parents[2]
FOLDERS = ("api", "benchmarks", "quant", "export", "runtime")  # a folder imports only from those after it

T = TypeVar("T")


def sources() -> list[Path]:
    """Return every Python file of the package, relative to the root of the checkout."""
    return sorted(path.relative_to(ROOT) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


def name_of(file: Path) -> str:
    """Return the name that imports a file; api/ is the top of the package: api/cli.py is `tidegate.cli`."""
    parts = file.with_suffix("").parts
    inside = [part for part in (parts[1:] if parts[0] == "api" else parts) if part != "__init__"]
    return ".".join(["tidegate", *inside])


def import_graph() -> dict[Path, set[Path]]:
    """Return the files that each file imports; imports inside functions and for type checking count too."""
    files = {name_of(file): file for file in sources()}
    return {file: imported(file, files) - {file} for file in files.values()}


def imported(file: Path, files: Mapping[str, Path]) -> set[Path]:
    """Return the files that one file imports, from all files by their names."""
    package = name_of(file) if file.name == "__init__.py" else name_of(file).rpartition(".")[0]
    found: set[Path] = set()
    for node in ast.walk(ast.parse((ROOT / file).read_text())):
        if isinstance(node, ast.Import):
            found |= {files[alias.name] for alias in node.names if alias.name in files}
        if isinstance(node, ast.ImportFrom):
            found |= _from(node, package, files)
    return found


def _from(node: ast.ImportFrom, package: str, files: Mapping[str, Path]) -> set[Path]:
    """Return the files of a `from` import: `from a import b` imports the module a.b if it exists, else a."""
    base = package.rsplit(".", node.level - 1)[0] if node.level else ""
    module = ".".join(filter(None, (base, node.module)))
    names = [f"{module}.{alias.name}" for alias in node.names]
    return {files[name if name in files else module] for name in names if name in files or module in files}


def circles(graph: Mapping[T, set[T]]) -> list[set[T]]:
    """Return the circles of a graph: the sets of two or more nodes that all reach each other."""
    reached = {node: _reached(graph, node) for node in graph}
    found = [{other for other in reached[node] if node in reached[other]} for node in graph if node in reached[node]]
    return [circle for place, circle in enumerate(found) if circle not in found[:place]]


def _reached(graph: Mapping[T, set[T]], start: T) -> set[T]:
    """Return the nodes that are reached from a node by one arrow or more."""
    found: set[T] = set()
    waiting = [start]
    while waiting:
        new = graph.get(waiting.pop(), set()) - found
        found |= new
        waiting.extend(new)
    return found


def rooms(graph: Mapping[Path, set[Path]], folder: str) -> dict[str, set[str]]:
    """Return the graph between the rooms of a folder: a file or a subfolder at its top."""
    inside = [file for file in graph if file.parts[0] == folder]
    found: dict[str, set[str]] = {file.parts[1]: set() for file in inside}
    for file in inside:
        found[file.parts[1]] |= {other.parts[1] for other in graph[file] if other.parts[0] == folder}
    return {room: others - {room} for room, others in found.items()}
