"""Recurrent nodes that read parts of a frame: rows with states of their own, or steps inside a frame."""

import numpy as np
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.backends.onnxruntime import OnnxruntimeModel
from tidegate.runtime.contract import State
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.load import compile_graph
from tidegate.runtime.operators import Folded, Lstm
from tools.drafts import FEATURES, HIDDEN, Draft, part, refuses

PARTS = 2  # of the features of a frame


def split(d: Draft) -> str:
    """Return the frames `[time, batch, features]` as `[time, parts, features]`."""
    return d.add("Reshape", "x", d.tensor([-1, PARTS, FEATURES // PARTS], np.int64))


def rows(d: Draft) -> None:
    """A layer along time whose batch holds the parts of a frame."""
    names = "h", "c"
    d.states += [State(name, f"{name}.out", name, (1, "batch", PARTS, HIDDEN)) for name in names]
    folded = [d.add("Reshape", name, d.tensor([1, -1, HIDDEN], np.int64)) for name in names]
    y = d.squeeze(d.lstm(split(d), FEATURES // PARTS, start=folded, final=("hn", "cn")), 1)
    for name in names:
        d.add("Reshape", f"{name}n", d.tensor([1, -1, PARTS, HIDDEN], np.int64), to=f"{name}.out")
    d.answer(d.add("Reshape", y, d.tensor([-1, 1, PARTS * HIDDEN], np.int64)))


def steps(d: Draft, final: str = "") -> str:
    """A layer inside a frame: its steps are the parts of a frame."""
    turned = d.add("Transpose", split(d), perm=[1, 0, 2])
    return d.squeeze(d.lstm(turned, FEATURES // PARTS, start=("", ""), final=(final, "")), 1)


def along_time(d: Draft, y: str) -> str:
    """Return the answers of all steps of a frame, then a layer along time."""
    wide = d.add("Reshape", d.add("Transpose", y, perm=[1, 0, 2]), d.tensor([-1, 1, PARTS * HIDDEN], np.int64))
    return d.layer(wide, PARTS * HIDDEN)


def streams_as_in_onnxruntime(d: Draft) -> None:
    frames = np.random.default_rng(1).normal(0, 1, (9, FEATURES)).astype(np.float32)
    native, other = NativeModel(compile_graph(d.graph())).stream(), OnnxruntimeModel(d.graph()).stream()
    seen = np.concatenate([native.push(part) for part in (frames[:1], frames[1:6], frames[6:])])
    np.testing.assert_allclose(seen, other.push(frames), atol=1e-6)


def test_parts_in_the_batch_of_a_layer_along_time_are_rows() -> None:
    d = Draft(int8=False)
    rows(d)
    (op,) = (op for op in d.program().ops if isinstance(op, Folded))
    assert (op.steps, op.rows, op.carried) == (1, PARTS, True)
    streams_as_in_onnxruntime(d)


def test_frames_in_the_batch_of_a_layer_are_inside_it() -> None:
    d = Draft(int8=False)
    d.answer(along_time(d, steps(d)))
    folded, along = (op for op in d.program().ops if isinstance(op, Folded | Lstm))
    assert isinstance(folded, Folded)
    assert (folded.steps, folded.rows, folded.carried, folded.slots) == (PARTS, 1, False, ())
    assert isinstance(along, Lstm)
    streams_as_in_onnxruntime(d)


def test_the_final_h_of_a_layer_inside_a_frame_is_its_last_step() -> None:
    d = Draft(int8=False)
    steps(d, "hn")
    d.answer(d.layer(d.add("Transpose", "hn", perm=[1, 0, 2]), HIDDEN))
    streams_as_in_onnxruntime(d)


def test_a_state_of_another_number_of_rows_is_refused() -> None:
    def build(d: Draft) -> None:
        rows(d)
        d.states[:] = [State(s.input, s.output, s.kind, (1, "batch", 3, HIDDEN)) for s in d.states]

    refuses(part(build), UnsupportedError, "its state 'h' has shape (1, 'batch', 3, 8), wanted 2 x 8 values last")
