"""The engine's C sources list the same operators and functions as Python, in the same order."""

import re

import pytest
from kernels.building import KERNELS
from tidegate.runtime.operators import OPERATORS
from tidegate.runtime.operators.over_features import REDUCTIONS, SOFTMAXES
from tidegate.runtime.operators.pointwise import BINARIES, CONSTANTS, MAPS


def snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def test_operators_are_those_of_the_engine() -> None:
    listed = re.findall(r"^TIDE_OPERATOR\((\w+)\)", (KERNELS / "src/operators.inc").read_text(), re.MULTILINE)
    assert listed == [snake(operator.__name__) for operator in OPERATORS]


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
