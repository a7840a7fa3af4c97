"""The operator that holds the matrices of an operation, and programs that look ahead."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ...runtime.clocks import Clock
from ...runtime.operators import Backward, Folded, Operator
from ...runtime.program import Program


def layer_of(op: Operator) -> Operator:
    """Return the operator that holds the matrices: of a backward direction or a folded layer its cell."""
    return op.cell if isinstance(op, Backward | Folded) else op


def changed(op: Operator, fields: Mapping[str, Any]) -> Operator:
    """Return an operator with other matrices and biases, by their fields."""
    if isinstance(op, Backward | Folded):
        return replace(op, cell=replace(op.cell, **fields))
    return replace(op, **fields)


def looks_ahead(program: Program) -> bool:
    """Return whether some frames of a program come later than those of its input."""
    return any(clock != Clock() for clock in program.clocks)
