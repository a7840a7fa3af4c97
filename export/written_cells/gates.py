"""Gates of a step: an activation of what signal, states and constants add up to, one per unit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...runtime.arrays import Array
from ...runtime.errors import UnsupportedError
from .sums import Activation, Atoms, Channel, Monomial, Sum, minus, rows

Function = tuple[str, tuple[float, ...]]
"""An activation function: its ONNX operator and its options."""


@dataclass(frozen=True)
class Variables:
    """The variables of a step, each by the number of its atom.

    Attributes:
        x: The values of the signals.
        h: The values of the hidden state.
        c: The values of the cell state; none for a GRU or RNN.
    """

    x: Mapping[int, int]
    h: Mapping[int, int]
    c: Mapping[int, int]


@dataclass(frozen=True)
class Affine:
    """An affine form of all units: w x + r h + p c + b, float64.

    Attributes:
        w: `[units, signal]`.
        r: `[units, hidden]`.
        p: `[units]`, the peepholes.
        b: `[units]`.
    """

    w: Array
    r: Array
    p: Array
    b: Array

    def __neg__(self) -> "Affine":
        """Return the same with the other sign."""
        return Affine(-self.w, -self.r, -self.p, -self.b)


@dataclass(frozen=True)
class Gate:
    """A gate of all units.

    Attributes:
        function: Its activation.
        clip: The bound of what its activation reads; None if there is none.
        form: What its activation reads.
    """

    function: Function
    clip: float | None
    form: Affine

    def complement(self) -> "Gate":
        """Return the gate that is 1 minus this one.

        Raises:
            UnsupportedError: Its activation has no such complement.
        """
        kind, options = self.function
        if kind == "Sigmoid":
            return replace(self, form=-self.form)
        if kind == "HardSigmoid" and self.clip is None:
            alpha, beta = options
            form = -self.form
            return replace(self, form=replace(form, b=form.b + (1.0 - 2.0 * beta) / alpha))
        raise UnsupportedError(f"1 minus a gate of {kind}, wanted 1 minus a Sigmoid or HardSigmoid")


def activations(atoms: Atoms, numbers: Sequence[int]) -> list[Activation]:
    """Return the atoms of all units as activations.

    Raises:
        UnsupportedError: One is none.
    """
    found = [atoms[number] for number in numbers]
    for atom in found:
        if not isinstance(atom, Activation):
            raise UnsupportedError(f"value {atom.name!r} is a factor of the new state, wanted an activation")
    return [atom for atom in found if isinstance(atom, Activation)]


def gate(atoms: Atoms, variables: Variables, numbers: Sequence[int]) -> Gate:
    """Return the gate that atoms are, one atom per unit, in the order of the units.

    Raises:
        UnsupportedError: They are not the same activation of affine forms.
    """
    own = activations(atoms, numbers)
    function, clip, sums = read(atoms, own)
    return gate_of(atoms, variables, function, clip, sums, own[0].name)


def gate_of(  # noqa: PLR0917  two callers
    atoms: Atoms, variables: Variables, function: Function, clip: float | None, sums: Sequence[Sum], name: str
) -> Gate:
    """Return the gate whose function reads sums, one per unit; a gate within 0 and 1 is a HardSigmoid.

    Raises:
        UnsupportedError: The sums are no affine forms; `name` is the value in the message.
    """
    form = affine(atoms, variables, sums, name)
    if function != ("Clip", (0.0, 1.0)):
        return Gate(function, clip, form)
    slope = _slope(atoms, sums)
    form = Affine(form.w / slope, form.r / slope, form.p / slope, (form.b - 0.5) / slope)
    return Gate(("HardSigmoid", (slope, 0.5)), clip, form)


def read(atoms: Atoms, units: Sequence[Activation]) -> tuple[Function, float | None, list[Sum]]:
    """Return the function of all units, the bound of what it reads, and what it reads within the bound.

    Raises:
        UnsupportedError: The units have several functions or bounds.
    """
    functions = {(unit.function, unit.options) for unit in units}
    inner = [_clipped(atoms, unit.of) for unit in units]
    bounds = {bound for bound, _ in inner}
    if len(functions) > 1 or len(bounds) > 1:
        names = ", ".join(sorted({name for name, _ in functions}))
        raise UnsupportedError(
            f"value {units[0].name!r} has several activations or limits ({names}), wanted one for all units"
        )
    return functions.pop(), bounds.pop(), [of for _, of in inner]


def _clipped(atoms: Atoms, of: Sum) -> tuple[float | None, Sum]:
    """Return the bound of a sum within -bound and bound, and the sum; None and the sum if it has none."""
    monomial = next(iter(of), ())
    atom = atoms[monomial[0]] if len(of) == 1 and len(monomial) == 1 and of[monomial] == 1.0 else None
    if isinstance(atom, Activation) and atom.function == "Clip" and atom.options[0] == -atom.options[1]:
        return atom.options[1], atom.of
    return None, of


def _slope(atoms: Atoms, sums: Sequence[Sum]) -> float:
    """Return the factor that all products with weights have in common; 1 if they have several."""
    found = {
        abs(factor)
        for of in sums
        for monomial, factor in of.items()
        if len(monomial) == 1 and isinstance(atoms[monomial[0]], Channel)
    }
    return found.pop() if len(found) == 1 else 1.0


def affine(atoms: Atoms, variables: Variables, sums: Sequence[Sum], name: str) -> Affine:
    """Return sums, one per unit, as an affine form of the signals and states.

    Raises:
        UnsupportedError: They have another term; `name` is the value in the message.
    """
    units = len(sums)
    form = Affine(
        np.zeros((units, len(variables.x))), np.zeros((units, len(variables.h))), np.zeros(units), np.zeros(units)
    )
    for monomial, factors in rows(atoms, sums).items():
        number = monomial[0] if len(monomial) == 1 else -1
        if not monomial:
            form.b[:] = factors
        elif number in variables.x:
            form.w[:, variables.x[number]] = factors
        elif number in variables.h:
            form.r[:, variables.h[number]] = factors
        elif number in variables.c and not np.delete(factors, place := variables.c[number]).any():
            form.p[place] = factors[place]
        elif factors.any():
            raise UnsupportedError(
                f"value {name!r} reads {_described(atoms, monomial)}, wanted only the signal, the hidden state, the "
                "own cell's state and constants"
            )
    return form


def _described(atoms: Atoms, monomial: Monomial) -> str:
    return repr(atoms.text({monomial: 1.0}))


def without(of: Sum, part: Sum) -> tuple[float, Sum]:
    """Return the factor p for which `of` holds p * part, and the rest; 0 and the whole if it does not hold it."""
    pairs = [(factor, of.get(monomial, 0.0)) for monomial, factor in part.items() if len(monomial) > 1]
    factor = pairs[0][1] / pairs[0][0] if pairs else 0.0
    return factor, minus(of, {monomial: factor * value for monomial, value in part.items()}) if factor else of
