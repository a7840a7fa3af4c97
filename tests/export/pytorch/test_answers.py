"""The answers of a module, with the names and shapes of its file."""

import torch
from tidegate.export.graph.axes import Axes
from tidegate.export.pytorch.answers import answers_in_chunks, whole_answers
from tidegate.export.pytorch.module import Subject
from tidegate.runtime.contract import Contract, Port, State
from torch import Tensor, nn


class Stateful(nn.Module):
    """Takes its state and returns the next."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(3, 4, 2, batch_first=True)

    def forward(self, x: Tensor, h: Tensor) -> dict[str, Tensor]:
        y, hn = self.gru(x, h)
        return {"y": y, "hn": hn}


def test_states_get_the_shape_that_they_have_in_the_file() -> None:
    subject = Subject(Stateful(), (torch.zeros(2, 5, 3), torch.zeros(2, 2, 4)))
    state = State("h_in", "h_out", "h", (2, "batch", 2, 2))
    contract = Contract((Port("x", 1, 0),), (Port("answer", 1, 0),), (state,))
    subject.axes = Axes(1, 0)
    with subject.evaluating():
        found = whole_answers(subject, contract, {"y": "answer", "hn": "h_out"})(subject.example)
    assert {name: value.shape for name, value in found.items()} == {"answer": (2, 5, 4), "h_out": (2, 2, 2, 2)}


def test_chunks_carry_the_state_that_the_module_returns() -> None:
    torch.manual_seed(0)
    module, x = Stateful().eval(), torch.randn(2, 5, 3)
    subject = Subject(module, (x, torch.zeros(2, 2, 4)))
    subject.axes = Axes(1, 0)
    (name,) = subject.others.states
    with subject.evaluating():
        chunks = [x[:, :2].numpy(), x[:, 2:].numpy()]
        found = list(answers_in_chunks(subject, {"y": "answer"}, {name: "hn"})(chunks))
        whole = module(x, torch.zeros(2, 2, 4))["y"]
    seen = torch.cat([torch.from_numpy(answer["answer"]) for answer in found], 1)
    torch.testing.assert_close(seen, whole)
