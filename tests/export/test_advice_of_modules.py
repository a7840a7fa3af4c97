"""Advice about modules and examples that was followed: each refusal names a way out, which leads to a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tidegate.export import export_model
from tidegate.runtime.errors import ContractError, ExportError, UnsupportedError
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

EXAMPLE = torch.linspace(-1, 1, 108).reshape(2, 9, 6)
REFUSED = ContractError, ExportError, UnsupportedError
Step = Callable[["Net", Tensor], Any]
pytestmark = pytest.mark.filterwarnings("ignore")  # of torch's exporter


class Net(nn.Module):
    """An LSTM, and what is done with its answers."""

    def __init__(self, step: Step, kind: Callable[..., nn.Module] = nn.LSTM, **options: Any) -> None:  # noqa: ANN401
        super().__init__()
        self.rnn = kind(6, 8, **{"batch_first": True} | options)
        self.other = nn.GRU(8, 8)
        self.carry = nn.GRU(8, 8, batch_first=True)
        self.conv, self.norm, self.bn = nn.Conv1d(8, 8, 3), nn.LayerNorm(8), nn.BatchNorm1d(8)
        self.pool, self.instance = nn.AvgPool1d(3, 1), nn.InstanceNorm1d(8)
        self.step = step

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401  any kind of answer
        return self.step(self, self.rnn(x)[0])


def _along(layer: Callable[[Net], nn.Module]) -> Step:
    return lambda net, y: layer(net)(y.transpose(1, 2)).transpose(1, 2)


def _causal(net: Net, y: Tensor) -> Tensor:
    answer: Tensor = net.conv(nn.functional.pad(y.transpose(1, 2), (2, 0))).transpose(1, 2)
    return answer


def _last(_: Net, y: Tensor) -> Tensor:
    return y[:, -1]


def _all(_: Net, y: Tensor) -> Tensor:
    return y


STEPS: dict[str, tuple[Step, str, Step]] = {
    "mean over time": (lambda _, y: y.mean(1), r"pools over time.*; answer by the last frame \(y\[:, -1\]\)", _last),
    "first frame": (lambda _, y: y[:, 0], r"counted from the ends .*; take the last frame \(y\[:, -1\]\)", _last),
    "sort": (lambda _, y: y.sort(1)[0], "sorts along time.*; answer by the last frame", _last),
    "pool along time": (_along(lambda net: net.pool), "pools over time.* let a causal nn.Conv1d do it", _causal),
    "pool, inside a frame": (
        _along(lambda net: net.pool),
        "; pool within a frame, let a causal nn.Conv1d do it",
        lambda net, y: net.pool(y),
    ),
    "norm over time": (
        _along(lambda net: net.instance),
        r"; normalize within a frame \(nn.LayerNorm over its features\)",
        lambda net, y: net.norm(y),
    ),
    "norm, by statistics": (_along(lambda net: net.instance), "or by nn.BatchNorm1d's", _along(lambda net: net.bn)),
    "weights over time": (
        lambda _, y: (y.softmax(1) * y).sum(1),
        "takes a softmax over time.*; let a recurrent layer weigh the frames",
        lambda net, y: net.carry(y)[0],
    ),
    "sum over time": (
        lambda _, y: y.cumsum(1),
        "adds up over time.*; let a recurrent layer carry the sum",
        lambda net, y: net.carry(y)[0],
    ),
    "every other frame": (lambda _, y: y[:, ::2], "; give an answer for each frame of the input", _all),
    "sizes as numbers": (
        lambda _, y: y.reshape(2, 9, 8),
        r"reshape\(\) and view\(\) by numbers fix sizes: use x.shape as it is",
        lambda _, y: y.reshape(y.shape[0], y.shape[1], 8),
    ),
    "sizes by int()": (
        lambda _, y: y.view(int(y.shape[0]), int(y.shape[1]), 4, 2).flatten(2),
        "fix sizes: use x.shape as it is; torch remarked at",
        lambda _, y: y.view(y.shape[0], y.shape[1], 4, 2).flatten(2),
    ),
    "streams in one": (
        lambda net, y: net.carry(y.reshape(1, -1, 8))[0],
        "keep the axis of time as it is, or fold and unfold it by its size",
        lambda net, y: net.norm(y.reshape(-1, 8)).reshape(y.shape[0], y.shape[1], 8),
    ),
    "a state that is not used": (
        lambda _, y: 0 * y,
        "the answer does not depend on this state, .*; check that the state is used",
        _all,
    ),
    "a decision": (
        lambda _, y: y[:, -1].argmax(-1),
        r"if the module decides \(argmax, a comparison\), answer what it decides on",
        _last,
    ),
    "a comparison": (lambda _, y: y[:, -1] > 9, "answer what it decides on: decide on what the stream returns", _last),
    "frames of all streams in one axis": (
        lambda _, y: y.reshape(-1, 8),
        "keep the axis of time as it is, or fold and unfold it by its size",
        _all,
    ),
    "one stream": (lambda _, y: y[0], "; keep the axis of the streams as it is", _all),
    "unlike axes": (lambda net, y: net.other(y)[0], "check batch_first of each layer", lambda net, y: net.carry(y)[0]),
    "a name twice": (lambda _, y: {"x": y}, "has the name of the input; return it under another name", _all),
    "no tensors": (lambda _, y: (y, "ok"), "wanted tensors, tuples or a dict of tensors", lambda _, y: {"a": y}),
    "frames of later chunks": (lambda _, y: y + y[:, -1:], "gives other values for the frames of a chunk", _all),
}


@pytest.mark.parametrize("name", STEPS)
def test_row_111_the_way_out_of_a_step_leads_to_a_file(name: str, tmp_path: Path) -> None:
    step, message, way_out = STEPS[name]
    torch.manual_seed(0)
    with pytest.raises(REFUSED, match=message):
        export_model(Net(step), EXAMPLE, tmp_path / "m.onnx")
    assert not (tmp_path / "m.onnx").exists()
    export_model(Net(way_out), EXAMPLE, tmp_path / "m.onnx")


class Before(Net):
    """Changes the frames before the layer."""

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.rnn(self.step(self, x))[0]
        return answer


def test_the_axis_of_the_streams_stays_as_the_messages_say(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(REFUSED, match=r"keep the batch of x.shape as it is, or take \[time, features\]"):
        export_model(Before(lambda _, x: x[:1]), EXAMPLE, path)
    export_model(Before(_all), EXAMPLE[0], path)
    with pytest.raises(REFUSED, match=r"not one entry per frame, .*; keep axis 0 of the input as it is"):
        export_model(Before(lambda _, x: torch.cat([x, x])), EXAMPLE, path)
    export_model(Before(_all), EXAMPLE, path)


class Final(Net):
    """Answers by the final state."""

    def forward(self, x: Tensor) -> Any:  # noqa: ANN401  any kind of answer
        return self.step(self, self.rnn(x)[1][0])


def test_row_160_a_final_state_without_its_streams_is_refused_and_h_1_streams(tmp_path: Path) -> None:
    with pytest.raises(REFUSED, match=r"keep the axis of the streams as it is: the final state .* is h\[-1\]"):
        export_model(Final(lambda net, h: net.norm(h.flatten())), EXAMPLE[:1], tmp_path / "m.onnx")
    report = export_model(Final(lambda net, h: net.norm(h[-1])), EXAMPLE[:1], tmp_path / "m.onnx")
    assert report.refused == {}


def test_a_signal_that_is_turned_around_streams_in_both_directions(tmp_path: Path) -> None:
    with pytest.raises(REFUSED, match=r"turns around time.*; use bidirectional=True for the other direction"):
        export_model(Net(lambda _, y: y.flip(1)), EXAMPLE, tmp_path / "m.onnx")
    export_model(Net(_all, _two_ways), EXAMPLE, tmp_path / "m.onnx", block=4)


def _two_ways(features: int, hidden: int, **options: bool) -> nn.Module:
    return nn.LSTM(features, hidden, bidirectional=True, **options)


class Packed(Net):
    """Packs the sequences by given lengths."""

    def __init__(self, lengths: Callable[[Tensor], list[int]]) -> None:
        super().__init__(_all)
        self.lengths = lengths

    def forward(self, x: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, torch.tensor(self.lengths(x)), batch_first=True)
        answer: Tensor = pad_packed_sequence(self.rnn(packed)[0], batch_first=True)[0]
        return answer


def test_packed_sequences_stream_when_they_are_whole(tmp_path: Path) -> None:
    with pytest.raises(REFUSED, match=r"a stream has no padding; pack x.size\(1\) frames of each"):
        export_model(Packed(lambda x: [x.size(1) - 2] * len(x)), EXAMPLE, tmp_path / "m.onnx")
    export_model(Packed(lambda x: [x.size(1)] * len(x)), EXAMPLE, tmp_path / "m.onnx")


class Stateful(Net):
    """Takes its state."""

    def forward(self, x: Tensor, state: tuple[Tensor, Tensor]) -> Any:  # type: ignore[override]  # noqa: ANN401
        h, c = state
        return self.rnn(x, (h, c))[0]


STATE = torch.zeros(1, 2, 8), torch.zeros(1, 2, 8)
EXAMPLES: dict[str, tuple[Callable[[], nn.Module], Any, str, Any]] = {
    "a state left out": (
        lambda: Stateful(_all),
        EXAMPLE,
        r"state was None: give it in the example, \(x, \(h, c\)\)",
        (EXAMPLE, STATE),
    ),
    "too many parts": (lambda: Net(_all), (EXAMPLE, STATE), "takes 1: x; give one part per parameter", (EXAMPLE,)),
    "complex numbers": (
        lambda: Net(_all),
        torch.complex(EXAMPLE, EXAMPLE)[..., :3],
        "wanted real numbers; give both parts as features",
        EXAMPLE,
    ),
    "not finite": (lambda: Net(_all), EXAMPLE.log(), "NaN or infinite values; take one from the real data", EXAMPLE),
    "no frame": (lambda: Net(_all), EXAMPLE[:, :0], "wanted at least one frame", EXAMPLE[:, :1]),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_way_out_of_an_example_leads_to_a_file(name: str, tmp_path: Path) -> None:
    make, example, message, way_out = EXAMPLES[name]
    with pytest.raises(REFUSED, match=message):
        export_model(make(), example, tmp_path / "m.onnx")
    export_model(make(), way_out, tmp_path / "m.onnx")


def test_blocks_are_left_out_or_given_as_the_message_says(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    with pytest.raises(REFUSED, match="are for bidirectional layers; this model has none, leave them out"):
        export_model(Net(_all), EXAMPLE, path, block=4)
    export_model(Net(_all), EXAMPLE, path)
    with pytest.raises(REFUSED, match="lookahead is 2 without a block; wanted block=, or 0"):
        export_model(Net(_all, _two_ways), EXAMPLE, path, lookahead=2)
    export_model(Net(_all, _two_ways), EXAMPLE, path, lookahead=2, block=4)
    with pytest.raises(REFUSED, match="wanted only one of them: blocks have no limit"):
        export_model(Net(_all, _two_ways), EXAMPLE, path, limit=100, block=4)
    export_model(Net(_all, _two_ways), EXAMPLE, path, limit=100)


def test_a_folder_is_created_first(tmp_path: Path) -> None:
    path = tmp_path / "new" / "m.onnx"
    with pytest.raises(ExportError, match=r"there is no folder .*new; create it first"):
        export_model(Net(_all), EXAMPLE, path)
    path.parent.mkdir()
    export_model(Net(_all), EXAMPLE, path)
