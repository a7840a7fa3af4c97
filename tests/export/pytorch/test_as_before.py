"""A module is afterwards as it was: buffers and other attributes too, whether it is exported or refused."""

from collections import deque
from pathlib import Path

import pytest
import torch
from tidegate.export import export_model
from tidegate.export.pytorch.as_before import kept
from tidegate.runtime.errors import ExportError, TidegateError
from torch import Tensor, nn

EXAMPLE = torch.linspace(-1, 1, 27).reshape(1, 9, 3)


class Remembering(nn.Module):
    """A layer that writes its last state; subclasses say where."""

    h: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, batch_first=True)
        self.register_buffer("h", torch.full((1, 1, 4), 0.25))
        self.sizes = {9}
        self.calls, self.past, self.found = 0, deque([torch.zeros(1)], maxlen=3), {"h": torch.zeros(1, 1, 4)}

    def keep(self, h: Tensor) -> None:
        """Write the last state."""

    def forward(self, x: Tensor) -> Tensor:
        y, h = self.rnn(x)
        self.keep(h)
        answer: Tensor = y
        return answer


class WritesBuffer(Remembering):
    """A buffer that is written in place."""

    def keep(self, h: Tensor) -> None:
        self.h[:] = h[:, :1]


class ReplacesBuffer(Remembering):
    """A buffer that is replaced."""

    def keep(self, h: Tensor) -> None:
        self.h = h


class ReplacesData(Remembering):
    """A buffer whose data are replaced, with those of another batch."""

    def keep(self, h: Tensor) -> None:
        self.h.data = h.detach()


class CountsAndCollects(Remembering):
    """A number, a deque, a dict and a new attribute."""

    def keep(self, h: Tensor) -> None:
        self.calls += 1
        self.past.append(h)
        self.found["h"], self.found["last"] = h, h
        self.new = h
        self.sizes.add(h.shape[1])


class Freezes(Remembering):
    """Parameters that are no longer trained, and a layer that is."""

    def keep(self, h: Tensor) -> None:  # noqa: ARG002
        self.rnn.train()
        for parameter in self.parameters():
            parameter.requires_grad_(False)


def _seen(module: Remembering) -> list[object]:
    return [
        {key: value for key, value in vars(module).items() if not isinstance(value, dict | deque)},
        [(name, id(buffer), buffer.tolist()) for name, buffer in module.named_buffers()],
        [(id(tensor), tensor.tolist()) for tensor in (*module.past, *module.found.values())],
        [*module.found],
        [(child.training, *(p.requires_grad for p in child.parameters())) for child in module.modules()],
        set(module.sizes),
    ]


@pytest.mark.parametrize("kind", [WritesBuffer, ReplacesBuffer, ReplacesData, CountsAndCollects, Freezes])
def test_row_56_what_a_forward_writes_is_afterwards_as_it_was(tmp_path: Path, kind: type[Remembering]) -> None:
    module = kind()
    module.rnn.eval()
    module.rnn.weight_hh_l0.requires_grad_(False)
    before = _seen(module)
    export_model(module, EXAMPLE, tmp_path / "m.onnx")
    assert _seen(module) == before


def test_a_refusal_leaves_the_buffers_as_they_were(tmp_path: Path) -> None:
    class StartsFromBuffer(Remembering):
        def forward(self, x: Tensor) -> Tensor:
            y, h = self.rnn(x, self.h)
            self.h[:] = h
            answer: Tensor = y * h
            return answer

    module = StartsFromBuffer()
    before = _seen(module)
    with pytest.raises(TidegateError):
        export_model(module, EXAMPLE, tmp_path / "m.onnx")
    assert _seen(module) == before


def test_scripted_buffers_are_kept() -> None:
    class Counting(nn.Module):
        count: Tensor
        last: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("count", torch.zeros(1))
            self.register_buffer("last", torch.zeros(1))

        def forward(self, x: Tensor) -> Tensor:
            self.count += 1
            self.last = x
            return x

    module = torch.jit.script(nn.Sequential(Counting()))
    with kept(module):
        module.eval()(torch.ones(3))
        assert module[0].count.item() == 1
    assert (module[0].count.tolist(), module[0].last.tolist()) == ([0.0], [0.0])
    assert module.training
    assert module[0].training


def test_tensors_that_did_not_change_are_not_written() -> None:
    module = nn.Linear(3, 3)
    versions = [p._version for p in module.parameters()]
    with kept(module):
        module(torch.ones(3))
    assert [p._version for p in module.parameters()] == versions


def test_weights_that_were_never_made_are_refused(tmp_path: Path) -> None:
    net = nn.Sequential(nn.LazyLinear(3), nn.LSTM(3, 4))
    with pytest.raises(ExportError, match=r"0\.weight has no values yet, wanted trained weights; call the module once"):
        export_model(net, EXAMPLE, tmp_path / "m.onnx")
    net(EXAMPLE)  # the way out
    assert export_model(net, EXAMPLE, tmp_path / "m.onnx").path.exists()
