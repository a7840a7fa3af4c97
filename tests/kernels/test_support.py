"""The first table of docs/support.md is what the golden vectors hold; tests/export/test_matrix.py holds the second."""

from tidegate.runtime.operators import OPERATORS
from tools import support


def test_the_table_of_the_page_is_that_of_the_vectors() -> None:
    assert support.written() == support.table(), "run `make support`"


def test_the_table_has_every_operator() -> None:
    rows = {name.split()[0] for name in support.held()}
    assert rows == {operator.__name__ for operator in OPERATORS}
