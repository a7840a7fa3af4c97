"""The first table of docs/support.md agrees with the golden vectors; tests/export/test_matrix.py checks the second."""

from tidegate.runtime.operators import OPERATORS
from tools import support


def test_first_table_of_the_page_agrees_with_the_vectors() -> None:
    assert support.written() == support.table(), "run `make support`"


def test_table_has_every_operator() -> None:
    rows = {name.split()[0] for name in support.held()}
    assert rows == {operator.__name__ for operator in OPERATORS}
