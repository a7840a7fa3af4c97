"""The README's support table agrees with the golden vectors."""

from tidegate.runtime.operators import OPERATORS
from tools import support


def test_table_in_the_readme_agrees_with_the_vectors() -> None:
    assert support.written() == support.table(), "run `make support`"


def test_table_has_every_operator() -> None:
    rows = {name.split()[0] for name in support.held()}
    assert rows == {operator.__name__ for operator in OPERATORS}
