"""The sums of products of each operator: together they hold every output channel and every bias once."""

import numpy as np
import pytest
from tidegate.quant.moments.replay import replay
from tidegate.quant.moments.sums import RESET_H, matrix, sums_of
from tidegate.runtime.operators import Gru, Map
from tools.float_programs import HIDDEN, KINDS, layer, layer_and_head, observed, streams


@pytest.mark.parametrize("kind", KINDS)
def test_each_channel_of_each_matrix_is_in_exactly_one_sum(kind: str) -> None:
    op = layer(kind)
    counts = {field: np.zeros(len(matrix(op, field).codes), int) for one in sums_of(op) for field in one.matrices}
    for one in sums_of(op):
        for field in one.matrices:
            counts[field][one.channels] += 1
    assert len(counts) == len(op.record().matrices)
    assert all(np.all(count == 1) for count in counts.values())


@pytest.mark.parametrize("kind", KINDS)
def test_each_value_of_each_bias_is_in_exactly_one_sum(kind: str) -> None:
    op = layer(kind)
    biases = [field for field in ("bias", "candidate_bias") if hasattr(op, field)]
    counts = {field: np.zeros(len(getattr(op, field)), int) for field in biases}
    for one in sums_of(op):
        if one.bias:
            counts[one.bias][one.bias_channels] += 1
    unused = {"candidate_bias"} if kind.startswith("reset first") else set()  # of zeros
    assert all(np.all(count == (field not in unused)) for field, count in counts.items())


@pytest.mark.parametrize(
    ("kind", "gates"),
    [
        *(("lstm", "iofc"), ("gru", "zrhh"), ("tanh", "y"), ("relu", "y"), ("projected", "iofcp")),
        *(("coupled", "iofc"), ("reset first", "zrh"), ("softsign", "zrhh"), ("elu", "y")),
        ("projected with options", "iofcp"),
    ],
)
def test_sums_are_named_after_their_gates_in_the_order_of_the_gradients(kind: str, gates: str) -> None:
    program = layer_and_head(kind)
    op = program.ops[0]
    assert "".join(one.gate for one in sums_of(op)) == gates
    (segment,) = observed(program, streams(20))
    x, y = segment.values[0][:, None], segment.values[1][:, None]
    starts = tuple(start[None] for start in segment.starts[0])
    _, grads = replay(op, x, y, starts).back(np.ones_like(y))
    assert [grad.shape[-1] for grad in grads] == [one.channels.stop - one.channels.start for one in sums_of(op)]


def test_the_candidate_of_a_gru_is_two_sums_that_share_no_matrix() -> None:
    op = layer("gru")
    assert isinstance(op, Gru)
    of_x, of_h = (one for one in sums_of(op) if one.gate == "h")
    assert (of_x.matrices, of_x.bias) == (("w",), "bias")
    assert (of_h.matrices, of_h.bias, of_h.bias_channels) == (("r",), "candidate_bias", slice(0, HIDDEN))


def test_the_candidate_of_a_gru_that_resets_first_is_one_sum_that_reads_the_reset_h() -> None:
    (candidate,) = (one for one in sums_of(layer("reset first")) if one.gate == "h")
    assert (candidate.matrices, candidate.reads, candidate.bias) == (("w", "r"), ("w", RESET_H), "bias")


def test_operators_without_products_have_no_sums() -> None:
    assert sums_of(Map((0,), "relu")) == ()
