"""Files of one frame per run: their batch becomes time, with the same answers as frame by frame."""

import numpy as np
import onnx
import pytest
from onnx import helper
from tidegate.export.foreign.frames_as_batch import batch_holds_frames, keep_context, run_along_batch
from tidegate.export.foreign.input_roles import find_roles
from tidegate.export.graph.axes import shape_of, trace_dims
from tidegate.export.states.recurrent_states import unplug
from tidegate.runtime.arrays import Array
from tidegate.runtime.errors import UnsupportedError
from tools import foreign_files
from tools.graphs import floats, model_of, run


def _bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Return a copy without states."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    unplug(made, find_roles(made, None).states)
    return made


def test_a_file_is_recognized_by_the_batch_of_its_layers() -> None:
    alone = _bare(foreign_files.one_frame())
    assert batch_holds_frames(alone, trace_dims(alone, (0,)))
    along_time = _bare(foreign_files.with_states())
    assert not batch_holds_frames(along_time, trace_dims(along_time, (0, 1)))


@pytest.mark.parametrize("op", ["LSTM", "GRU"])
def test_one_run_of_many_frames_equals_many_runs_of_one(op: str) -> None:
    model = foreign_files.one_frame(op)
    x = floats(6, 5)
    states = {f"{kind}_prev": np.zeros((1, 1, 6), np.float32) for kind in ("hc" if op == "LSTM" else "h")}
    wanted = []
    for frame in x:
        answer = run(model, {"frame": frame[None], **states})
        states = {name: answer[name.replace("prev", "next")] for name in states}
        wanted.append(answer["logits"][0])
    bare = _bare(model)
    run_along_batch(bare)
    onnx.checker.check_model(bare, full_check=True)
    np.testing.assert_allclose(run(bare, {"frame": x})["logits"], np.stack(wanted), atol=1e-6)


def test_a_cell_state_in_an_answer_is_refused() -> None:
    model = foreign_files.one_frame()
    node = next(node for node in model.graph.node if node.op_type == "LSTM")
    model.graph.node.append(helper.make_node("Relu", [node.output[2]], ["extra"]))
    with pytest.raises(UnsupportedError, match="its final state is part of an answer, wanted only its outputs"):
        run_along_batch(model)


CONTEXT, NEW, FRAMES = 2, 3, 7


def _with_context() -> onnx.ModelProto:
    """Return a model of [frames, CONTEXT + NEW] that repeats its input, made to keep its context."""
    model = model_of([helper.make_node("Identity", ["x"], ["y"])], {"x": ["frames", CONTEXT + NEW]}, ["y"])
    state = keep_context(model, model.graph.input[0], CONTEXT)
    assert (state.input, state.output, state.shape) == ("x.context_in", "x.context_out", (1, CONTEXT))
    return model


@pytest.mark.parametrize("chunks", [[7], [1] * 7, [2, 1, 4]], ids=str)
def test_each_frame_gets_the_last_samples_of_the_frame_before(chunks: list[int]) -> None:
    model, x = _with_context(), floats(FRAMES, NEW)
    assert shape_of(model.graph.input[0]) == ("frames", NEW)
    state, seen = np.zeros((1, CONTEXT), np.float32), list[Array]()
    for part in np.split(x, np.cumsum(chunks)[:-1]):
        answer = run(model, {"x": part, "x.context_in": state})
        state = answer["x.context_out"]
        seen.append(answer["y"])
    before = np.concatenate([np.zeros((1, CONTEXT), np.float32), x[:-1, -CONTEXT:]])
    np.testing.assert_array_equal(np.concatenate(seen), np.concatenate([before, x], 1))
    np.testing.assert_array_equal(state, x[-1:, -CONTEXT:])


@pytest.mark.parametrize("samples", [3, 5])
def test_a_context_longer_than_a_frame_is_refused(samples: int) -> None:
    model = model_of([helper.make_node("Identity", ["x"], ["y"])], {"x": ["frames", 5]}, ["y"])
    with pytest.raises(UnsupportedError, match=rf"input 'x': context {samples} of 5 samples, wanted at most one frame"):
        keep_context(model, model.graph.input[0], samples)
