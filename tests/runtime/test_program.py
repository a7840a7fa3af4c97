"""A program: widths, clocks, time axes and state places follow from its operations."""

import numpy as np
from tidegate.runtime.contract import Blocks
from tidegate.runtime.operators import Backward, Concat, Last, LastCell, Map, Slot
from tidegate.runtime.program import Program, Reading
from tools.random_layers import lstm, rnn

RNG = np.random.default_rng(0)
LAYERS = (
    lstm(RNG, 0, (3, 4), Reading.FRAME, 16),  # value 1
    rnn(RNG, 1, (4, 2), Reading.HIDDEN, 16, function="tanh"),  # 2
    Concat((1, 2)),  # 3
    Last((3,)),  # 4
    Map((4,), "relu"),  # 5
)
PROGRAM = Program(3, LAYERS, (("all", 3), ("last", 5)))


def test_each_value_has_the_width_that_its_operation_makes() -> None:
    assert PROGRAM.widths == [3, 4, 2, 6, 6, 6]


def test_a_value_after_the_last_frame_has_no_time_axis() -> None:
    assert [PROGRAM.timed(value) for value in range(6)] == [True, True, True, True, False, False]


def test_the_final_c_of_a_layer_has_no_time_axis() -> None:
    program = Program(3, (LAYERS[0], LastCell((1,), 4), Map((2,), "relu")), (("y", 3),))
    assert [program.timed(value) for value in range(4)] == [True, True, False, False]


def test_state_places_have_the_order_of_the_operations() -> None:
    assert PROGRAM.slots == (*LAYERS[0].slots, *LAYERS[1].slots)
    assert [type(slot) for slot in PROGRAM.slots] == [Slot] * 3


def test_a_backward_cell_makes_the_values_after_it_late() -> None:
    blocks = Blocks(4, 1)
    program = Program(3, (Backward((0,), LAYERS[0], blocks), Map((1,), "relu")), (("y", 2),), blocks=blocks)
    assert [clock.lag(blocks) for clock in program.clocks] == [0, 4, 4]
