"""LSTMs with proj_size stream like others, although neither torch's exporter nor an ONNX operator has them."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from tidegate.export import ExportReport, export_model
from tidegate.quant import quantize
from tidegate.runtime.arrays import Answer, Array
from tidegate.runtime.errors import UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.load import load
from torch import Tensor, nn

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
FEATURES, HIDDEN, PROJECTED = 6, 8, 3


class Projected(nn.Module):
    """An LSTM with projection and a head on every frame."""

    def __init__(self, layers: int = 1, *, batch_first: bool = True, bias: bool = True) -> None:
        super().__init__()
        self.lstm = nn.LSTM(FEATURES, HIDDEN, layers, batch_first=batch_first, bias=bias, proj_size=PROJECTED)
        self.head = nn.Linear(PROJECTED, 4)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.head(self.lstm(x)[0])
        return answer


class Finals(Projected):
    """All frames and the last h as answers; initial states made by hand."""

    def forward(self, x: Tensor) -> dict[str, Tensor]:  # type: ignore[override] # another answer on purpose
        sizes = (PROJECTED, HIDDEN)
        start = [torch.zeros(self.lstm.num_layers, x.size(0), size) for size in sizes]
        y, (h, c) = self.lstm(x, (start[0], start[1]))
        return {"frames": y, "last": self.head(h[-1]), "cells": c}


class Own(nn.LSTM):
    """A subclass with its own forward."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override] # another answer on purpose
        return torch.relu(super().forward(x)[0])


class Mixed(nn.Module):
    """Layers with and without projection."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.LSTM(FEATURES, HIDDEN, batch_first=True)
        self.second = Own(HIDDEN, HIDDEN, 2, batch_first=True, proj_size=HIDDEN - 1)
        self.third = nn.GRU(HIDDEN - 1, 4, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.third(self.second(self.first(x)[0]))[0]
        return answer


class Moved(Projected):
    """A state that comes from the signal."""

    def forward(self, x: Tensor) -> Tensor:
        first = x[:, :1, :PROJECTED].transpose(0, 1).contiguous(), torch.zeros(1, x.size(0), HIDDEN)
        answer: Tensor = self.lstm(x, first)[0]
        return answer


def export(factory: Callable[[], nn.Module], path: Path, *shape: int) -> ExportReport:
    torch.manual_seed(1)
    example = torch.randn(shape or (2, 20, FEATURES), generator=torch.Generator().manual_seed(3))
    return export_model(factory(), example, path)


def by_name(answer: Answer) -> dict[str, Array]:
    return answer if isinstance(answer, dict) else {"": answer}


MODULES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "one_layer": (Projected, (2, 20, FEATURES)),
    "three_layers": (partial(Projected, 3), (2, 20, FEATURES)),
    "time_first": (partial(Projected, batch_first=False), (20, 2, FEATURES)),
    "without_batch": (partial(Projected, 2), (20, FEATURES)),
    "without_bias": (partial(Projected, 2, bias=False), (2, 20, FEATURES)),
    "final_states": (partial(Finals, 2), (2, 20, FEATURES)),
    "mixed": (Mixed, (2, 20, FEATURES)),
}


@pytest.mark.parametrize("name", MODULES)
def test_projected_lstm_proves_itself_and_runs_on_the_engine(name: str, tmp_path: Path) -> None:
    factory, shape = MODULES[name]
    report = export(factory, tmp_path / "m.onnx", *shape)
    made = quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx")
    assert made.backend.startswith("native")
    assert {row.bits for row in made.weights} == {8}
    frames = np.random.default_rng(1).normal(0, 1, (60, FEATURES)).astype(np.float32)
    seen, wanted = (
        by_name(load(tmp_path / "m.int8.onnx", backend).stream().push(frames)) for backend in ("native", "onnxruntime")
    )
    error = max(float(np.abs(seen[key] - wanted[key]).max() / np.abs(wanted[key]).max()) for key in wanted)
    print(f"{name}: {report.error:.1e}, engine against onnxruntime {error:.1e}")
    assert error <= 3e-4


def test_h_has_the_projected_size_and_c_that_of_the_units(tmp_path: Path) -> None:
    contract = export(partial(Projected, 2), tmp_path / "m.onnx").contract
    assert [(state.input, state.kind, state.shape) for state in contract.states] == [
        ("lstm.h_in", "h", (2, "batch", PROJECTED)),
        ("lstm.c_in", "c", (2, "batch", HIDDEN)),
    ]


def test_weights_are_named_after_the_module_and_no_marker_is_left(tmp_path: Path) -> None:
    export(partial(Projected, 2), tmp_path / "m.onnx")
    model = Graph.load(tmp_path / "m.onnx").model
    names = {tensor.name for tensor in model.graph.initializer}
    assert {
        f"lstm.{key}_l{layer}" for layer in (0, 1) for key in ("weight_ih", "weight_hh", "weight_hr", "bias")
    } <= names
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 20)]
    assert {node.domain for node in model.graph.node} == {""}


def test_torch_is_as_before(tmp_path: Path) -> None:
    before = nn.LSTM.forward
    export(Projected, tmp_path / "m.onnx")
    assert nn.LSTM.forward is before
    with pytest.raises(UnsupportedError):
        export(Moved, tmp_path / "n.onnx")
    assert nn.LSTM.forward is before


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (Moved, "Scan '/lstm/LSTM': initial_h comes from .*, wanted zeros or constants that are the same for all"),
        (
            lambda: nn.Sequential(nn.LSTM(FEATURES, HIDDEN, proj_size=PROJECTED, bidirectional=True)),
            "module '0': bidirectional with proj_size, wanted one direction; use bidirectional=False",
        ),
    ],
)
def test_what_cannot_stream_is_refused_by_name(factory: Callable[[], nn.Module], message: str, tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match=message):
        export(factory, tmp_path / "m.onnx")
    assert not list(tmp_path.iterdir())
