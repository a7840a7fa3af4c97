"""nn.LSTM with proj_size as markers: the same answers, one marker per layer, nothing left behind."""

import pytest
import torch
from tidegate.export.graph.markers import PROJECTION, is_marker
from tidegate.export.pytorch.module import Subject
from tidegate.export.pytorch.projection_markers import marking_projections
from torch import Tensor, nn

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN:UserWarning")
FRAMES, STREAMS = 5, 3


def _state(layers: int, *batch: int) -> tuple[Tensor, Tensor]:
    return torch.randn(layers, *batch, 2), torch.randn(layers, *batch, 6)


@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("bias", [True, False], ids=["biases", "no biases"])
@pytest.mark.parametrize(
    ("batch_first", "shape", "batch"),
    [(True, (STREAMS, FRAMES, 4), (STREAMS,)), (False, (FRAMES, STREAMS, 4), (STREAMS,)), (False, (FRAMES, 4), ())],
    ids=["batch first", "time first", "no batch"],
)
@pytest.mark.parametrize("started", [True, False], ids=["from a state", "from zeros"])
def test_markers_compute_what_the_module_computes(
    layers: int, shape: tuple[int, ...], batch: tuple[int, ...], *, bias: bool, batch_first: bool, started: bool
) -> None:
    torch.manual_seed(0)
    module = nn.LSTM(4, 6, layers, bias=bias, batch_first=batch_first, proj_size=2).eval()
    x, state = torch.randn(shape), _state(layers, *batch) if started else None
    with torch.no_grad():
        wanted_y, wanted_state = module(x, state)
        with marking_projections():
            y, made = module(x, state)
    for seen, wanted in zip((y, *made), (wanted_y, *wanted_state), strict=True):
        torch.testing.assert_close(seen, wanted)


def test_a_trace_has_one_marker_per_layer() -> None:
    subject = Subject(nn.LSTM(4, 6, 3, proj_size=2), torch.randn(FRAMES, STREAMS, 4))
    with subject.evaluating():
        subject.try_example()
        model = subject.trace((0, 1))
    assert sum(is_marker(node, PROJECTION) for node in model.graph.node) == 3


def test_torch_is_as_before_afterwards_also_if_the_trace_fails() -> None:
    before = nn.LSTM.forward
    with pytest.raises(ZeroDivisionError), marking_projections():
        raise ZeroDivisionError
    assert nn.LSTM.forward is before


def test_an_lstm_without_projection_keeps_its_own_forward() -> None:
    module, x = nn.LSTM(4, 6), torch.randn(FRAMES, STREAMS, 4)
    with torch.no_grad():  # with gradients torch computes in another way, and on AVX2 other bits
        with marking_projections():
            inside = module(x)[0]
        assert torch.equal(inside, module(x)[0])
