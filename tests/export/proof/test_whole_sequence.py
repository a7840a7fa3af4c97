"""Operators that need the whole sequence: refused by the name of the module or node, and no file is left."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tidegate
import torch
from onnx import helper
from tidegate.export import export_model, lift
from tidegate.runtime.errors import ExportError, TidegateError, UnsupportedError
from torch import Tensor, nn
from torch.nn import functional

Step = Callable[["Net", Tensor], Tensor]
UNITS = 8


class Net(nn.Module):
    """An LSTM with a step before or after it, and layers for such steps."""

    def __init__(self, before: Step | None = None, behind: Step | None = None, *, bidirectional: bool = False) -> None:
        super().__init__()
        self.before, self.behind = before, behind
        self.lstm = nn.LSTM(
            UNITS, UNITS // 2 if bidirectional else UNITS, batch_first=True, bidirectional=bidirectional
        )
        self.fc = nn.Linear(UNITS, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, frames, UNITS]` to one answer per frame, or to one answer."""
        y, _ = self.lstm(self.before(self, x) if self.before else x)
        answer: Tensor = self.fc(self.behind(self, y) if self.behind else y)
        return answer


class Along(nn.Module):
    """A layer over `[batch, channels, frames]`, called with `[batch, frames, channels]`."""

    def __init__(self, layer: nn.Module, *, squeeze: bool = False) -> None:
        super().__init__()
        self.layer, self.squeeze = layer, squeeze

    def forward(self, x: Tensor) -> Tensor:
        """Turn the axes there and back."""
        y: Tensor = self.layer(x.transpose(1, 2))
        return y.squeeze(-1) if self.squeeze else y.transpose(1, 2)


def _layer(layer: nn.Module) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        net = Net(behind=lambda net, y: net.get_submodule("pool")(y))
        net.pool = layer
        return net

    return make


def _behind(step: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Net(behind=lambda _, y: step(y))


def _before(step: Callable[[Tensor], Tensor]) -> Callable[[], nn.Module]:
    return lambda: Net(before=lambda _, x: step(x))


class Attention(nn.Module):
    """nn.MultiheadAttention of a signal to itself."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = nn.MultiheadAttention(UNITS, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, frames, UNITS]` to the same shape."""
        y: Tensor = self.heads(x, x, x)[0]
        return y


class Causal(Attention):
    """nn.MultiheadAttention to the frames before, by a mask that the forward makes."""

    def __init__(self, *, weights: bool = False) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, x: Tensor) -> Tensor:
        """Map `[batch, frames, UNITS]` to the same shape."""
        y: Tensor = self.heads(x, x, x, attn_mask=_later(x), need_weights=self.weights)[0]
        return y


def _later(x: Tensor) -> Tensor:
    return torch.ones(x.shape[1], x.shape[1], dtype=torch.bool).triu(1)


def _by_hand(y: Tensor) -> Tensor:
    return (y @ y.transpose(1, 2)).masked_fill(_later(y), -torch.inf).softmax(-1) @ y


def _smooth(x: Tensor) -> Tensor:
    return functional.interpolate(x.transpose(1, 2), scale_factor=2.0).transpose(1, 2)


POSITIONS = torch.arange(100.0)[:, None] / 100

MODULES: dict[str, tuple[nn.Module, str]] = {
    "average pooling": (
        Along(nn.AdaptiveAvgPool1d(1), squeeze=True),
        r"'pool.layer' \(GlobalAveragePool .*\) pools over time",
    ),
    "max pooling": (Along(nn.AdaptiveMaxPool1d(1), squeeze=True), r"'pool.layer' \(GlobalMaxPool .*\) pools over time"),
    "windows of frames": (
        Along(nn.MaxPool1d(3, 1, 1)),
        r"'pool.layer' \(MaxPool .*\) pools over time.*causal nn.Conv1d",
    ),
    "every other frame": (Along(nn.MaxPool1d(2)), r"'pool.layer' \(MaxPool .*\) pools over time"),
    "instance norm": (
        Along(nn.InstanceNorm1d(UNITS)),
        r"'pool.layer' \(Instance.*\) normalizes over time.*nn.LayerNorm",
    ),
    "group norm": (
        Along(nn.GroupNorm(2, UNITS)),
        r"'pool.layer' \(Inst.*\) normalizes over an axis that time is folded",
    ),
    "attention": (Attention(), r"'pool.heads' \(MultiheadAttention\) needs later frames"),
    "causal attention": (
        Causal(),
        r"'pool.heads' \(.*masks scores .* it attends over time.*; let a recurrent layer do",
    ),
    "causal attention with weights": (Causal(weights=True), r"'pool.heads' \(.* it attends over time"),
    "transformer": (
        nn.TransformerEncoderLayer(UNITS, 2, 16, batch_first=True),
        r"'pool.self_attn' \(MultiheadAttention\) needs later frames",
    ),
}

STEPS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "mean": (_behind(lambda y: y.mean(1)), r"ReduceMean '/ReduceMean' pools over time.*the last frame"),
    "maximum": (_behind(lambda y: y.max(1).values), "ReduceMax .* pools over time"),
    "sum": (_behind(lambda y: y.sum(1)), "ReduceSum .* pools over time"),
    "deviation": (_behind(lambda y: y.std(1)), "ReduceMean .* pools over time"),
    "mean taken away": (_behind(lambda y: y - y.mean(1, keepdim=True)), "ReduceMean .* pools over time"),
    "largest of all": (_behind(lambda y: y / y.abs().max()), "ReduceMax .* pools over time"),
    "norm": (_behind(lambda y: functional.normalize(y, dim=1)), "ReduceL2 .* pools over time"),
    "softmax": (_behind(lambda y: torch.softmax(y, 1)), "Softmax .* takes a softmax over time"),
    "causal scores": (_behind(_by_hand), "takes a softmax over time"),
    "causal dot products": (
        _behind(lambda y: functional.scaled_dot_product_attention(y, y, y, ~_later(y))),
        "takes a softmax over time",
    ),
    "scores": (_behind(lambda y: torch.einsum("bth,bsh->bts", y, y) @ y), "attends over time"),
    "scaled attention": (_behind(lambda y: functional.scaled_dot_product_attention(y, y, y)), "over time"),
    "flip": (_behind(lambda y: y.flip(1)), "Slice .* turns around time.*bidirectional=True"),
    "cumulated sum": (_behind(lambda y: y.cumsum(1)), "CumSum .* adds up over time"),
    "interpolation": (_behind(_smooth), "Resize .* changes the number of places along time"),
    "sort": (_behind(lambda y: y.sort(1).values), "TopK .* sorts along time"),
    "first frame": (_behind(lambda y: y[:, 0]), "Gather .* takes a frame counted from the ends of a chunk"),
    "frame before the last": (_behind(lambda y: y[:, -2]), "Gather .* takes a frame counted from the ends of a chunk"),
    "first stream": (
        _behind(lambda y: y[0]),
        "Gather .* takes single ones of the streams of a batch, wanted each stream by itself; keep the axis of the",
    ),
    "mean of the streams": (_behind(lambda y: y.mean(0)), "ReduceMean .* pools over the streams .* keep the axis"),
    "differences": (_behind(lambda y: y[:, 1:] - y[:, :-1]), r"Slice .* makes \[batch, \?, 8\] of \[batch, time, 8\]"),
    "Fourier transform": (
        _behind(lambda y: torch.fft.rfft(y, dim=1).abs()),
        r"aten::fft_rfft.* at test_whole_sequence.py:\d+",
    ),
    "pooling before": (
        _before(lambda x: functional.max_pool1d(x.transpose(1, 2), 2, 1).transpose(1, 2)),
        "MaxPool .* pools over axis 1 of the input",
    ),
    "frames left out behind": (_behind(lambda y: y[:, ::2]), "Slice .* changes the number of places along time"),
    "norm of the signal": (_before(lambda x: x / x.abs().amax((1, 2), keepdim=True)), "ReduceMax .* pools over time"),
    # No rule of an operator finds these; their values do:
    "positions": (_behind(lambda y: y + POSITIONS[: y.size(1)]), "Add .* gives other values for the frames"),
    "counted positions": (_behind(lambda y: y + torch.arange(y.size(1))[:, None]), "Range .* gives other values for"),
    "last frame to all": (_behind(lambda y: y + y[:, -1:]), "Add .* gives other values for the frames"),
    "rolled": (_behind(lambda y: y.roll(1, 1)), "Concat .* gives other values for the frames"),
}  # fmt: skip


def _refused(module: nn.Module, folder: Path, message: str, **options: Any) -> None:  # noqa: ANN401  as exported
    torch.manual_seed(0)
    with pytest.raises(TidegateError, match=message) as refused:
        export_model(module, torch.randn(2, 20, UNITS), folder / "m.onnx", **options)
    assert isinstance(refused.value, UnsupportedError | ExportError)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", MODULES)
def test_a_module_that_needs_the_whole_sequence_is_refused_by_its_name(name: str, tmp_path: Path) -> None:
    layer, message = MODULES[name]
    _refused(_layer(layer)(), tmp_path, f"module {message}")


@pytest.mark.filterwarnings("ignore:std")
@pytest.mark.parametrize("name", STEPS)
def test_a_step_that_needs_the_whole_sequence_is_refused_by_its_node(name: str, tmp_path: Path) -> None:
    factory, message = STEPS[name]
    _refused(factory(), tmp_path, message)


def test_a_batch_norm_without_running_statistics_is_refused_by_its_name(tmp_path: Path) -> None:
    _refused(
        _layer(Along(nn.BatchNorm1d(UNITS, track_running_stats=False)))(), tmp_path, "'pool.layer' .* has no running"
    )


def test_attention_runs_as_before_after_an_export(tmp_path: Path) -> None:
    assert torch.backends.mha.get_fastpath_enabled()
    _refused(_layer(Attention())(), tmp_path, "MultiheadAttention")
    assert torch.backends.mha.get_fastpath_enabled()


# ---- after a backward direction ----


def test_a_mean_after_both_directions_of_a_whole_stream_is_that_of_offline(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Net(behind=lambda _, y: y.mean(1), bidirectional=True).eval()
    x = torch.randn(1, 20, UNITS)
    tidegate.export_model(module, x, tmp_path / "m.onnx")
    stream = tidegate.load(tmp_path / "m.onnx", "onnxruntime").stream()
    for chunk in np.split(x[0].numpy(), [1, 4, 11]):
        stream.push(chunk)
    with torch.no_grad():
        wanted = module(x)[0].numpy()
    error = np.abs(np.asarray(stream.finish()) - wanted).max() / np.abs(wanted).max()
    print(f"{error:.1e}, wanted 1e-5")
    assert error < 1e-5


def test_a_mean_after_both_directions_in_blocks_is_refused(tmp_path: Path) -> None:
    module = Net(behind=lambda _, y: y.mean(1), bidirectional=True)
    _refused(module, tmp_path, "ReduceMean .* pools over time", block=4, lookahead=2)


def test_a_mean_before_both_directions_is_refused(tmp_path: Path) -> None:
    module = Net(before=lambda _, x: x - x.mean(1, keepdim=True), bidirectional=True)
    _refused(module, tmp_path, "ReduceMean .* pools over time")


# ---- foreign files ----


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([("ReduceMean", ["y"], {"axes": [0], "keepdims": 1})], "ReduceMean 'n0' pools over time"),
        ([("Softmax", ["y"], {"axis": 0})], "Softmax 'n0' takes a softmax over time"),
        ([("Identity", ["y"], {}), ("Add", ["v0", "last"], {})], "Add 'n1' gives other values for the frames"),
    ],
)
def test_a_file_that_needs_the_whole_sequence_is_refused_by_its_node(
    make_graph: Callable[..., onnx.ModelProto],
    tmp_path: Path,
    nodes: list[tuple[str, list[str], dict[str, Any]]],
    message: str,
) -> None:
    model = make_graph(opset=17)
    for name, value in {"ends": [2**62], "starts": [-1], "axis": [0]}.items():
        model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(value), name))
    model.graph.node.append(helper.make_node("Slice", ["y", "starts", "ends", "axis"], ["last"], "slice"))
    for i, (op, inputs, attributes) in enumerate(nodes):
        model.graph.node.append(helper.make_node(op, inputs, [f"v{i}"], f"n{i}", **attributes))
    model.graph.output[0].name = f"v{len(nodes) - 1}"
    model.graph.output[0].type.tensor_type.ClearField("shape")
    onnx.save(model, tmp_path / "own.onnx")
    with pytest.raises(UnsupportedError, match=message):
        lift(tmp_path / "own.onnx", tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()


def test_a_file_that_pools_before_its_layers_is_refused_by_its_node(
    make_graph: Callable[..., onnx.ModelProto], tmp_path: Path
) -> None:
    model = make_graph(opset=17)
    for node in model.graph.node:
        node.input[:] = ["pooled" if name == "x" else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("ReduceMax", ["x"], ["pooled"], "top", axes=[0], keepdims=1))
    onnx.save(model, tmp_path / "own.onnx")
    with pytest.raises(UnsupportedError, match="ReduceMax 'top' pools over axis 0 of the input"):
        lift(tmp_path / "own.onnx", tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
