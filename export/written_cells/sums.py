"""The normal form of a step: each number in it is a sum of products of atoms.

An atom is a value of a state or signal, one output channel of a product with constant weights, or an activation of a
sum. Equal atoms have one number, so two sums are equal if and only if their dicts are.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.arrays import Array
from ...runtime.errors import UnsupportedError

MAX_TERMS = 64  # of a sum; a cell has at most 7

Monomial = tuple[int, ...]
"""The atoms of a product in ascending order; the empty one is the constant 1."""

Sum = dict[Monomial, float]
"""A sum of products of atoms, each with its factor; no factor is 0."""


@dataclass(frozen=True)
class Variable:
    """A value of a state or signal."""

    name: str
    index: int


@dataclass(frozen=True, eq=False)
class Product:
    """A product of sums `[inputs]` with constant weights float64 `[inputs, outputs]`, made in the named value."""

    name: str
    inputs: tuple[Sum, ...]
    weights: Array


@dataclass(frozen=True)
class Channel:
    """One output of a product."""

    product: Product
    index: int

    @property
    def name(self) -> str:
        """The name of the value that it was made in."""
        return self.product.name


@dataclass(frozen=True)
class Activation:
    """An activation function of a sum.

    Attributes:
        name: The value that it was made in.
        function: The ONNX operator.
        options: Its alpha and beta, or the limits of a Clip.
        of: The sum.
    """

    name: str
    function: str
    options: tuple[float, ...]
    of: Sum


Atom = Variable | Channel | Activation


class Atoms:
    """All atoms of a step, by number."""

    def __init__(self) -> None:
        self._atoms: list[Atom] = []
        self._numbers: dict[object, int] = {}
        self._products: dict[object, Product] = {}

    def __getitem__(self, number: int) -> Atom:
        """Return an atom."""
        return self._atoms[number]

    def variable(self, name: str, index: int) -> int:
        """Return the number of a value of a state or signal."""
        return self._number((name, index), Variable(name, index))

    def activation(self, name: str, function: str, options: tuple[float, ...], of: Sum) -> int:
        """Return the number of an activation of a sum."""
        return self._number((function, options, frozen(of)), Activation(name, function, options, of))

    def channels(self, name: str, inputs: Sequence[Sum], weights: Array) -> list[int]:
        """Return the numbers of the outputs of a product."""
        key = (tuple(map(frozen, inputs)), weights.shape, weights.tobytes())
        product = self._products.setdefault(key, Product(name, tuple(inputs), weights))
        return [self._number((id(product), i), Channel(product, i)) for i in range(weights.shape[1])]

    def _number(self, key: object, atom: Atom) -> int:
        number = self._numbers.setdefault(key, len(self._atoms))
        if number == len(self._atoms):
            self._atoms.append(atom)
        return number

    def text(self, of: Sum) -> str:
        """Return a sum for messages, by the names of the values in the file: `a b + 0.5 c`."""
        return " + ".join(self._term(monomial, factor) for monomial, factor in of.items()) or "0"

    def _term(self, monomial: Monomial, factor: float) -> str:
        names = [self._atoms[number].name for number in monomial]
        return " ".join(names if factor == 1 and names else [f"{factor:.4g}", *names])


def frozen(of: Sum) -> tuple[tuple[Monomial, float], ...]:
    """Return a sum as a key."""
    return tuple(sorted(of.items()))


def term(*atoms: int) -> Sum:
    """Return the product of atoms as a sum."""
    return {tuple(sorted(atoms)): 1.0}


def constant(value: float) -> Sum:
    """Return a constant as a sum."""
    return {(): float(value)} if value else {}


def plus(a: Sum, b: Sum, factor: float = 1.0) -> Sum:
    """Return a + factor * b."""
    made = dict(a)
    for monomial, value in b.items():
        made[monomial] = made.get(monomial, 0.0) + factor * value
    return {monomial: value for monomial, value in made.items() if value}


def minus(a: Sum, b: Sum) -> Sum:
    """Return a - b."""
    return plus(a, b, -1.0)


def times(a: Sum, b: Sum) -> Sum:
    """Return a * b, as a sum again.

    Raises:
        UnsupportedError: It has more than MAX_TERMS terms.
    """
    if len(a) * len(b) > MAX_TERMS:
        raise UnsupportedError(f"a product of sums of {len(a)} and {len(b)} terms, wanted at most {MAX_TERMS} in all")
    made: Sum = {}
    for left, first in a.items():
        for right, second in b.items():
            monomial = tuple(sorted((*left, *right)))
            made[monomial] = made.get(monomial, 0.0) + first * second
    return {monomial: value for monomial, value in made.items() if value}


def rows(atoms: Atoms, sums: Sequence[Sum]) -> dict[Monomial, Array]:
    """Return the factors of several sums after every product with weights is resolved: for each monomial `[sums]`."""
    found: dict[Monomial, Array] = {}
    gains: dict[Product, Array] = {}

    def take(monomial: Monomial, factors: Array | float, place: int | slice) -> None:
        atom = atoms[monomial[0]] if len(monomial) == 1 else None
        if isinstance(atom, Channel):
            empty = np.zeros((len(sums), atom.product.weights.shape[1]))
            gains.setdefault(atom.product, empty)[place, atom.index] += factors
        else:
            found.setdefault(monomial, np.zeros(len(sums)))[place] += factors

    for place, of in enumerate(sums):
        for monomial, factor in of.items():
            take(monomial, factor, place)
    while gains:
        product, gain = gains.popitem()
        for of, column in zip(product.inputs, (gain @ product.weights.T).T, strict=True):
            for monomial, factor in of.items():
                take(monomial, factor * column, slice(None))
    return found
