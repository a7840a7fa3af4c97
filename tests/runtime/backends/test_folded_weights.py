"""Quantized weights become float32 initializers; the graph that is given stays as it is."""

from pathlib import Path

import numpy as np
from onnx import numpy_helper
from tidegate.quant import quantize
from tidegate.runtime.backends.folded_weights import fold_weights
from tidegate.runtime.graph.graph import Graph
from tools.onnx_files import write_lstm


def test_folded_weights_are_codes_times_scales(tmp_path: Path) -> None:
    quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "m.int8.onnx")
    graph = Graph.load(tmp_path / "m.int8.onnx")
    before = graph.model.SerializeToString(deterministic=True)
    folded = {t.name: numpy_helper.to_array(t) for t in fold_weights(graph).model.graph.initializer}
    stored = {t.name: numpy_helper.to_array(t) for t in graph.model.graph.initializer}
    codes, scales = stored["W.int8"], stored["W.scale"]
    assert folded.keys() & {"W.int8", "W.scale"} == set()
    np.testing.assert_array_equal(folded["W"], codes.astype(np.float32) * scales[None, :, None])
    assert all(n.op_type != "DequantizeLinear" for n in fold_weights(graph).nodes)
    assert graph.model.SerializeToString(deterministic=True) == before
