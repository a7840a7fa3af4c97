"""The first table of docs/support.md agrees with the golden vectors; tests/export/test_matrix.py checks the second."""

from tidegate.runtime.operators import OPERATORS
from tools import support


"""The first table of docs/support.md agrees with the golden vectors; tests/export/test_matrix.py checks the second."""
    assert support.written() == support.table(), "run `make support`"


def test_table_has_every_operator() -> None:
    rows = {name.split()[0] for name in support.held()}
    assert rows == {operator.__name__ for operator in OPERATORS}
