"""The equations of the cells: one step by hand, the order of states, and the limit of unrolling."""

from pathlib import Path

import numpy as np
import pytest
from tidegate.benchmarks.measuring.jobs import stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import unrolled
from tidegate.benchmarks.peers.job import CannotRunError

FUNCTIONS = unrolled.Functions(lambda x: 1 / (1 + np.exp(-x)), np.tanh, np.split)
HALF = FUNCTIONS.sigmoid(np.array(1.0))


def test_one_step_of_each_cell() -> None:
    """One unit, all sums 0.5, so that each gate has the argument 1; h is 0.2 and c is 2."""
    sums, h, c = np.full(4, 0.5), np.array([0.2]), np.array([2.0])
    wanted_c = HALF * 2.0 + HALF * np.tanh(1.0)
    n = np.tanh(0.5 + HALF * 0.5)

    (rnn,) = unrolled.advance(FUNCTIONS, "RNN", sums[:1], sums[:1], [h])
    (gru,) = unrolled.advance(FUNCTIONS, "GRU", sums[:3], sums[:3], [h])
    lstm = unrolled.advance(FUNCTIONS, "LSTM", sums, sums, [h, c])

    assert rnn == pytest.approx(np.tanh(1.0))
    assert gru == pytest.approx(n + HALF * (0.2 - n))
    assert lstm == pytest.approx([HALF * np.tanh(wanted_c), wanted_c])


@pytest.mark.parametrize(("cell", "states"), [("LSTM", 4), ("GRU", 2), ("RNN", 2)])
def test_two_layers_have_their_states(tmp_path: Path, cell: str, states: int) -> None:
    job = stack_job(tmp_path, stacks.Case("small", 3, 8, 2, cell), 1)

    assert [state.shape for state in unrolled.zeros(job, 1)] == [(1, 8)] * states


def test_two_biases_are_summed_unless_the_cell_is_a_gru(tmp_path: Path) -> None:
    for cell in unrolled.CELLS:
        job = stack_job(tmp_path / cell, stacks.Case("small", 3, 8, 1, cell), 1)
        ((_, _, bias_w, bias_r),) = job.weights(cell)
        (layer,) = unrolled.layers_of(job)
        wanted = bias_w if cell == "GRU" else bias_w + bias_r
        assert np.array_equal(layer.bias_w, wanted)
        assert (layer.bias_r is not None) == (cell == "GRU")


def test_a_long_chunk_is_not_unrolled(tmp_path: Path) -> None:
    unrolled.refuse_long(stack_job(tmp_path / "32", stacks.Case("long", 2, 2, 2), 32))
    with pytest.raises(CannotRunError, match="33 frames times 2 layers is more than 64 cells to unroll"):
        unrolled.refuse_long(stack_job(tmp_path / "33", stacks.Case("long", 2, 2, 2), 33))
