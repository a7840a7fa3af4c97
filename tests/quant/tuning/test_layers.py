"""Fine-tuning: a module's answers equal the engine's to the bit, and its gradients are close to the float module's."""

import re
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

import tidegate as tg  # noqa: E402  torch is an extra
from tidegate.quant.tuning.layers import TunableLinear, tunable  # noqa: E402
from torch import Tensor, nn  # noqa: E402

CELLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "lstm": (nn.LSTM, {}),
    "gru": (nn.GRU, {}),
    "tanh": (nn.RNN, {}),
    "relu": (nn.RNN, {"nonlinearity": "relu"}),
}
FEATURES = 5


class Net(nn.Module):
    """A recurrent net between two linear layers."""

    def __init__(self, cell: str, **options: Any) -> None:  # noqa: ANN401  those of torch
        super().__init__()
        kind, more = CELLS[cell]
        self.into = nn.Linear(FEATURES, 9)
        self.rec = kind(9, 11, batch_first=True, **more, **options)
        self.head = nn.Linear(22 if options.get("bidirectional") else 11, 3, bias=options.get("bias", True))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.rec(torch.relu(self.into(x)))[0])
        return y


class Convolved(nn.Module):
    """A table, a causal convolution and a cell."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(7, 6)
        self.conv = nn.Conv1d(6, 5, 3, dilation=2)
        self.rec = nn.GRU(5, 8, batch_first=True)

    def forward(self, ids: Tensor) -> Tensor:
        x = nn.functional.pad(self.table(ids).transpose(1, 2), (4, 0))
        y: Tensor = self.rec(self.conv(x).transpose(1, 2))[0]
        return y


def on_the_engine(module: nn.Module, x: Tensor, folder: Path, precision: str, cut: int) -> Any:  # noqa: ANN401  an array
    """Export and quantize a module; return the engine's answers to one signal in two pushes."""
    tg.export_model(module, x[:1], folder / "float.onnx")
    tg.quantize(folder / "float.onnx", folder / "q.onnx", precision=precision)
    stream = tg.load(folder / "q.onnx").stream()
    answers = [stream.push(part) for part in (x[0].numpy()[:cut], x[0].numpy()[cut:]) if len(part)]
    return np.concatenate([one for one in (*answers, stream.finish()) if one is not None])


@pytest.mark.slow
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    precision=st.sampled_from(["W8A16", "W8A8", "W4A16", "W4A8g8", "W4A16g8", "W16A16"]),
    cell=st.sampled_from(list(CELLS)),
    shape=st.tuples(st.integers(1, 2), st.booleans(), st.booleans()),
    seed=st.integers(0, 2**31),
)
def test_the_engine_answers_what_the_module_answers(
    tmp_path: Path, precision: str, cell: str, shape: tuple[int, bool, bool], seed: int
) -> None:
    torch.manual_seed(seed)
    x = torch.randn(1, 12, FEATURES) * [0.0, 1e-3, 1.0, 1e3][seed % 4]
    model = Net(cell, num_layers=shape[0], bias=shape[1], bidirectional=shape[2])
    tuned = tunable(model, torch.randn(1, 8, FEATURES), precision)
    with torch.no_grad():
        for parameter in tuned.parameters():  # as if it had been trained
            parameter.add_(0.05 * torch.randn_like(parameter))
        answer = tuned.eval()(x)[0].numpy()
    np.testing.assert_array_equal(answer, on_the_engine(tuned, x, tmp_path, precision, seed % 13), strict=True)
    assert type(model.rec) is CELLS[cell][0]


@pytest.mark.parametrize("cell", CELLS)
def test_both_directions_compute_what_the_engine_does(tmp_path: Path, cell: str) -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 12, FEATURES)
    tuned = tunable(Net(cell, num_layers=2, bidirectional=True), x, "W4A8").eval()
    answer = tuned(x)[0].detach().numpy()
    np.testing.assert_array_equal(answer, on_the_engine(tuned, x, tmp_path, "W4A8", 5), strict=True)


def test_tables_and_convolutions_compute_what_the_engine_does(tmp_path: Path) -> None:
    torch.manual_seed(0)
    ids = torch.randint(0, 7, (1, 30))
    tuned = tunable(Convolved(), ids, "W4A8").eval()
    answer = tuned(ids)[0].detach().numpy()
    np.testing.assert_array_equal(answer, on_the_engine(tuned, ids, tmp_path, "W4A8", 7), strict=True)


def test_states_go_in_and_out_as_in_torch() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 10, FEATURES)
    tuned = tunable(Net("lstm", num_layers=2), x).eval().rec
    y = torch.randn(2, 10, 9)
    whole, (h, c) = tuned(y)
    first, state = tuned(y[:, :4])
    rest, (h2, c2) = tuned(y[:, 4:], state)
    assert torch.equal(torch.cat([first, rest], 1), whole)
    assert torch.equal(h, h2)
    assert torch.equal(c, c2)
    alone, (h1, _) = tuned(y[0])
    assert torch.equal(alone, whole[0])
    assert h1.shape == (2, 11)


@pytest.mark.parametrize("cell", CELLS)
def test_gradients_are_close_to_those_of_the_float_layers_for_fine_codes(cell: str) -> None:
    torch.manual_seed(1)
    model = Net(cell, num_layers=2)
    x = torch.randn(3, 15, FEATURES, requires_grad=True)
    tuned = tunable(model, x.detach()[:1], "W16A16")
    grads = []
    for module in (model, tuned):
        x.grad = None
        module.zero_grad()
        torch.autograd.backward(module(x).square().sum())
        grads.append([x.grad, *(p.grad for p in module.parameters())])
    for exact, straight in zip(*grads, strict=True):
        assert exact is not None
        assert straight is not None
        torch.testing.assert_close(straight, exact, rtol=5e-3, atol=5e-4 * float(exact.abs().max()))


def test_training_regains_what_four_bits_lost() -> None:
    torch.manual_seed(0)
    model = Net("gru").eval()
    x = torch.randn(16, 40, FEATURES)
    tuned = tunable(model, x[:1], "W4A16")
    wanted, losses = model(x).detach(), []
    optimizer = torch.optim.Adam(tuned.parameters(), 3e-4)
    for _ in range(60):
        loss = (tuned(x) - wanted).square().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    assert min(losses) < 0.3 * losses[0]


@pytest.mark.parametrize(
    ("precision", "message"),
    [
        (
            {"rec.weight_hh_l0": "float32"},
            "rec: some of its weights are quantized and some not; give all one precision",
        ),
        ("W7A16", "precision is 'W7A16'"),
    ],
)
def test_what_cannot_be_tuned_says_so(precision: Any, message: str) -> None:  # noqa: ANN401  as quantize takes it
    model = Net("lstm")
    with pytest.raises(tg.QuantizationError, match=re.escape(message)):
        tunable(model, torch.randn(1, 8, FEATURES), precision)


def test_layers_that_cannot_be_tuned_are_named() -> None:
    class Projected(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rec = nn.LSTM(FEATURES, 8, proj_size=4, batch_first=True)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.rec(x)[0]
            return y

    wanted = {"*": "W8A16", "rec.*": "float32"}
    message = "rec: layers that have a proj_size cannot be tuned; leave it float32: precision=" + re.escape(str(wanted))
    with pytest.raises(tg.QuantizationError, match=message):
        tunable(Projected(), torch.randn(1, 8, FEATURES))
    assert type(tunable(Projected(), torch.randn(1, 8, FEATURES), wanted).rec) is nn.LSTM


def test_row_158_a_cell_in_a_loop_is_named_and_left_float_by_a_pattern_of_its_own() -> None:
    class Loop(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell, self.fc = nn.LSTMCell(FEATURES, 8), nn.Linear(8, 3)

        def forward(self, x: Tensor) -> Tensor:
            state, answers = None, []
            for t in range(x.shape[1]):
                state = self.cell(x[:, t], state)
                answers.append(state[0])
            return cast("Tensor", self.fc(torch.stack(answers, 1)))

    message = "holds cell.weight_ih, cell.weight_hh as the file does: leave such weights float32, by a pattern of their"
    with pytest.raises(tg.QuantizationError, match=message):
        tunable(Loop(), torch.randn(1, 8, FEATURES))
    tuned = tunable(Loop(), torch.randn(1, 8, FEATURES), {"*": "W8A16", "cell.*": "float32"})
    assert (type(tuned.cell), type(tuned.fc)) == (nn.LSTMCell, TunableLinear)


class Mixed(nn.Module):
    """A layer that can be tuned before one that cannot, or before one of the same values."""

    def __init__(self, again: bool) -> None:
        super().__init__()
        self.into, self.again = nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, FEATURES) if again else None
        self.norm = nn.Parameter(torch.randn(FEATURES, FEATURES))
        self.rec = nn.GRU(FEATURES, 8, batch_first=True)
        if self.again is not None:
            self.again.load_state_dict(self.into.state_dict())

    def forward(self, x: Tensor) -> Tensor:
        x = self.into(x)
        x = x @ self.norm if self.again is None else self.again(x)
        y: Tensor = self.rec(x)[0]
        return y


WAYS_OUT: dict[str, tuple[nn.Module, Any, str, Any]] = {
    "one layer of two kinds": (
        Net("lstm"),
        {"*": "W8A16", "rec.weight_hh_l0": "float32"},
        "rec: some of its weights are quantized and some not; give all one precision",
        {"*": "W8A16", "rec.*": "float32"},
    ),
    "a weight of no layer": (
        Mixed(again=False),
        "W8A16",
        "holds .* as the file does: leave such weights float32, by a pattern of their own",
        {"*": "W8A16", "norm": "float32"},
    ),
    "the same values": (
        Mixed(again=True),
        {"*": "W8A16", "again*": "W4A16"},
        "hold the same values but have different precisions; give them one",
        "W8A16",
    ),
}


@pytest.mark.parametrize("name", WAYS_OUT)
def test_the_way_out_of_what_cannot_be_tuned_is_one(name: str) -> None:
    module, precision, message, way_out = WAYS_OUT[name]
    x = torch.randn(1, 8, FEATURES)
    with pytest.raises(tg.QuantizationError, match=message):
        tunable(module, x, precision)
    assert tunable(module, x, way_out)(x).shape == module(x).shape


def test_an_export_leaves_the_copy_as_it_was(tmp_path: Path) -> None:
    x = torch.randn(1, 8, FEATURES)
    tuned = tunable(Net("lstm"), x)
    before = tuned(x)
    tg.export_model(tuned, x, tmp_path / "m.onnx")
    assert torch.equal(tuned(x), before)
    assert type(tuned.rec).__name__ == "TunableLSTM"
