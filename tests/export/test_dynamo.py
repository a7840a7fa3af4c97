"""Files of torch's dynamo exporter, whole: lifted, proven, streamed on both backends against PyTorch.

It takes seconds a model, so here stands one of each kind; tests/export/test_matrix.py has the others.
"""

import logging
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from tidegate.export import lift
from tidegate.runtime.errors import TidegateError
from tidegate.runtime.load import load
from tools import matrix
from torch import Tensor, nn

CASES = [
    *(
        matrix.Case(kind, head, layers, batch_first=(i + layers) % 2 == 0)
        for kind, (i, head), layers in product(("nn.LSTM", "nn.GRU"), enumerate(matrix.HEADS), (1, 2))
    ),
    *(matrix.Case("nn.LSTM", "each frame", front=front) for front in ("causal Conv1d", "LayerNorm")),
    matrix.Case("nn.GRU", "last frame", bias=False, batch_first=False),
    matrix.Case("nn.LSTM", "each frame", 2, extra="state in and out"),
    matrix.Case("nn.RNN tanh", "each frame"),  # it writes each of the example's frames out
]


@pytest.fixture(autouse=True)
def _unheard() -> Iterator[None]:
    """Silence torch, which logs each step of this exporter at DEBUG, and pytest records it."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def written(case: matrix.Case, path: Path) -> torch.nn.Module:
    """Export a case by the dynamo exporter; return its module."""
    module, example = case.module(), case.example(9, 2)
    given = example if isinstance(example, tuple) else (example,)
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time")
    signal = dict(enumerate((batch, time) if case.batch_first else (time, batch)))
    rest = [({1: batch}, {1: batch}) if isinstance(state, tuple) else {1: batch} for state in given[1:]]
    kinds = ["h", "c"] if "LSTM" in case.kind else ["h"]
    states = kinds if case.extra else []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own deprecations
        torch.onnx.export(
            module,
            given,
            path,
            dynamo=True,
            verbose=False,
            external_data=False,
            dynamic_shapes=(signal, *rest),
            input_names=["x", *states],
            output_names=["y", *(f"{kind}n" for kind in states)],
        )
    return module


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file_of_the_dynamo_exporter_is_lifted_and_streams(case: matrix.Case, tmp_path: Path) -> None:
    module = written(case, tmp_path / "own.onnx")
    report = lift(tmp_path / "own.onnx", tmp_path / "m.onnx")
    print(f"largest relative error {report.error:.1e}, wanted 1e-5")
    assert report.error < 1e-5
    matrix.assert_streams(report.path, module, case)


def test_there_are_some_twenty_of_them() -> None:
    assert len({case.name for case in CASES}) == len(CASES) >= 20


def test_a_projection_that_it_writes_wrong_is_refused(tmp_path: Path) -> None:
    written(matrix.Case("nn.LSTM proj_size", "each frame"), tmp_path / "own.onnx")
    with pytest.raises(TidegateError, match=r"onnxruntime cannot run the file.*initial_c"):
        lift(tmp_path / "own.onnx", tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


class Spotter(nn.Module):
    """A causal Conv2d over time, then an LSTM over channels times bins."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lstm = nn.Conv2d(1, 3, 3, padding=(0, 1)), nn.LSTM(15, 8, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.conv(nn.functional.pad(x[:, None], (0, 0, 2, 0))))
        answer: Tensor = self.lstm(y.permute(0, 2, 1, 3).flatten(2))[0]
        return answer


class Step(nn.Module):
    """One frame of a strided convolution and an LSTM cell, its states in and out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.cell, self.fc = nn.Conv1d(1, 4, 8, stride=4), nn.LSTMCell(12, 6), nn.Linear(6, 8)

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        h, c = self.cell(torch.relu(self.conv(x[:, None])).flatten(1), (h, c))
        return self.fc(h), h, c


def test_row_199_the_sizes_of_the_example_that_a_file_says_of_its_values_are_forgotten(tmp_path: Path) -> None:
    """With operator set 18 and one stream, the first layer's answers become frames by the product of two sizes."""
    case = matrix.Case("nn.LSTM", "each frame", 2)
    module, example = case.module(), torch.as_tensor(case.example(20, 1))
    frames = torch.randn(7, example.shape[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own deprecations
        torch.onnx.export(
            module,
            (example,),
            tmp_path / "own.onnx",
            dynamo=True,
            verbose=False,
            opset_version=18,
            dynamic_shapes=({1: torch.export.Dim("time")},),
            external_data=False,
        )
    said = {item.name: item for item in onnx.load(tmp_path / "own.onnx").graph.value_info}
    assert any(dim.dim_value == 20 for item in said.values() for dim in item.type.tensor_type.shape.dim)
    lift(tmp_path / "own.onnx", tmp_path / "m.onnx")
    seen = np.asarray(load(tmp_path / "m.onnx", "native").stream().push(frames.numpy()))
    np.testing.assert_allclose(seen, module(frames[None]).detach()[0], atol=1e-5)


@pytest.mark.parametrize("kind", [Spotter, Step])
def test_row_211_files_of_one_size_whose_reshapes_allow_zero_are_lifted(kind: type[nn.Module], tmp_path: Path) -> None:
    torch.manual_seed(5)
    module, step = kind().eval(), kind is Step
    x = torch.randn(12, 16) if step else torch.randn(1, 12, 5)
    states = (torch.zeros(1, 6), torch.zeros(1, 6)) if step else ()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own deprecations
        inputs, outputs = (["x", "h", "c"], ["y", "hn", "cn"]) if step else (None, None)
        torch.onnx.export(
            module,
            (x[:1], *states),
            tmp_path / "own.onnx",
            dynamo=True,
            verbose=False,
            input_names=inputs,
            output_names=outputs,
        )
    lift(tmp_path / "own.onnx", tmp_path / "m.onnx")
    stream, wanted = load(tmp_path / "m.onnx", "native").stream(), []
    with torch.no_grad():
        for frame in x if step else x[:, None]:
            answer = module(frame[None] if step else frame, *states)
            wanted.append(answer[0])
            states = answer[1:] if step else ()
    frames = (x if step else x[0]).numpy()
    seen = np.concatenate([np.asarray(stream.push(frames[at : at + 5])).reshape(-1, 8) for at in range(0, 12, 5)])
    np.testing.assert_allclose(seen, torch.cat(wanted).numpy(), atol=1e-6)
