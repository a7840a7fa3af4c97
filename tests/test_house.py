"""The layout of the checkout: where imports go, where a module is tested, how long files and functions are."""

import ast
import subprocess
from pathlib import Path

import pytest
from tools.imports import FOLDERS, ROOT, circles, import_graph, rooms, sources

GRAPH = import_graph()
MOST_ROOMS_AND_ARROWS = {"export": (15, 40), "quant": (12, 30), "runtime": (22, 75), "benchmarks": (18, 60)}
LONGEST_FILE = {".py": 400, ".c": 250, ".h": 250, ".inc": 250, ".cpp": 250}  # lines
LONGEST_README = 120

# Modules without a test file of their own, with the reason.
TESTED_ELSEWHERE = {
    "api/__main__.py": "calls cli.main; tests/api/test_init.py starts it without what it needs, test_cli.py with it",
    "api/client.py": "names two classes; tests/runtime/serving/client uses them through it",
    "runtime/arrays.py": "names types for annotations and has no function",
}


# ---- imports ----


def test_no_module_imports_itself_through_others() -> None:
    """Imports inside functions and imports for type checking count."""
    assert circles(GRAPH) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_room_of_a_folder_imports_itself_through_others(folder: str) -> None:
    assert circles(rooms(GRAPH, folder)) == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_a_folder_imports_only_from_the_folders_below_it(folder: str) -> None:
    imported = {other.parts[0] for file in GRAPH for other in GRAPH[file] if file.parts[0] == folder}
    assert imported <= {folder, *FOLDERS[FOLDERS.index(folder) + 1 :]}


@pytest.mark.parametrize(("folder", "most"), MOST_ROOMS_AND_ARROWS.items())
def test_a_folder_has_few_rooms_and_few_arrows_between_them(folder: str, most: tuple[int, int]) -> None:
    found = rooms(GRAPH, folder)
    del found["__init__.py"]
    assert len(found) <= most[0]
    assert sum(len(others - {"__init__.py"}) for others in found.values()) <= most[1]


# ---- each module has its test file ----


def mirrored(module: Path) -> Path:
    """Return where a module is tested: export/states/lifting.py in tests/export/states/test_lifting.py."""
    return Path("tests") / module.parent / f"test_{module.stem.lstrip('_')}.py"


def test_every_module_has_its_test_file() -> None:
    """Except packages, which only name what is in them."""
    modules = [file for file in sources() if file.name != "__init__.py" and str(file) not in TESTED_ELSEWHERE]
    without = {str(module) for module in modules if not (ROOT / mirrored(module)).is_file()}
    assert without == set(), "write their test files"


# ---- lengths ----


def tracked() -> list[str]:
    """Return the files of the checkout that git knows."""
    command = ["git", "ls-files"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def longest(name: str) -> int | None:
    """Return how many lines a file may have; None: any number."""
    return LONGEST_README if name == "README.md" else LONGEST_FILE.get(Path(name).suffix)


def test_no_file_is_too_long() -> None:
    limits = {name: most for name in tracked() if (most := longest(name)) is not None}
    found = {name for name, most in limits.items() if len((ROOT / name).read_text().splitlines()) > most}
    assert found == set(), "split them"


def test_functions_are_short() -> None:
    """Their lines, with the signature and the docstring: half have at most 10, all but one in twenty at most 50."""
    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1
        for file in sources()
        for node in ast.walk(ast.parse((ROOT / file).read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )
    assert lengths[len(lengths) // 2] <= 10
    assert lengths[len(lengths) * 95 // 100] <= 50
