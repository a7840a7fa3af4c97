"""A program: widths, clocks, time axes and state places follow from its operations."""

from dataclasses import replace

import numpy as np
from tidegate.runtime.contract import Blocks
from tidegate.runtime.operators import Backward, Concat, Last, LastCell, Map, Slot, Window
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


def test_a_stream_starts_from_zeros_except_where_the_program_says_otherwise() -> None:
    lstm_layer, rnn_layer = LAYERS[:2]
    assert [vector.any() for state in PROGRAM.initial() for vector in state] == [False] * 3
    starts = {lstm_layer.c: np.arange(4, dtype=np.float32), rnn_layer.h: np.ones(2, np.float32)}
    found = [vector.tolist() for state in replace(PROGRAM, starts=starts).initial() for vector in state]
    assert found == [[0, 0, 0, 0], [0, 1, 2, 3], [1, 1]]


def test_a_window_starts_from_a_tail_and_keeps_the_rest_of_its_state() -> None:
    window = Window((0,), 3, 1, 2, Slot("tail", 0))
    program = Program(2, (window,), (("y", 1),), starts={window.slots[0]: np.arange(4, dtype=np.float32)})
    ((tail, *rest),) = program.initial()
    assert tail.tolist() == [0, 1, 2, 3]
    np.testing.assert_equal(rest, list(window.initial()[1:]))
