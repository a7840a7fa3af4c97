"""Advice about loops, states and convolutions that was followed: each way out of a message leads to a file."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tidegate.export import export_model, lift
from tidegate.runtime.errors import ContractError, ExportError, ModelError, UnsupportedError
from tidegate.runtime.load import load
from torch import Tensor, nn

EXAMPLE = torch.linspace(-1, 1, 108).reshape(2, 9, 6)
REFUSED = ContractError, ExportError, ModelError, UnsupportedError
Run = Callable[..., Any]
pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter


class Net(nn.Module):
    """Layers, and what is done with them."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.rnn, self.again = (
            nn.GRUCell(6, 6),
            nn.GRU(6, 6, batch_first=True),
            nn.GRU(6, 6, batch_first=True),
        )
        self.both = nn.GRU(6, 6, batch_first=True, bidirectional=True)
        self.start = nn.Parameter(torch.ones(2, 1, 6))
        self.into, self.back = nn.Linear(6, 6), nn.Linear(6, 6)
        self.plain, self.same = nn.Conv1d(6, 6, 3), nn.Conv1d(6, 6, 3, padding="same")
        self.around, self.pad = nn.Conv1d(6, 6, 3, padding=2), nn.ConstantPad1d((2, 0), 0.0)
        self.run = run

    def forward(self, x: Tensor, *states: Tensor) -> Any:  # noqa: ANN401  any kind of answer
        return self.run(self, x, *states)


class Stateful(Net):
    """Takes its state."""

    def forward(self, x: Tensor, h: Tensor) -> Any:  # type: ignore[override]  # noqa: ANN401
        return self.run(self, x, h)


def _loop(step: Run = lambda net, x, t, h: net.cell(x[:, t], h), join: Run = lambda a: torch.stack(a, 1)) -> Run:
    def run(net: Net, x: Tensor) -> Tensor:
        h, answers = x.new_zeros(x.shape[0], 6), []
        for t in range(x.shape[1]):
            h = step(net, x, t, h)
            answers.append(h)
        joined: Tensor = join(answers)
        return joined

    return run


def _written(net: Net, x: Tensor, h: Tensor) -> Tensor:
    return torch.tanh(net.into(x) + net.back(h))


def _from(start: Run, step: Run = _written) -> Run:
    """Return a loop with a cell of small operators."""

    def run(net: Net, x: Tensor) -> Tensor:
        h, answers = start(net, x), []
        for t in range(x.shape[1]):
            h = step(net, x[:, t], h) if step is _written else step(net, x[:, t], h, t)
            answers.append(h)
        return torch.stack(answers, 1)

    return run


def _zeros(_: Net, x: Tensor) -> Tensor:
    return x.new_zeros(x.shape[0], 6)


def _convolved(layer: Run) -> Run:
    return lambda net, x: net.rnn(layer(net, x.transpose(1, 2)).transpose(1, 2))[0]


ADVICE: dict[str, tuple[Run, str, list[Run]]] = {
    "joined along another axis": (
        _loop(join=lambda answers: torch.cat(answers, 1)),
        r"joins the answers of the steps along axis .*; use torch.stack\(answers, dim=1\)",
        [_loop()],
    ),
    "a state that is changed": (
        _loop(lambda net, x, t, h: net.cell(x[:, t], 0.5 * h)),
        "use one cell for one sequence, and change no state between two steps",
        [_loop()],
    ),
    "a loop that runs backwards": (
        _loop(lambda net, x, t, h: net.cell(x[:, x.shape[1] - 1 - t], h)),
        r"let the loop read x\[:, t\] with t from 0, and do everything else for all frames before or after it",
        [_loop()],
    ),
    "a module called twice": (
        lambda net, x: net.rnn(net.rnn(x)[0])[0],
        r"called 2 times in one forward, .*; calls for other sequences need a module each \(copy.deepcopy\)",
        [lambda net, x: net.again(net.rnn(x)[0])[0]],
    ),
    "a start in both directions": (
        lambda net, x: net.both(x, net.start.expand(2, x.shape[0], 6).contiguous())[0],
        "its backward direction starts from zeros in each block; train it from zeros, or in one direction",
        [
            lambda net, x: net.both(x)[0],
            lambda net, x: net.rnn(x, net.start[:1].expand(1, x.shape[0], 6).contiguous())[0],
        ],
    ),
    "a cell of an unknown kind": (
        _from(_zeros, lambda net, x, h, _: torch.sin(net.into(x) + net.back(h))),
        "use nn.LSTM, nn.GRU or nn.RNN, or nn.LSTMCell, nn.GRUCell or nn.RNNCell in a loop over time",
        [lambda net, x: net.rnn(x)[0], _loop(), _from(_zeros)],
    ),
    "steps that differ": (
        _from(_zeros, lambda net, x, h, t: torch.tanh(net.into(x) + (-1) ** t * net.back(h))),
        "or let its steps be the same; a cell that is none of these cannot stream",
        [_from(_zeros)],
    ),
    "one start for all streams": (
        _from(lambda net, _: net.start[0]),
        r"from a state for each stream: h.expand\(x.shape\[0\], -1\)",
        [_from(lambda net, x: net.start[0].expand(x.shape[0], -1))],
    ),
    "positions": (
        lambda net, x: net.rnn(x)[0] + torch.arange(x.shape[1])[:, None],
        "take positions and the like from the frames themselves, as features of the input",
        [lambda net, x: net.rnn(x)[0] + x[..., :1]],
    ),
    "a number of frames": (
        _loop(join=lambda answers: torch.stack(answers, 1) / len(answers)),
        r"turn a size into a Python number: use x.shape as it is, no int\(\), len\(\) or item\(\)",
        [_loop()],
    ),
    "branches that look ahead": (
        lambda net, x: net.both(x)[0][..., :6] + net.same(x.transpose(1, 2)).transpose(1, 2),
        "let only one of them look ahead, or put one after the other",
        [
            lambda net, x: net.both(x)[0][..., :6] + net.plain(net.pad(x.transpose(1, 2))).transpose(1, 2),
            lambda net, x: net.both(net.same(x.transpose(1, 2)).transpose(1, 2))[0],
        ],
    ),
    "a convolution that is not padded": (
        _convolved(lambda net, x: net.plain(x)),
        r"pad only on the left \(nn.ConstantPad1d\(\(2, 0\), 0.0\)\), cut the .* padding=2, or look ahead by padding=",
        [
            _convolved(lambda net, x: net.plain(net.pad(x))),
            _convolved(lambda net, x: net.around(x)[..., :-2]),
            _convolved(lambda net, x: net.same(x)),
        ],
    ),
}


@pytest.mark.parametrize("name", ADVICE)
def test_row_127_the_way_out_of_a_loop_a_state_or_a_convolution_leads_to_a_file(name: str, tmp_path: Path) -> None:
    run, message, ways_out = ADVICE[name]
    with pytest.raises(REFUSED, match=message):
        export_model(Net(run), EXAMPLE, tmp_path / "m.onnx")
    for place, way_out in enumerate(ways_out):
        export_model(Net(way_out), EXAMPLE, tmp_path / f"{place}.onnx")


def _gru(net: Net, x: Tensor, h: Tensor) -> Any:  # noqa: ANN401
    return net.rnn(x.unsqueeze(1), h)


def _cell(net: Net, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
    h = net.cell(x, h)
    return h.tanh(), h


def _write(net: nn.Module, example: tuple[Tensor, ...], path: Path) -> None:
    """Write a policy as torch does."""
    names = ["obs", *(["masks"] if len(example) > 2 else []), "h_in"]
    torch.onnx.export(net, example, path, dynamo=False, input_names=names, output_names=["action", "h_out"])


POLICIES: dict[str, tuple[Run, tuple[int, ...], Run]] = {
    "a cell": (_cell, (1, 6), lambda net, x: _loop()(net, x).tanh()),
    "a layer": (_gru, (1, 1, 6), lambda net, x: net.rnn(x)[0]),
}


@pytest.mark.parametrize("name", POLICIES)
def test_row_163_a_forward_of_one_frame_streams_in_both_ways_of_its_message(name: str, tmp_path: Path) -> None:
    run, shape, frames = POLICIES[name]
    net, example = Stateful(run).eval(), (torch.ones(1, 6), torch.zeros(shape))
    message = "for a forward of one frame per call, let it take all .*, or write it for one stream with torch.onnx"
    with pytest.raises(REFUSED, match=message):
        export_model(net, example, tmp_path / "m.onnx")
    export_model(Net(frames), EXAMPLE, tmp_path / "frames.onnx")
    _write(net, example, tmp_path / "one.onnx")
    lift(tmp_path / "one.onnx", tmp_path / "lifted.onnx")
    x, h = EXAMPLE[0], torch.zeros(shape)
    stream = load(tmp_path / "lifted.onnx").stream()
    for frame in x:
        with torch.no_grad():
            action, h = net(frame[None], h)
        np.testing.assert_allclose(np.asarray(stream.push(frame[None].numpy())).ravel(), action.ravel(), atol=1e-6)


@pytest.mark.parametrize("name", POLICIES)
def test_a_policy_of_several_streams_is_refused_and_lifted_from_one(name: str, tmp_path: Path) -> None:
    run, shape, _ = POLICIES[name]
    net, many = Stateful(run).eval(), (torch.ones(4, 6), torch.zeros(*shape[:-2], 4, 6))
    _write(net, many, tmp_path / "m.onnx")
    with pytest.raises(REFUSED, match="export the model for one stream"):
        lift(tmp_path / "m.onnx", tmp_path / "s.onnx")
    _write(net, (many[0][:1], torch.zeros(shape)), tmp_path / "m.onnx")
    lift(tmp_path / "m.onnx", tmp_path / "s.onnx")


def test_an_input_without_an_axis_of_frames_is_refused_and_gets_one(tmp_path: Path) -> None:
    net, h = Stateful(lambda net, x, h: net.rnn(x.view(1, 1, -1), h)).eval(), torch.zeros(1, 1, 6)
    _write(net, (torch.ones(6), h), tmp_path / "m.onnx")
    with pytest.raises(REFUSED, match=r"has shape \[6\], .*; export the model for a signal \[1, features\] or \[1"):
        lift(tmp_path / "m.onnx", tmp_path / "s.onnx")
    _write(net, (torch.ones(1, 6), h), tmp_path / "m.onnx")
    lift(tmp_path / "m.onnx", tmp_path / "s.onnx")


class Learned(nn.Module):
    """Starts from trained states, or has weights that are no numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.h = nn.GRU(6, 6, batch_first=True), nn.Parameter(torch.ones(1, 1, 6))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rnn(x, self.h.expand(1, x.shape[0], 6).contiguous())[0]
        return y


def test_a_streaming_file_with_its_own_start_is_used_as_it_is(tmp_path: Path) -> None:
    export_model(Learned(), EXAMPLE, tmp_path / "m.onnx")
    with pytest.raises(REFUSED, match=r"a streaming file already, and .* start from its initial states; use it as is"):
        lift(tmp_path / "m.onnx", tmp_path / "s.onnx")
    assert load(tmp_path / "m.onnx").stream().push(EXAMPLE[0].numpy()) is not None


def test_answers_that_are_no_numbers_name_the_weights(tmp_path: Path) -> None:
    net = Learned()
    with torch.no_grad():
        net.h[0, 0, 0] = torch.nan
    with pytest.raises(REFUSED, match=r"output .* of the example is not finite; check example and weights"):
        export_model(net, EXAMPLE, tmp_path / "m.onnx")
    export_model(Learned(), EXAMPLE, tmp_path / "m.onnx")


class Bands(nn.Module):
    """A layer along the bands of a frame."""

    def __init__(self, start: Run = lambda *_: None, *, projected: bool = False) -> None:
        super().__init__()
        self.inner = nn.LSTM(2, 4, batch_first=True, proj_size=3 if projected else 0)
        self.rnn, self.start = nn.GRU(9 if projected else 12, 5, batch_first=True), nn.Parameter(torch.ones(1, 1, 4))
        self.given = start

    def answer(self, x: Tensor, *state: Tensor) -> Tensor:
        """Fold the frames into the batch."""
        b, t = x.shape[0], x.shape[1]
        y = self.inner(x.reshape(b * t, 3, 2), self.given(self, b * t, *state))[0].reshape(b, t, -1)
        answer: Tensor = self.rnn(y)[0]
        return answer

    def forward(self, x: Tensor) -> Tensor:
        return self.answer(x)


class BandsFrom(Bands):
    """Takes the states of the layer along the bands."""

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> Tensor:  # type: ignore[override]
        return self.answer(x, h, c)


def _same(net: Bands, rows: int) -> tuple[Tensor, Tensor]:
    return net.start.expand(1, rows, 4).contiguous(), torch.zeros(1, rows, 4)


def _given(_: Bands, rows: int, *state: Tensor) -> tuple[Tensor, ...]:
    return tuple(one[:, :1].expand(1, rows, 4).contiguous() for one in state)


BANDS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...], str]] = {
    "a projection": (
        lambda: Bands(projected=True),
        (),
        r"runs over an axis inside each frame, .*; leave the projection out there",
    ),
    "a trained start": (lambda: Bands(_same), (), "is not zeros, but it runs inside each frame; train it from zeros"),
    "a start that is handed in": (
        lambda: BandsFrom(_given),
        (torch.zeros(1, 2, 4), torch.zeros(1, 2, 4)),
        "is handed in, but it runs inside each frame; call it without an initial state",
    ),
}


@pytest.mark.parametrize("bands", [EXAMPLE, EXAMPLE.reshape(2, 9, 3, 2)], ids=["flat", "cut"])
@pytest.mark.parametrize("name", BANDS)
def test_row_198_a_layer_along_the_bands_of_flat_frames_streams_or_says_its_way_out(
    name: str, bands: Tensor, tmp_path: Path
) -> None:
    make, states, message = BANDS[name]
    with pytest.raises(REFUSED, match=message):
        export_model(make(), (bands, *states), tmp_path / "m.onnx")
    module = Bands().eval()
    assert export_model(module, bands, tmp_path / "m.onnx").refused == {}
    with torch.no_grad():
        wanted = module(bands)[0].numpy()
    np.testing.assert_allclose(load(tmp_path / "m.onnx").stream().push(bands[0].numpy()), wanted, atol=1e-6)


def test_a_state_for_both_directions_is_left_out_as_the_message_says(tmp_path: Path) -> None:
    with pytest.raises(REFUSED, match="restarts in each block; call the module without an initial state"):
        export_model(
            Stateful(lambda net, x, h: net.both(x, h)[0]), (EXAMPLE, torch.zeros(2, 2, 6)), tmp_path / "m.onnx"
        )
    export_model(Net(lambda net, x: net.both(x)[0]), EXAMPLE, tmp_path / "m.onnx")


class Masked(Net):
    """A policy whose state is forgotten where an episode begins, as libraries for reinforcement learning write it."""

    def forward(self, x: Tensor, masks: Tensor, h: Tensor) -> Any:  # type: ignore[override]  # noqa: ANN401
        return self.run(self, x, masks * h)


def test_a_mask_of_a_policy_is_set_as_the_message_says(tmp_path: Path) -> None:
    net, example = Masked(_cell).eval(), (torch.ones(1, 6), torch.ones(1, 1), torch.zeros(1, 6))
    _write(net, example, tmp_path / "m.onnx")
    with pytest.raises(REFUSED, match=r"if 'masks' stays the same, set it \(--set masks=VALUE\)"):
        lift(tmp_path / "m.onnx", tmp_path / "s.onnx")
    lift(tmp_path / "m.onnx", tmp_path / "s.onnx", values={"masks": 1.0})


def test_a_start_that_follows_from_the_signal_is_handed_in(tmp_path: Path) -> None:
    with pytest.raises(REFUSED, match="hand other states in as arguments of the forward"):
        export_model(
            Net(lambda net, x: net.rnn(x, x[:, :1].transpose(0, 1).contiguous())[0]), EXAMPLE, tmp_path / "m.onnx"
        )
    export_model(Stateful(lambda net, x, h: net.rnn(x, h)[0]), (EXAMPLE, torch.zeros(1, 2, 6)), tmp_path / "m.onnx")


def test_a_copy_of_a_module_is_a_module_of_its_own(tmp_path: Path) -> None:
    net = Net(lambda net, x: net.again(net.rnn(x)[0])[0])
    net.again = copy.deepcopy(net.rnn)
    export_model(net, EXAMPLE, tmp_path / "m.onnx")
