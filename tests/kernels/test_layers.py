"""The engine's files depend on each other in one direction: by their includes and by the calls of their objects."""

import re
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from kernels.building import KERNELS, require, run

INCLUDE = re.compile(r'^#include "([^"]+)"$', re.MULTILINE)
FLOORS = (
    "include",
    "src",
    "operators",
    "variants",
    "binding",
    "web",
)  # a floor includes files only from itself and from the floors before it

Graph = dict[str, set[str]]


def files() -> list[Path]:
    """Return the engine's sources and headers, without its tests and its programs for devices."""
    return [path for floor in FLOORS for path in sorted((KERNELS / floor).rglob("*.*"))]


def included() -> Graph:
    """Return the files of the engine that each file includes, by their paths."""
    graph: Graph = {}
    for path in files():
        places = [(path.parent / name, KERNELS / "include" / name) for name in INCLUDE.findall(path.read_text())]
        found = [next(place for place in pair if place.is_file()).resolve() for pair in places]
        graph[path.relative_to(KERNELS).as_posix()] = {place.relative_to(KERNELS).as_posix() for place in found}
    return graph


def called(archive: Path) -> Graph:
    """Return the objects of a library that each object calls or reads."""
    defined: dict[str, str] = {}
    wanted: defaultdict[str, set[str]] = defaultdict(set)
    for line in run(require("nm"), "--print-file-name", "--extern-only", archive).splitlines():
        place, _, rest = line.rpartition(":")
        name, (kind, symbol) = place.rpartition(":")[2], rest.split()[-2:]
        if kind == "U":
            wanted[name].add(symbol)
        else:
            assert defined.setdefault(symbol, name) == name, f"{symbol} is in {name} and in {defined[symbol]}"
    return {name: {defined[symbol] for symbol in symbols if symbol in defined} for name, symbols in wanted.items()}


def in_order(graph: Graph) -> list[str]:
    """Return the names in an order in which each comes after all that it needs; a circle raises CycleError."""
    return list(TopologicalSorter(graph).static_order())


def test_includes_form_no_circle() -> None:
    order = in_order(included())
    assert order.index("src/plan.h") < order.index("src/operators.h") < order.index("src/engine.h")


def test_floors_include_downwards_only() -> None:
    up = [
        f"{path} includes {other}"
        for path, others in included().items()
        for other in others
        if FLOORS.index(other.split("/")[0]) > FLOORS.index(path.split("/")[0])
    ]
    assert not up


@pytest.mark.slow
def test_objects_call_each_other_without_a_circle(native: Path) -> None:
    order = in_order(called(native.parent / "libtidegate.a"))
    wanted = ["check_values.c.o", "linear.c.o", "operators.c.o", "check_plan.c.o", "model.c.o", "push.c.o"]
    assert sorted(wanted, key=order.index) == wanted
