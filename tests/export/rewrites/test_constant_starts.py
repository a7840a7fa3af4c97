"""Layers that start from parameters, buffers and constants: a stream starts from them, and from them again."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tidegate.export import export_model
from tidegate.quant import quantize
from tidegate.runtime.arrays import Array
from tidegate.runtime.contract import ZEROS
from tidegate.runtime.errors import ExportError, TidegateError, UnsupportedError
from tidegate.runtime.graph.graph import Graph
from tidegate.runtime.graph.initial_states import initial_states
from tidegate.runtime.load import compile_model, load
from torch import Tensor, nn

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
FEATURES, HIDDEN = 3, 5
FRAMES = np.random.default_rng(1).normal(0, 1, (9, FEATURES)).astype(np.float32)


class Started(nn.Module):
    """A recurrent layer whose states start from parameters, and a head."""

    def __init__(self, kind: Callable[..., nn.RNNBase] = nn.LSTM, layers: int = 1, **options: int) -> None:
        super().__init__()
        self.rnn = kind(FEATURES, HIDDEN, layers, batch_first=True, **options)
        self.fc = nn.Linear(options.get("proj_size", HIDDEN), 2)
        sizes = [options.get("proj_size", HIDDEN), HIDDEN][: 1 + (kind is nn.LSTM)]
        self.starts = nn.ParameterList(torch.randn(layers, 1, size) for size in sizes)

    def first(self, batch: int) -> list[Tensor]:
        return [start.expand(-1, batch, -1).contiguous() for start in self.starts]

    def forward(self, x: Tensor) -> Tensor:
        first = self.first(x.shape[0])
        answer: Tensor = self.fc(self.rnn(x, tuple(first) if len(first) > 1 else first[0])[0])
        return answer


class Repeated(Started):
    """The start is computed from a parameter and repeated."""

    def first(self, batch: int) -> list[Tensor]:
        return [torch.tanh(2 * start).repeat(1, batch, 1) for start in self.starts]


class OnlyH(Started):
    """Only h is learned."""

    def first(self, batch: int) -> list[Tensor]:
        h, _ = super().first(batch)
        return [h, torch.zeros_like(h)]


class Filled(Started):
    """Numbers instead of parameters, and a buffer."""

    bias: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bias", torch.linspace(-1, 1, HIDDEN))

    def first(self, batch: int) -> list[Tensor]:
        return [torch.full((1, batch, HIDDEN), 0.25), torch.zeros(1, batch, HIDDEN) + self.bias]


class Unbatched(nn.Module):
    """A layer that takes one sequence `[frames, features]`."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.h0 = nn.GRU(FEATURES, HIDDEN), nn.Parameter(torch.randn(1, HIDDEN))

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.rnn(x, self.h0)[0]
        return answer


class Loop(nn.Module):
    """A cell in a loop over time, started from parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(FEATURES, HIDDEN)
        self.h0, self.c0 = (nn.Parameter(torch.randn(HIDDEN)) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        h, c = (start.expand(x.shape[0], -1) for start in (self.h0, self.c0))
        answers = []
        for t in range(x.shape[1]):
            h, c = self.cell(x[:, t], (h, c))
            answers.append(h)
        return torch.stack(answers, 1)


class Two(nn.Module):
    """Two modules, of which only the second starts from a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.low, self.high = nn.LSTM(FEATURES, 4, batch_first=True), Started(nn.GRU)
        self.high.rnn = nn.GRU(4, HIDDEN, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.high(self.low(x)[0])
        return answer


MODULES: dict[str, tuple[Callable[[], nn.Module], list[str]]] = {
    "lstm": (Started, ["rnn.h_0", "rnn.c_0"]),
    "two layers": (lambda: Started(nn.LSTM, 2), ["rnn.h_0", "rnn.c_0"]),
    "gru": (lambda: Started(nn.GRU, 2), ["rnn.h_0"]),
    "rnn": (lambda: Started(nn.RNN), ["rnn.h_0"]),
    "projected": (lambda: Started(nn.LSTM, 2, proj_size=2), ["rnn.h_0", "rnn.c_0"]),
    "computed": (Repeated, ["rnn.h_0", "rnn.c_0"]),
    "only h": (OnlyH, ["rnn.h_0", ZEROS]),
    "numbers and a buffer": (Filled, ["rnn.h_0", "rnn.c_0"]),
    "one sequence": (Unbatched, ["rnn.h_0"]),
    "loop": (Loop, ["cell.h_0", "cell.c_0"]),
    "two modules": (Two, [ZEROS, ZEROS, "high.rnn.h_0"]),
}


def answers_of(module: nn.Module, frames: Array, *, batch: bool = True) -> Array:
    x = torch.from_numpy(frames)
    with torch.no_grad():
        y: Array = (module(x[None])[0] if batch else module(x)).numpy()
    return y


@pytest.mark.parametrize("name", MODULES)
def test_row_65_a_stream_starts_from_the_constants_on_both_backends_and_after_reset(tmp_path: Path, name: str) -> None:
    factory, names = MODULES[name]
    torch.manual_seed(0)
    module, batch = factory().eval(), name != "one sequence"
    report = export_model(
        module, torch.randn(2, 9, FEATURES) if batch else torch.randn(9, FEATURES), tmp_path / "m.onnx"
    )
    assert [state.initial for state in report.contract.states] == names
    wanted = answers_of(module, FRAMES, batch=batch)
    for backend in ("native", "onnxruntime"):
        stream = load(tmp_path / "m.onnx", backend).stream()
        for _ in range(2):
            parts = [np.asarray(stream.push(part)) for part in np.split(FRAMES, [1, 4])]
            np.testing.assert_allclose(np.concatenate(parts), wanted, atol=2e-6)
            stream.reset()


def test_the_first_layer_may_start_from_zeros_and_the_second_from_constants(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Started(nn.GRU, 2).eval()
    with torch.no_grad():
        module.starts[0][0] = 0
    export_model(module, torch.randn(2, 9, FEATURES), tmp_path / "m.onnx")
    graph = Graph.load(tmp_path / "m.onnx")
    np.testing.assert_array_equal(initial_states(graph, graph.contract)["rnn.h_in"], module.starts[0].detach().numpy())


def test_quantized_files_and_plans_keep_the_constants(tmp_path: Path) -> None:
    torch.manual_seed(0)
    module = Started(nn.LSTM, 2).eval()
    export_model(module, torch.randn(2, 9, FEATURES), tmp_path / "m.onnx")
    quantize(tmp_path / "m.onnx", tmp_path / "m.int8.onnx", calibration=[FRAMES] * 8)
    compile_model(tmp_path / "m.int8.onnx", tmp_path / "m.tide")
    want = load(tmp_path / "m.onnx").stream().state()
    for name in ("m.int8.onnx", "m.tide"):
        stream = load(tmp_path / name).stream()
        np.testing.assert_equal(stream.state(), want)
        wanted = answers_of(module, FRAMES)
        np.testing.assert_allclose(np.asarray(stream.push(FRAMES)), wanted, atol=0.05)


# ---- refused ----


class FromSignal(Started):
    """The start depends on the first frame."""

    def forward(self, x: Tensor) -> Tensor:
        h = x[:, :1, :1].transpose(0, 1).expand(-1, -1, HIDDEN).contiguous()
        answer: Tensor = self.fc(self.rnn(x, (h, torch.zeros_like(h)))[0])
        return answer


class EachItsOwn(Started):
    """Each stream of a batch starts from another number."""

    def first(self, batch: int) -> list[Tensor]:
        own = torch.arange(batch, dtype=torch.float32)[None, :, None]
        return [start + own for start in self.starts]


class BothWays(Started):
    """A bidirectional layer that starts from parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.fc = nn.LSTM(FEATURES, HIDDEN, bidirectional=True, batch_first=True), nn.Linear(2 * HIDDEN, 2)
        self.starts = nn.ParameterList(torch.randn(2, 1, HIDDEN) for _ in range(2))


class Huge(Started):
    """A start that no state can have."""

    def first(self, batch: int) -> list[Tensor]:
        return [1e30 * start for start in super().first(batch)]


@pytest.mark.parametrize(
    ("factory", "kind", "message"),
    [
        (FromSignal, UnsupportedError, "initial_h comes from .*, wanted zeros or constants that are the same for all"),
        (EachItsOwn, UnsupportedError, "initial_h comes from .*, wanted zeros or constants that are the same for all"),
        (BothWays, UnsupportedError, "initial_h is not zeros, but its backward direction starts from zeros in each"),
        (Huge, TidegateError, r"state 'rnn\.h_in' starts from 'rnn\.h_0', which holds .*, wanted finite values"),
    ],
)
def test_other_starts_are_refused_by_name(
    tmp_path: Path, factory: Callable[[], nn.Module], kind: type[ExportError], message: str
) -> None:
    with pytest.raises(kind, match=message):
        export_model(factory(), torch.randn(2, 9, FEATURES), tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_way_out_of_the_refusal_works(tmp_path: Path) -> None:
    """Hand the state in as an argument; a stream may then start from any state by name."""

    class HandedIn(Started):
        def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
            y, (h, c) = self.rnn(x, (h, c))
            return self.fc(y), h, c

    module, zeros = HandedIn().eval(), torch.zeros(1, 2, HIDDEN)
    export_model(module, (torch.randn(2, 9, FEATURES), zeros, zeros), tmp_path / "m.onnx")
    h, c = (start.detach() for start in module.starts)
    stream = load(tmp_path / "m.onnx").stream({"h": h.numpy(), "c": c.numpy()})
    with torch.no_grad():
        wanted = module(torch.from_numpy(FRAMES)[None], h, c)[0][0].numpy()
    np.testing.assert_allclose(np.asarray(stream.push(FRAMES)), wanted, atol=2e-6)
