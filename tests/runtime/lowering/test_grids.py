"""Frames of several axes on the engine, against onnxruntime, for random graphs."""

import os
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from tidegate.runtime.arrays import Floats
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.lowering.grids import as_grid
from tidegate.runtime.lowering.lower import lower
from tidegate.runtime.lowering.trace import Trace
from tidegate.runtime.lowering.values import BATCH, FEATURE, TIME, Signal
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.reference import ReferenceStream
from tools.drafts import FEATURES, Draft
from tools.frame_graphs import frame_graphs

onnxruntime = pytest.importorskip("onnxruntime")

CASES = int(os.environ.get("TIDEGATE_CASES", "1500")) // 10
TOLERANCE = 2e-3  # of answers of order 1: products of 16-bit activations, then normalizations; seen: 4e-4


def _in_onnxruntime(draft: Draft, x: Floats) -> Floats:
    model = draft.graph().model
    options = onnxruntime.SessionOptions()  # optimized, it quantizes activations to 8 bits after a DequantizeLinear
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    answer: Floats = session.run(None, {"x": x})[0]
    return answer


@settings(max_examples=CASES, derandomize=True)
@given(draft=frame_graphs())
def test_any_graph_inside_a_frame_equals_onnxruntime(draft: Draft) -> None:
    x = np.random.default_rng(0).normal(0, 1, (5, FEATURES)).astype(np.float32)
    graph = draft.graph()
    program = lower(graph)
    wanted = _in_onnxruntime(draft, x)
    (seen,) = ReferenceStream(program).push(x).values()
    assert seen is not None
    difference = float(np.abs(seen - wanted).max() / max(1.0, float(np.abs(wanted).max())))
    print(f"{difference:.1e}", [node.op_type for node in draft.nodes])
    assert difference <= TOLERANCE
    answered = np.asarray(NativeModel(compile_program(program, graph.contract)).stream().push(x))
    np.testing.assert_array_equal(answered, seen)


def test_a_signal_with_two_axes_of_features_is_refused() -> None:
    trace = cast("Trace", SimpleNamespace(widths={1: 4}))
    assert as_grid(trace, Signal(1, (TIME, BATCH, FEATURE))).places.shape == (1, 1, 4)
    with pytest.raises(UnsupportedError, match="of which only one may be that of features; export it again"):
        as_grid(trace, Signal(1, (FEATURE, FEATURE)))
