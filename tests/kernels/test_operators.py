"""The engine's C sources list the same operators and functions as Python, in the same order."""

import re

import pytest
from kernels.building import KERNELS
from tidegate.runtime.cells import ACTIVATIONS
from tidegate.runtime.operators import OPERATORS
from tidegate.runtime.operators.cells_with_options import FLOAT_CELLS
from tidegate.runtime.operators.over_features import REDUCTIONS, SOFTMAXES
from tidegate.runtime.operators.pointwise import BINARIES, CONSTANTS, MAPS


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def listed(file: str) -> list[str]:
    """Return the operators that a list of the engine names."""
    return re.findall(r"^TIDE_OPERATOR\((\w+)\)", (KERNELS / "src" / file).read_text(), re.MULTILINE)


def test_operators_are_those_of_the_engine() -> None:
    assert listed("operators.inc") == [snake(operator.__name__) for operator in OPERATORS]


def test_cells_that_run_backward_are_those_of_the_engine() -> None:
    assert listed("cells.inc") == [snake(cell.__name__) for cell in FLOAT_CELLS]


def test_activations_are_those_of_the_engine() -> None:
    text = (KERNELS / "operators/activations.h").read_text()
    assert re.findall(r"^  F\((\w+)[,)]", text, re.MULTILINE) == [snake(name) for name in ACTIVATIONS]


def test_every_file_of_operators_is_listed() -> None:
    assert {p.stem for p in (KERNELS / "operators").glob("*.c")} == {snake(o.__name__) for o in OPERATORS}


@pytest.mark.parametrize(
    ("file", "functions"),
    [
        ("map", MAPS),
        ("elementwise", CONSTANTS),
        ("binary", BINARIES),
        ("reduce", REDUCTIONS),
        ("softmax", SOFTMAXES),
    ],
)
def test_functions_are_those_of_the_engine(file: str, functions: dict[str, object]) -> None:
    text = (KERNELS / f"operators/{file}.h").read_text()
    assert re.findall(r"^  F\((\w+)[,)]", text, re.MULTILINE) == list(functions)
