"""Derivatives equal differences of the specification's answers."""

from itertools import count

import numpy as np
import pytest
from tidegate.quant.moments.derivatives import BACKWARD, back_through
from tidegate.runtime.arrays import Floats
from tidegate.runtime.contract import Blocks
from tidegate.runtime.operators import (
    OPERATORS,
    Align,
    Backward,
    Binary,
    BlockStart,
    Cell,
    Concat,
    Constant,
    Convolution,
    Depthwise,
    Elementwise,
    Embedding,
    Folded,
    Fourier,
    Geometry,
    IntegerAffine,
    IntegerLinear,
    IntegerMap,
    Last,
    LastCell,
    LayerNorm,
    Linear,
    Map,
    Operator,
    Reduce,
    Slice,
    Slot,
    Softmax,
    Static,
    Take,
    Window,
)
from tidegate.runtime.operators.fourier import roots_of_unity
from tidegate.runtime.operators.matrix import FLOAT, Matrix, Reading
from tidegate.runtime.operators.over_features import REDUCTIONS, SOFTMAXES
from tidegate.runtime.operators.pointwise import BINARIES, CONSTANTS, MAPS, NUMBERS

FRAMES, WIDTH = 12, 6
STEP = 1e-3
POSITIVE = ("log", "sqrt", "reciprocal", "into", "power")
NUMBER = {"leaky_relu": (0.1,), "hard_sigmoid": (0.2, 0.5), "elu": (1.5,), "power": (0.3,)}
CONSTANT = np.linspace(0.3, 1.5, WIDTH).astype(np.float32)
GEOMETRY = Geometry((1, 3), (2, 2), (1, 2), (1, 1), (1, 1), (2, 2))  # of two channels


def _matrix(outputs: int, inputs: int) -> Matrix:
    floats = np.random.default_rng(outputs).normal(0, 0.5, (outputs, inputs)).astype(np.float32)
    return Matrix(floats, np.ones((outputs, 1), np.float32), Reading.FRAME, 16, FLOAT)


CASES: list[tuple[str, Operator]] = [
    *((name, Map((0,), name, NUMBER.get(name, ()))) for name in MAPS),
    *((name, Elementwise((0,), name, CONSTANT)) for name in CONSTANTS),
    *((name, Binary((0, 1), name)) for name in BINARIES),
    *((name, Reduce((0,), name)) for name in REDUCTIONS),
    *((name, Softmax((0,), name)) for name in SOFTMAXES),
    ("layer_norm", LayerNorm((0,), CONSTANT, CONSTANT, 1e-5)),
    ("slice", Slice((0,), 1, 2, 3)),
    ("concat", Concat((0, 1))),
    ("window", Window((0,), 3, 2, WIDTH, Slot("tail", 0))),
    ("window of pairs", Window((0,), 3, 2, WIDTH, Slot("tail", 0), together=2)),
    *((f"{name} of parts", Reduce((0,), name, 3)) for name in REDUCTIONS),
    *((f"{name} of parts", Softmax((0,), name, 2)) for name in SOFTMAXES),
    ("layer_norm of parts", LayerNorm((0,), CONSTANT, CONSTANT, 1e-5, 3)),
    ("take", Take((0,), np.array([4, -1, 0, 2, 4]), 2)),
    ("convolution", Convolution((0,), _matrix(4, 8), CONSTANT[:4], GEOMETRY)),
    ("convolution, answers first", Convolution((0,), _matrix(4, 8), CONSTANT[:4], GEOMETRY, answers_first=True)),
    ("depthwise", Depthwise((0,), _matrix(4, 4), CONSTANT[:4], GEOMETRY)),
    ("fourier", Fourier((0,), CONSTANT, roots_of_unity(10).astype(np.float32), 2)),
    ("constant", Constant((0,), CONSTANT)),
    ("static", Static((0,), Slot("static", 0), WIDTH)),
    *((f"window {ahead} ahead", Window((0,), 3, 2, WIDTH, Slot("tail", 0), lookahead=ahead)) for ahead in (1, 2, 4)),
    ("align", Align((0, 1))),
    ("first frame of a block", BlockStart((0,), Blocks(5, 2))),
    ("first frame of a stream", BlockStart((0,), Blocks(None, 0, 100))),
]


def answers(op: Operator, x: list[Floats]) -> Floats:
    made, state = op.advance(op.initial(), [list(frames) for frames in x], closing=False)
    rest, _ = op.advance(state, [[] for _ in x], closing=True)
    return np.stack([*made, *rest])


@pytest.mark.parametrize(("name", "op"), CASES, ids=[f"{i}-{name}" for i, (name, _) in zip(count(), CASES)])
def test_gradient_is_the_slope_of_the_answers(name: str, op: Operator) -> None:
    rng = np.random.default_rng(1)
    x = [rng.uniform(-1.5, 1.5, (FRAMES, WIDTH)).astype(np.float32) for _ in op.inputs]
    x[-1] = np.abs(x[-1]) + np.float32(0.4) if name in POSITIVE or name == "div" else x[-1]
    y = answers(op, x)
    grad = rng.choice(np.array([-1, 1], np.float32), y.shape)
    found = back_through(op, tuple(v[:, None] for v in x), y[:, None], grad[:, None])
    for place, gradient in enumerate(found):
        direction = rng.normal(0, 1, x[place].shape).astype(np.float32)
        sides = []
        for sign in (1, -1):
            moved = [v + np.float32(sign * STEP) * direction if i == place else v for i, v in enumerate(x)]
            sides.append(float(np.sum(answers(op, moved).astype(np.float64) * grad)))
        slope = (sides[0] - sides[1]) / (2 * STEP)
        size = np.sqrt(np.sum(gradient.astype(np.float64) ** 2)) + 0.1
        assert gradient.shape == (FRAMES, 1, WIDTH)
        assert abs(float(np.sum(gradient[:, 0] * direction)) - slope) <= 0.05 * size  # functions with kinks; seen: 0.02


def test_the_gradient_of_a_single_feature_is_the_sum_over_all_features_that_it_multiplies() -> None:
    x = np.ones((4, 1, 3), np.float32), np.full((4, 1, 1), 2, np.float32)
    _, one = back_through(Binary((0, 1), "mul"), x, x[0] * x[1], np.ones((4, 1, 3), np.float32))
    np.testing.assert_array_equal(one, np.full((4, 1, 1), 3))


def test_a_pole_has_no_gradient() -> None:
    x = np.zeros((1, 1, 2), np.float32)
    (found,) = back_through(Map((0,), "log"), (x,), x, np.ones_like(x))
    np.testing.assert_array_equal(found, x)


def test_every_operator_without_weights_has_a_gradient() -> None:
    with_weights = {op for op in OPERATORS if issubclass(op, Cell)} | {Linear, Embedding, Backward, Folded}
    integers = {IntegerLinear, IntegerAffine, IntegerMap}  # made from calibrated float operators
    assert set(BACKWARD) | with_weights | integers | {Last, LastCell} == set(OPERATORS)
    assert set(NUMBERS) == set(NUMBER)
