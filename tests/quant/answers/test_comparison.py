"""The error of answers: right values, on every backend, for every kind of answer."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tidegate as tg
import torch
from onnx import TensorProto, helper, numpy_helper
from tidegate.quant.answers.comparison import FAINT, Comparison, answers, compare, rms
from tidegate.quant.answers.trial import opened
from tidegate.runtime.errors import QuantizationError
from tidegate.runtime.graph.graph import Graph
from tools.nets import Net
from tools.onnx_files import write_lstm


def scaled(graph: Graph, factor: float, *names: str) -> Graph:
    """Return a graph with some of its constants multiplied."""
    made = Graph.parse(graph.model.SerializeToString(), "made")
    for tensor in made.model.graph.initializer:
        if tensor.name in names:
            tensor.CopyFrom(numpy_helper.from_array(factor * numpy_helper.to_array(tensor), tensor.name))
    return Graph(made.model)


def compared(graph: Graph) -> Comparison:
    found = compare(graph)
    assert found is not None
    return found


def for_onnxruntime(path: Path) -> Graph:
    """Return a graph whose last operator, Asinh, is not on the engine; it changes its input by less than 0.001 %."""
    graph = Graph.load(write_lstm(path))
    tensors = [numpy_helper.from_array(np.array(x, np.float32), name) for name, x in (("down", 1e-3), ("up", 1e3))]
    graph.model.graph.initializer.extend(tensors)
    next(node for node in graph.nodes if node.op_type == "Gemm").output[0] = "before"
    nodes = [("Mul", ["before", "down"], "small"), ("Asinh", ["small"], "odd"), ("Mul", ["odd", "up"], "output")]
    graph.model.graph.node.extend(helper.make_node(op, reads, [made]) for op, reads, made in nodes)
    return Graph(graph.model)


def test_answers_a_tenth_too_large_err_by_a_tenth_at_every_level(tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    report = compared(graph).report(opened(scaled(graph, 1.1, "V", "b")))
    assert list(report.levels.values()) == pytest.approx([0.1] * 4, rel=1e-4)
    assert report.errors == {"output": pytest.approx(0.1, rel=1e-4)}
    assert report.error == max(report.levels.values())
    assert report.frames == 8000


def test_the_same_model_errs_by_nothing(tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    assert compared(graph).report(opened(graph)).error == 0


def test_a_model_that_the_engine_does_not_run_is_compared_on_onnxruntime(tmp_path: Path) -> None:
    graph = for_onnxruntime(tmp_path / "m.onnx")
    model = opened(scaled(graph, 1.1, "V", "b"))
    assert model.backend == "onnxruntime"
    assert compared(graph).report(model).error == pytest.approx(0.1, rel=1e-2)


def test_every_frame_counts_if_a_push_gives_one_answer(tmp_path: Path) -> None:
    graph = Graph.load(write_lstm(tmp_path / "m.onnx"))
    frames = np.random.default_rng(0).standard_normal((30, 6), np.float32)
    made, stream = answers(opened(graph), frames)["output"], opened(graph).stream()
    np.testing.assert_array_equal(made.reshape(30, 3), [stream.push(frame[None]) for frame in frames])


class Later(torch.nn.Module):
    """A causal LSTM after a convolution that looks one frame ahead."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lstm = torch.nn.Conv1d(6, 6, 3, padding=1), torch.nn.LSTM(6, 8, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y: torch.Tensor = self.lstm(self.conv(x.transpose(1, 2)).transpose(1, 2))[0]
        return y


def test_the_answers_that_come_at_the_end_count_too(tmp_path: Path) -> None:
    torch.manual_seed(0)
    tg.export_model(Later(), torch.randn(1, 20, 6), tmp_path / "m.onnx")
    graph = Graph.load(tmp_path / "m.onnx")
    assert graph.contract.lookahead == 1
    frames = np.random.default_rng(0).standard_normal((30, 6), np.float32)
    (made,) = answers(opened(graph), frames).values()
    stream = opened(graph).stream()
    pushed, last = np.asarray(stream.push(frames)), np.asarray(stream.finish())
    np.testing.assert_array_equal(made.reshape(30, 8), np.concatenate([pushed, last]))
    assert compared(graph).report(opened(graph)).error == 0


def test_each_output_has_its_own_error(tmp_path: Path) -> None:
    head = helper.make_node("Gemm", ["frame", "V", "b2"], ["second"], name="second", transB=1)
    source = write_lstm(tmp_path / "m.onnx", nodes=[head])
    graph = Graph.load(source)
    info = helper.make_tensor_value_info("second", TensorProto.FLOAT, ["batch", 3])
    graph.model.graph.output.append(info)
    graph.model.graph.initializer.append(numpy_helper.from_array(np.full(3, 100, np.float32), "b2"))
    contract = graph.contract
    both = (*contract.outputs, replace(contract.outputs[0], name="second"))
    graph.set_metadata("tidegate.contract", replace(contract, outputs=both).to_json())
    graph = Graph(graph.model)
    report = compared(graph).report(opened(scaled(graph, 1.02, "b2")))
    assert report.errors == {"output": 0, "second": pytest.approx(0.02, rel=0.05)}
    assert report.error == pytest.approx(0.02 / np.sqrt(2), rel=0.05)


def test_answers_too_faint_to_measure_are_measured_against_the_loudest() -> None:
    loud, faint = np.array([1.0, -1.0]), np.array([1e-9, -1e-9])
    found = Comparison({}, {"loud": {"y": loud}, "faint": {"y": faint}})
    assert found._error(2 * faint, "faint", "y") == pytest.approx(1e-9 / FAINT)
    assert found._error(1.5 * loud, "loud", "y") == pytest.approx(0.5)


def test_zeros_are_right_only_if_they_are_zeros() -> None:
    silent = Comparison({}, {"noise": {"y": np.zeros(4)}})
    assert silent._error(np.zeros(4), "noise", "y") == 0
    assert silent._error(np.full(4, 1e-6), "noise", "y") == 1


def test_an_answer_that_is_not_finite_is_refused(tmp_path: Path) -> None:
    graph = for_onnxruntime(tmp_path / "m.onnx")
    with pytest.raises(QuantizationError, match="output 'output' of the quantized model is not finite on noise of 1"):
        compared(graph).report(opened(scaled(graph, np.inf, "up")))


def test_a_quantized_model_that_refuses_what_the_float_model_takes_is_refused(tmp_path: Path) -> None:
    net = Net(np.random.default_rng(0), 6)
    net.cell("RNN", 5, activations=["Relu"])
    net.tensors["net0.R"] = 0.5 * np.eye(5, dtype=np.float32)[None]
    net.save(tmp_path / "m.onnx", 18, last=False)
    graph = Graph.load(tmp_path / "m.onnx")
    with pytest.raises(
        QuantizationError, match=r"refuses noise of 1, and the float model does not \(.*\); choose more"
    ):
        compared(graph).report(opened(scaled(graph, 4, "net0.R")))


def test_a_float_model_whose_answers_are_not_finite_is_not_compared(tmp_path: Path) -> None:
    assert compare(scaled(for_onnxruntime(tmp_path / "m.onnx"), np.nan, "up")) is None


def test_root_mean_square() -> None:
    assert rms([3.0, 4.0]) == pytest.approx(np.sqrt(12.5))
    assert rms([]) == 0
