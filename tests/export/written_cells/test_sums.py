"""Sums of products of atoms: equal values have equal sums."""

import numpy as np
import pytest
from tidegate.export.written_cells.sums import Atoms, Sum, constant, minus, plus, rows, term, times
from tidegate.runtime.errors import UnsupportedError


def test_one_minus_z_times_n_plus_z_h_equals_n_plus_z_times_h_minus_n() -> None:
    z, n, h = (term(i) for i in range(3))
    mixed = plus(times(minus(constant(1), z), n), times(z, h))
    assert mixed == plus(n, times(z, minus(h, n))) == {(1,): 1.0, (0, 1): -1.0, (0, 2): 1.0}


def test_terms_that_cancel_are_gone() -> None:
    z = term(0)
    assert minus(z, z) == {}
    assert constant(0) == {}


def test_equal_atoms_have_one_number() -> None:
    atoms = Atoms()
    of = term(atoms.variable("x", 0))
    assert atoms.activation("a", "Tanh", (), of) == atoms.activation("b", "Tanh", (), dict(of))
    assert atoms.activation("a", "Tanh", (), of) != atoms.activation("a", "Relu", (), of)
    weights = np.ones((1, 2))
    assert atoms.channels("a", [of], weights) == atoms.channels("b", [of], weights.copy())


def test_rows_resolve_products_of_products() -> None:
    atoms = Atoms()
    x = [term(atoms.variable("x", i)) for i in range(2)]
    first, second = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[5.0], [6.0]])
    inner: list[Sum] = [{(number,): 1.0, (): 1.0} for number in atoms.channels("a", x, first)]
    (outer,) = atoms.channels("b", inner, second)
    found = rows(atoms, [{(outer,): 2.0}, {(): 7.0}])
    np.testing.assert_array_equal(found[next(iter(x[0]))], [2 * (5 + 12), 0])
    np.testing.assert_array_equal(found[next(iter(x[1]))], [2 * (15 + 24), 0])
    np.testing.assert_array_equal(found[()], [22, 7])


def test_a_sum_is_written_by_the_names_of_the_file() -> None:
    atoms = Atoms()
    h = atoms.variable("h", 0)
    z = atoms.activation("gate", "Sigmoid", (), term(h))
    assert atoms.text({(h, z): 1.0, (h,): 0.5, (): 2.0}) == "h gate + 0.5 h + 2"
    assert atoms.text({}) == "0"


def test_a_product_of_many_terms_is_refused() -> None:
    many: Sum = {(i,): 1.0 for i in range(9)}
    with pytest.raises(UnsupportedError, match="a product of sums of 9 and 9 terms, wanted at most 64 in all"):
        times(many, many)
