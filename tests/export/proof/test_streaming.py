"""All answers of a stream, and the frames that each of them answers."""

from pathlib import Path

import numpy as np
import pytest
import torch
from tidegate.export import export_model
from tidegate.export.proof.streaming import Streamed, check_request, common, graph_axes, one_of, stream
from tidegate.runtime.backends.onnxruntime_stream import one_stream
from tidegate.runtime.contract import Port
from tidegate.runtime.errors import ExportError
from tidegate.runtime.load import load
from tools.torch_modules import EachFrame, LastAnswer
from torch import Tensor, nn

X = np.random.default_rng(0).standard_normal((7, 6)).astype(np.float32)


@pytest.mark.parametrize("port", [Port("y", 1, 0), Port("y", 0, 1), Port("y", 0, None), Port("y", None, 0)])
def test_one_stream_gets_the_axes_of_the_graph(port: Port) -> None:
    values = np.arange(12.0).reshape(4, 3)
    np.testing.assert_array_equal(one_stream(port, graph_axes(port, values)), values)


def test_the_first_stream_of_a_batch_comes_frames_first() -> None:
    x = np.arange(24.0).reshape(2, 4, 3)
    np.testing.assert_array_equal(one_of(Port("x", 1, 0), x), x[0])
    np.testing.assert_array_equal(one_of(Port("x", 0, 1), x), x[:, 0])


def test_an_answer_per_frame_is_joined_and_an_answer_per_push_is_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    export_model(EachFrame(), torch.randn(1, 7, 6), tmp_path / "each.onnx")
    export_model(LastAnswer(), torch.randn(1, 7, 6), tmp_path / "last.onnx")
    each = stream(load(tmp_path / "each.onnx"), X, [3, 4])["output"]
    last = stream(load(tmp_path / "last.onnx"), X, [3, 4])["output"]
    assert (len(each.values), each.ends) == (7, None)
    assert (len(last.values), last.ends) == (2, (3, 7))
    np.testing.assert_array_equal(last.values[0], load(tmp_path / "last.onnx").stream().push(X[:3]))


def test_the_answer_of_finish_comes_after_all_frames(tmp_path: Path) -> None:
    class Whole(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(6, 4, batch_first=True, bidirectional=True)

        def forward(self, x: Tensor) -> Tensor:
            h = self.lstm(x)[1][0]
            return torch.cat((h[0], h[1]), 1)

    export_model(Whole(), torch.randn(1, 7, 6), tmp_path / "m.onnx")
    found = stream(load(tmp_path / "m.onnx"), X, [3, 4])["output"]
    assert (found.values.shape, found.ends) == ((1, 8), (8,))


def test_answers_are_paired_by_the_frames_before_them() -> None:
    each, few = Streamed(np.arange(1.0, 8.0), tuple(range(1, 8))), Streamed(np.array([30.0, 70.0]), (3, 7))
    one, other, ends = common(each, few)
    assert (one.tolist(), other.tolist(), ends) == ([3, 7], [30, 70], (3, 7))
    frames = Streamed(np.arange(7.0))
    assert common(frames, frames)[2] is None


@pytest.mark.parametrize("chunks", [[], [0], [-1], ["some"], [1.5], "all"])
def test_sizes_of_chunks_that_are_none_are_refused(chunks: list[object]) -> None:
    with pytest.raises(ExportError, match=r"wanted numbers of frames or 'all', e.g. \[1, 3, 'all'\]"):
        check_request(X, chunks, None)
    check_request(X, [1, 3, "all"], 0.0)


@pytest.mark.parametrize("limit", [-1.0, float("nan")])
def test_a_limit_that_no_error_meets_and_data_without_frames_are_refused(limit: float) -> None:
    with pytest.raises(ExportError, match=f"limit is {limit}, wanted a number of 0 or more"):
        check_request(X, ["all"], limit)
    with pytest.raises(ExportError, match="the data has no frame, wanted at least one"):
        check_request(X[:0], ["all"], None)
