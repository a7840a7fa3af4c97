"""Fixed ranges of activations, from the streams to the file, the specification and every instruction set."""

import json
from pathlib import Path

import numpy as np
import pytest
from tidegate.quant import quantize
from tidegate.quant.observing.ranges import RANGE_RULES
from tidegate.runtime import _kernels
from tidegate.runtime.arrays import Floats
from tidegate.runtime.backends.native import NativeModel
from tidegate.runtime.errors import QuantizationError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.lowering.lower import QUANTIZATION_KEY, lower
from tidegate.runtime.operators.matrix import Reading
from tidegate.runtime.plan.writer import compile_program
from tidegate.runtime.reference import ReferenceStream
from tools.onnx_files import write_lstm
from tools.streams import push_cut


def streams() -> list[Floats]:
    rng = np.random.default_rng(1)
    made = [rng.normal(0, 1, (300, 6)).astype(np.float32) for _ in range(5)]
    made[0][7, 2] = 30  # an outlier
    return made


@pytest.mark.parametrize("rule", RANGE_RULES)
def test_a_file_with_ranges_streams_as_specified(tmp_path: Path, rule: str) -> None:
    source, target = write_lstm(tmp_path / "m.onnx"), tmp_path / "q.onnx"
    report = quantize(source, target, calibration=streams(), precision="W8A8", ranges=rule)
    graph = Graph.load(target)
    program = lower(graph)
    matrices = [m for op in program.ops for m in op.record().matrices]
    assert [m.reading for m in matrices] == [Reading.CONSTANT] * 3
    assert {m.name: float(m.range) for m in matrices} == {row.name: row.range for row in report.weights}
    frames = np.concatenate(streams())[:120] * np.float32(2)
    expected = ReferenceStream(program).push(frames)["output"]
    for isa in _kernels.variants():
        stream = NativeModel(compile_program(program, graph.contract), isa).stream()
        np.testing.assert_array_equal(push_cut(program, stream, frames, [0, 1, 2, 50, 120])["output"], expected)


def test_the_report_has_the_error_of_each_rule(tmp_path: Path) -> None:
    report = quantize(
        write_lstm(tmp_path / "m.onnx"), tmp_path / "q.onnx", calibration=streams(), precision="W8A8", ranges="mse"
    )
    assert report.calibration is not None
    found = report.calibration.readings
    assert list(found) == [*RANGE_RULES, "by frame", "16 bits by frame"]
    assert report.calibration.error == found["mse"]
    assert found["16 bits by frame"] < found["by frame"] < found["minmax"]
    assert found["mse"] < found["minmax"]
    largest = {row.name: row.range for row in report.weights}
    assert largest["R"] is not None
    assert 0 < largest["R"] < 1


def test_the_file_holds_a_range_for_each_weight_with_bits(tmp_path: Path) -> None:
    text = json.loads(Graph.load(_quantized(tmp_path)).metadata(QUANTIZATION_KEY) or "")
    assert set(text["activation_ranges"]) == set(text["activation_bits"]) == {"W", "R", "V"}


def _quantized(folder: Path) -> Path:
    quantize(write_lstm(folder / "m.onnx"), folder / "q.onnx", calibration=streams(), method="nearest", ranges="minmax")
    return folder / "q.onnx"


@pytest.mark.parametrize(
    ("ranges", "calibration", "message"),
    [
        ("max", streams(), "ranges is 'max', wanted minmax, percentile, mse, entropy"),
        ("mse", None, "ranges, max_bytes and max_error need calibration"),
    ],
)
def test_unusable_ranges_are_refused(
    tmp_path: Path, ranges: str, calibration: list[Floats] | None, message: str
) -> None:
    with pytest.raises(QuantizationError, match=message):
        quantize(write_lstm(tmp_path / "m.onnx"), tmp_path / "q.onnx", calibration=calibration, ranges=ranges)
    assert not (tmp_path / "q.onnx").exists()
