"""Further arguments of a forward: named, told apart as states and lengths, and made for other sizes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tidegate.export import export_model
from tidegate.export.pytorch.inputs import OtherInputs, SignalSizes, split_example
from tidegate.runtime.errors import ExportError, UnsupportedError
from tidegate.runtime.load import load
from torch import Tensor, nn

STREAMS = 2


def _inputs(layers: int = 1) -> OtherInputs:
    """Return the inputs of `forward(x, state, lengths, mask)` with h, c and lengths given."""
    h, c = torch.ones(layers, STREAMS, 4), torch.ones(layers, STREAMS, 5)
    return OtherInputs(["state", "lengths", "mask"], ((h, c), torch.tensor([7, 9]), None))


def test_an_example_is_a_signal_and_the_rest() -> None:
    signal, rest = split_example((torch.zeros(1, 9, 3), (np.zeros(4), torch.ones(4).double()), None, [9, 7]))
    assert isinstance(signal, torch.Tensor)
    (h, c), nothing, lengths = rest
    assert (h.dtype, c.dtype, lengths.dtype, nothing) == (torch.float32, torch.float32, torch.int64, None)
    for alone in (torch.zeros(2), np.zeros(2), [[1.0]], (3, 4)):
        assert split_example(alone) == (alone, ())


def test_names_follow_the_nesting_and_floats_are_states() -> None:
    inputs = _inputs()
    assert inputs.names == ["state_0", "state_1", "lengths"]
    assert inputs.states == ["state_0", "state_1"]


def test_arguments_keep_their_nesting_and_start_from_zeros() -> None:
    (h, c), lengths, mask = _inputs().arguments()
    assert (h.shape, c.shape, mask) == ((1, STREAMS, 4), (1, STREAMS, 5), None)
    assert not h.any()
    assert not c.any()
    assert lengths.tolist() == [9, 9], "the longest of the example: its sequences are whole"


@given(frames=st.integers(1, 50), streams=st.integers(1, 5), layers=st.integers(1, 3))
def test_other_sizes_give_other_batches_and_whole_lengths(frames: int, streams: int, layers: int) -> None:
    tensors = _inputs(layers).tensors(SignalSizes(frames, streams, STREAMS))
    assert tensors["state_0"].shape == (layers, streams, 4)
    assert tensors["lengths"].tolist() == [frames] * streams


def test_a_given_state_is_passed_on_as_a_copy() -> None:
    given_state = np.full((1, STREAMS, 4), 3, np.float32)
    tensor = _inputs().tensors(None, {"state_0": given_state})["state_0"]
    tensor.zero_()
    assert (given_state == 3).all()


def test_a_state_without_an_axis_of_streams_is_refused() -> None:
    inputs = OtherInputs(["h"], (torch.zeros(3, 4),))
    with pytest.raises(ExportError, match=r"a state of the example has shape \[3, 4\], wanted an axis of 2 streams"):
        inputs.tensors(SignalSizes(9, 5, STREAMS))


# ---- a second signal ----


class Two(nn.Module):
    """Two signals, joined in the forward: tests/export/test_several_signals.py exports such models."""

    def __init__(self) -> None:
        super().__init__()
        self.table, self.rnn = nn.Embedding(7, 2), nn.LSTM(5, 8, batch_first=True)

    def answer(self, joined: Tensor) -> Tensor:
        """Return the answer to features of both signals."""
        y: Tensor = self.rnn(joined)[0]
        return y

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.answer(torch.cat([a, b], -1))


class Category(Two):
    """A category in each frame."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return super().forward(a, self.table(b))


class OneForCategory(Two):
    """The way out: one-hot categories."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override] # on purpose
        return super().forward(x[..., :3], x[..., 3:] @ self.table.weight)


class Sequence(Category):
    """A category of the whole sequence. The way out is `OneForCategory`, with the category in each frame."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return super().forward(a, b[:, None].expand(-1, a.shape[1]))


class Masked(Two):
    """A mask over the answers."""

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.answer(a).masked_fill(~b[..., None], 0.0)


class OneForMasked(Two):
    """The way out: the mask is a feature."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override] # on purpose
        return self.answer(x[..., :5]) * x[..., 5:]


A, B, WIDE = torch.linspace(-1, 1, 27).reshape(1, 9, 3), torch.linspace(1, 2, 18).reshape(1, 9, 2), torch.ones(1, 9, 5)
MASK = torch.arange(9)[None] < 6
EACH = torch.full((1, 9), 4)


def _hot(ids: Tensor) -> Tensor:
    return nn.functional.one_hot(ids, 7).float()


SECOND: dict[str, tuple[type[Two], Tensor, Tensor, type[Two], Tensor]] = {
    "category of the sequence": (Sequence, A, torch.tensor([4]), OneForCategory, torch.cat([A, _hot(EACH)], -1)),
    "mask": (Masked, WIDE, MASK, OneForMasked, torch.cat([WIDE, MASK[..., None].float()], -1)),
}


@pytest.mark.parametrize("name", SECOND)
def test_row_59_a_second_input_is_refused_and_streams_as_features(tmp_path: Path, name: str) -> None:
    kind, first, second, way_out, joined = SECOND[name]
    module, one = kind().eval(), way_out().eval()
    one.load_state_dict(module.state_dict())
    with pytest.raises(
        (ExportError, UnsupportedError), match=r"signals and static inputs are floats, each an argument of its own"
    ):
        export_model(module, (first, second), tmp_path / "m.onnx")
    export_model(one, joined, tmp_path / "m.onnx")
    with torch.no_grad():
        wanted = module(first, second)[0].numpy()
    np.testing.assert_allclose(
        np.asarray(load(tmp_path / "m.onnx").stream().push(joined[0].numpy())), wanted, atol=1e-6
    )


@pytest.mark.parametrize(
    ("example", "message"),
    [
        ({"x": A}, "the example has a dict, wanted tensors; signals and static inputs are floats"),
        (({"x": A},), "the example has a dict, wanted tensors; signals and static inputs are floats"),
        ((A, {"mask": MASK}), "the example has a dict, wanted tensors; signals and static inputs are floats"),
        (
            (A, MASK),
            r"the example has a mask \(torch.bool\), wanted states or lengths; signals and static inputs are floats",
        ),
        ((A, "mean"), "the example has the option 'mean', wanted tensors: leave it out if the forward has a default"),
        ((A, None, True), "the example has the option True, wanted tensors: leave it out if the forward has a default"),
        ((A, (B, object())), "the example has a part object, wanted tensors; signals and static inputs are floats"),
    ],
)
def test_examples_with_other_parts_are_refused(example: object, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        split_example(example)


# ---- forwards as they are written ----


class Optional(Two):
    """Options by position and by keyword, and any number of arguments."""

    def forward(self, x: Tensor, twice: bool = False, *, scale: float | None = None) -> Tensor:  # type: ignore[override]
        y = self.answer(x)
        return (y + y if twice else y) * (1 if scale is None else scale)


class Wrapped(nn.Module):
    """The way out of an option: a forward that sets it."""

    def __init__(self) -> None:
        super().__init__()
        self.module = Optional()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.module(x, True, scale=0.5)
        return y


class Rest(Two):
    """Takes its state among any number of arguments."""

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override] # on purpose
        x, h, c = given
        y, state = self.rnn(x, (h, c))
        return (y, *state)


def _streams(module: nn.Module, example: object, wanted: Tensor, path: Path) -> None:
    export_model(module, example, path)
    np.testing.assert_allclose(np.asarray(load(path).stream().push(WIDE[0].numpy())), wanted[0].numpy(), atol=1e-6)


@torch.no_grad()
def test_row_161_options_of_a_forward_keep_their_defaults_or_are_set_in_a_module_around_it(tmp_path: Path) -> None:
    module, around = Optional().eval(), Wrapped().eval()
    with pytest.raises(ExportError, match=r"the option True, .*, else wrap the module in one whose forward sets it"):
        export_model(module, (WIDE, True), tmp_path / "m.onnx")
    _streams(module, WIDE, module(WIDE), tmp_path / "plain.onnx")
    assert "forward" not in vars(module)
    _streams(around, WIDE, around(WIDE), tmp_path / "around.onnx")


def test_a_forward_of_any_number_of_arguments_streams(tmp_path: Path) -> None:
    module, h = Rest().eval(), torch.zeros(1, 1, 8)
    report = export_model(module, (WIDE, h, h), tmp_path / "m.onnx")
    assert [state.kind for state in report.contract.states] == ["h", "c"]
    assert load(tmp_path / "m.onnx").stream().push(WIDE[0].numpy()).shape == (9, 8)


class Weighted(Two):
    """Weighs its frames by a number for each."""

    def forward(self, x: Tensor, weight: Tensor) -> Tensor:
        return self.answer(x * (weight if weight.dim() > 2 else weight.unsqueeze(-1)))


def test_a_number_for_each_frame_is_a_signal_of_one_feature(tmp_path: Path) -> None:
    module, weight = Weighted().eval(), torch.rand(1, 9)
    message = r"'weight' has the sizes of batch and frames: if it is a signal, give weight.unsqueeze\(-1\), as \[batch"
    with pytest.raises(UnsupportedError, match=message):
        export_model(module, (WIDE, weight), tmp_path / "m.onnx")
    export_model(module, (WIDE, weight.unsqueeze(-1)), tmp_path / "m.onnx")
    stream = load(tmp_path / "m.onnx").stream()
    seen = stream.push({"x": WIDE[0].numpy(), "weight": weight[0, :, None].numpy()})
    with torch.no_grad():
        np.testing.assert_allclose(np.asarray(seen), module(WIDE, weight)[0], atol=1e-6)


def test_a_list_of_signals_is_refused_and_streams_as_arguments(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"several signals are arguments of their own, \(near, far\)"):
        export_model(Two(), ([A, B],), tmp_path / "m.onnx")
    export_model(Two(), (A, B), tmp_path / "m.onnx")


def test_an_example_is_tried_with_the_values_that_it_has(tmp_path: Path) -> None:
    class Mean(Two):
        def forward(self, x: Tensor, weight: Tensor) -> Tensor:
            return (self.answer(x) * weight.unsqueeze(-1)).sum(1) / weight.sum(1, keepdim=True)

    with pytest.raises(UnsupportedError, match="'weight' has the sizes of batch and frames"):  # not: it is not finite
        export_model(Mean(), (WIDE, torch.ones(1, 9)), tmp_path / "m.onnx")


# ---- roles ----


def _roles(signal: Tensor, **others: Tensor) -> OtherInputs:
    found = OtherInputs(list(others), tuple(others.values()))
    found.find_signals("x", signal)
    return found


def test_floats_with_the_batch_and_the_frames_of_the_first_are_signals() -> None:
    x = torch.zeros(2, 9, 3)
    found = _roles(
        x, far=torch.zeros(2, 9, 5), speaker=torch.zeros(2, 4), h=torch.zeros(1, 2, 8), n=torch.tensor([9, 9])
    )
    assert (found.signals, found.states, found.lengths) == (["far"], ["speaker", "h"], ["n"])
    assert found.settle({"h"}, {"far", "speaker", "h"}, "signals")
    assert (found.signals, found.static, found.states) == (["far"], ["speaker"], ["h"])
    assert not found.settle({"h"}, {"far", "speaker", "h"}, "signals")
    assert found.tensors()["far"].shape == (2, 9, 5)


def test_an_argument_that_starts_a_layer_is_no_signal_in_an_example_of_one_frame() -> None:
    found = _roles(torch.zeros(1, 1, 3), h=torch.zeros(1, 1, 8))
    assert found.signals == ["h"]
    assert found.settle({"signals"}, {"signals"}, "signals")  # looks again without the join
    assert (found.signals, found.states) == ([], ["h"])
    assert not found.settle({"h"}, {"h"}, None)
    assert (found.signals, found.states) == ([], ["h"])


def test_signals_next_to_a_state_of_their_sizes_stay_signals() -> None:
    found = _roles(torch.zeros(1, 1, 3), far=torch.zeros(1, 1, 5), h=torch.zeros(1, 1, 8))
    assert found.signals == ["far", "h"]
    assert found.settle({"signals"}, {"signals"}, "signals")
    assert found.settle({"h"}, {"far", "h"}, None)
    assert (found.signals, found.states) == (["far"], ["h"])
    assert not found.settle({"h"}, {"far", "h"}, "signals")


def test_ids_next_to_floats_are_signals_and_lengths_are_none() -> None:
    ids, floats, lengths = torch.zeros(2, 9, dtype=torch.int64), torch.zeros(2, 9, 3), torch.full((2,), 9)
    assert _roles(ids, y=floats).signals == ["y"]
    found = _roles(floats, y=ids, z=ids, n=lengths)
    assert (found.signals, found.lengths, found.states) == (["y", "z"], ["n"], [])
    assert _roles(floats, y=ids[:, :8]).lengths == ["y"]
    assert _roles(ids, n=lengths).lengths == ["n"]
