"""Layouts of foreign files: time and streams are found, whether their sizes are free or fixed."""

import onnx
import pytest
from onnx import helper
from tidegate.export.foreign.input_roles import find_roles
from tidegate.export.foreign.layout import find_layout
from tidegate.export.graph.axes import Axes
from tidegate.export.graph.constants import fold_constants
from tidegate.export.proof.whole_sequence import WholeSequenceError
from tidegate.export.states.recurrent_states import unplug
from tidegate.runtime.contract import Port
from tidegate.runtime.errors import ContractError
from tools import foreign_files
from tools.graphs import floats, model_of


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    fold_constants(model)
    unplug(model, find_roles(model, None).states)
    return model


@pytest.mark.parametrize(
    ("model", "axes", "streams", "batch", "port"),
    [
        (foreign_files.with_states(), Axes(0, 1), 1, "batch", Port("y", 0, 1)),
        (foreign_files.torch_zeros(), Axes(1, 0), 0, "batch", Port("output", 1, 0)),
        (foreign_files.torch_zeros(batch=1), Axes(1, 0), 0, "batch", Port("output", 1, 0)),
        (foreign_files.keras(), Axes(1, 0), 0, "batch", Port("dense", 1, 0)),
        (foreign_files.keras(batch=1, sequences=False), Axes(1, 0), 0, "batch", Port("dense", None, 0)),
        (foreign_files.tagger(), Axes(1, 0), 0, "batch", Port("tags", 2, 0)),
    ],
    ids=["time first", "batch first", "zeros of one stream", "keras", "keras, last frame", "ids"],
)
def test_time_and_streams_are_found(
    model: onnx.ModelProto, axes: Axes, streams: int, batch: int | str, port: Port
) -> None:
    layout = find_layout(_bare(model))
    assert layout is not None
    assert (layout.axes, layout.streams, layout.batch) == (axes, streams, batch)
    assert layout.outputs(model) == (port,)


def test_a_batch_that_must_not_be_free_is_one_stream() -> None:
    layout = find_layout(_bare(foreign_files.with_states()), free_batch=False)
    assert layout is not None
    assert (layout.axes, layout.streams, layout.batch) == (Axes(0, None), 1, 1)


@pytest.mark.parametrize("batch", ["N", 1])
def test_a_file_of_one_frame_per_run_has_no_layout(batch: int | str) -> None:
    assert find_layout(_bare(foreign_files.one_frame(batch=batch))) is None


def _gru(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    """Return a GRU over `signal`, which some nodes make of x [time, 1, 5]."""
    gru = helper.make_node("GRU", ["signal", "w", "r"], ["y"], "gru", hidden_size=6)
    tensors = {
        "w": floats(1, 18, 5),
        "r": floats(1, 18, 6),
        "axis": [0],
        "flat": [3, 2, 5],
        "ends": [2**40],
        "two": [2],
    }
    return model_of([*nodes, gru], {"x": ["time", 1, 5]}, ["y"], tensors)


def test_an_operator_that_skips_frames_before_the_layer_is_named() -> None:
    model = _gru(helper.make_node("Slice", ["x", "axis", "ends", "axis", "two"], ["signal"], "skip"))
    with pytest.raises(WholeSequenceError, match="Slice 'skip' changes the number of places along axis 0 of the input"):
        find_layout(model)


def test_a_layer_that_runs_along_no_axis_of_the_signal_is_refused() -> None:
    model = _gru(helper.make_node("Reshape", ["x", "flat"], ["signal"], "flatten"))
    with pytest.raises(ContractError, match=r"GRU 'gru' reads \[3, 2, 5\] as \[time, batch, features\]"):
        find_layout(model)
