"""Further arguments of a forward: named, told apart as states and lengths, and made for other sizes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tidegate.export.pytorch.inputs import OtherInputs, SignalSizes, split_example
from tidegate.runtime.errors import ExportError

STREAMS = 2


def _inputs(layers: int = 1) -> OtherInputs:
    """Return the inputs of `forward(x, state, lengths, mask)` with h, c and lengths given."""
    h, c = torch.ones(layers, STREAMS, 4), torch.ones(layers, STREAMS, 5)
    return OtherInputs(["state", "lengths", "mask"], ((h, c), torch.tensor([7, 9]), None))


def test_an_example_is_a_signal_and_the_rest() -> None:
    signal, rest = split_example((torch.zeros(1, 9, 3), (np.zeros(4), torch.ones(4).double()), None, [9, 7]))
    assert isinstance(signal, torch.Tensor)
    (h, c), nothing, lengths = rest
    assert (h.dtype, c.dtype, lengths.dtype, nothing) == (torch.float32, torch.float32, torch.int64, None)
    for alone in (torch.zeros(2), np.zeros(2), [[1.0]], (3, 4)):
        assert split_example(alone) == (alone, ())


def test_names_follow_the_nesting_and_floats_are_states() -> None:
    inputs = _inputs()
    assert inputs.names == ["state_0", "state_1", "lengths"]
    assert inputs.states == ["state_0", "state_1"]


def test_arguments_keep_their_nesting_and_start_from_zeros() -> None:
    (h, c), lengths, mask = _inputs().arguments()
    assert (h.shape, c.shape, mask) == ((1, STREAMS, 4), (1, STREAMS, 5), None)
    assert not h.any()
    assert not c.any()
    assert lengths.tolist() == [9, 9], "the longest of the example: its sequences are whole"


@given(frames=st.integers(1, 50), streams=st.integers(1, 5), layers=st.integers(1, 3))
def test_other_sizes_give_other_batches_and_whole_lengths(frames: int, streams: int, layers: int) -> None:
    tensors = _inputs(layers).tensors(SignalSizes(frames, streams, STREAMS))
    assert tensors["state_0"].shape == (layers, streams, 4)
    assert tensors["lengths"].tolist() == [frames] * streams


def test_a_given_state_is_passed_on_as_a_copy() -> None:
    given_state = np.full((1, STREAMS, 4), 3, np.float32)
    tensor = _inputs().tensors(None, {"state_0": given_state})["state_0"]
    tensor.zero_()
    assert (given_state == 3).all()


def test_a_state_without_an_axis_of_streams_is_refused() -> None:
    inputs = OtherInputs(["h"], (torch.zeros(3, 4),))
    with pytest.raises(ExportError, match=r"a state of the example has shape \[3, 4\], wanted an axis of 2 streams"):
        inputs.tensors(SignalSizes(9, 5, STREAMS))
