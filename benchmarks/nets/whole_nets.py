"""Small whole nets and their parts as plans: two recurrent layers, with other layers before and after them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...runtime.contract import Contract, Port, State
from ...runtime.operators import Embedding, LayerNorm, Linear, Map, Operator, Softmax
from ...runtime.operators.matrix import Matrix, Reading, activation_bits
from ...runtime.plan.writer import compile_program
from ...runtime.program import Cell, Program
from .single_cells import layer

FEATURES, HIDDEN, WIDE, CLASSES, IDS = 40, 128, 256, 192, 500
LINEAR_MACS = HIDDEN * WIDE + WIDE * CLASSES  # multiply-adds of the linear layers per step


@dataclass(frozen=True, eq=False)
class Net:
    """A net of about 300,000 weights.

    Attributes:
        name: The net's first operator and its cell.
        whole: The plan of the net: first operator, two recurrent layers, Linear, ReLU, Linear, Softmax.
        layers: The plan of each recurrent layer without the rest.
        others: The plan of the linear layers without the rest. The time to read their weights is the lower bound
            for the part of the net that is not recurrent.
    """

    name: str
    whole: bytes
    layers: tuple[bytes, bytes]
    others: bytes


def nets() -> list[Net]:
    """Return four nets: the first operator is LayerNorm or Embedding, the cell is LSTM or GRU."""
    return [_net(start, cell) for start in ("LayerNorm", "Embedding") for cell in ("LSTM", "GRU")]


def amplifier() -> bytes:
    """Return the plan of a net of the size that models an amplifier: LSTM 1 -> 32 and Linear, a sample a frame."""
    rng = np.random.default_rng(0)
    return _plan([layer("LSTM", 1, 32), _linear(rng, 32, 1, Reading.HIDDEN)], 1, hidden=32)


def _net(start: str, cell: str) -> Net:
    rng = np.random.default_rng(0)
    first, second = layer(cell, FEATURES, HIDDEN), layer(cell, HIDDEN, HIDDEN, Reading.HIDDEN)
    wide, narrow = _linear(rng, HIDDEN, WIDE, Reading.HIDDEN), _linear(rng, WIDE, CLASSES, Reading.FRAME)
    chain = [_front(rng, start), first, second, wide, Map((0,), "relu"), narrow, Softmax((0,), "softmax")]
    return Net(
        f"{start}, {cell}",
        _plan(chain, 1 if start == "Embedding" else FEATURES, ids=start == "Embedding"),
        (_plan([first], FEATURES), _plan([second], HIDDEN)),
        _plan([wide, narrow], HIDDEN),
    )


def _front(rng: np.random.Generator, start: str) -> Operator:
    if start == "Embedding":
        return Embedding((0,), _matrix(rng, IDS, FEATURES, Reading.FRAME))
    return LayerNorm((0,), np.ones(FEATURES, np.float32), np.zeros(FEATURES, np.float32), float(np.float32(1e-5)))


def _linear(rng: np.random.Generator, features: int, rows: int, reading: Reading) -> Linear:
    return Linear((0,), _matrix(rng, rows, features, reading), np.zeros(rows, np.float32))


def _matrix(rng: np.random.Generator, rows: int, columns: int, reading: Reading) -> Matrix:
    codes = rng.integers(-127, 128, (rows, columns)).astype(np.int8)
    return Matrix(codes, np.full((rows, 1), columns**-0.5 / 127, np.float32), reading, activation_bits(columns))


def _plan(chain: Sequence[Operator], width: int, *, ids: bool = False, hidden: int = HIDDEN) -> bytes:
    """Return the plan of a chain, in which each operator reads the one before."""
    ops = tuple(_placed(op, place) for place, op in enumerate(chain))
    slots = [slot for op in ops for slot in op.slots]
    states = tuple(State(slot.name, f"{slot.name}.out", slot.name[-1], (1, "batch", hidden)) for slot in slots)
    contract = Contract((Port("x", 0, None),), (Port("y", 0, None),), states)
    return compile_program(Program(width, ops, (("y", len(ops)),), ids), contract)


def _placed(op: Operator, place: int) -> Operator:
    """Return an operator at a place in the chain: it reads the value before, and its states are named by the place."""
    if not isinstance(op, Cell):
        return replace(op, inputs=(place,))
    names = dict(zip(("h", "c"), op.slots, strict=False))
    moved = {key: replace(slot, name=f"l{place}.{key}") for key, slot in names.items()}
    return replace(op, inputs=(place,), **moved)
