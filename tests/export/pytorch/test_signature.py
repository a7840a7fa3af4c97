"""The parameters and the results of a forward."""

import pytest
import torch
from tidegate.export.pytorch.signature import named_results, parameters_of, signature_of
from tidegate.runtime.errors import ExportError
from torch import Tensor, nn


class Net(nn.Module):
    """A forward with a required and an optional argument."""

    def forward(self, x: Tensor, y: Tensor, scale: float = 1.0) -> Tensor:
        return x + scale * y


def test_parameters_are_those_of_the_example_or_those_needed() -> None:
    assert signature_of(Net()) == {"x": True, "y": True, "scale": False}
    assert signature_of(torch.jit.script(Net())) == signature_of(Net())
    assert [parameters_of(Net(), given) for given in (1, 2, 3)] == [["x", "y"], ["x", "y"], ["x", "y", "scale"]]


def test_an_example_of_too_many_parts_is_refused() -> None:
    with pytest.raises(ExportError, match="the example has 4 parts, the forward takes 3: x, y, scale; give one part"):
        parameters_of(Net(), 4)


def test_results_have_the_names_of_a_dict_or_numbers() -> None:
    one, two = torch.zeros(1), torch.ones(1)
    assert named_results({"a": one, "b": two}) == {"a": one, "b": two}
    assert list(named_results((one, None, [two]))) == ["output_0", "output_1"]
    with pytest.raises(ExportError, match="the forward returns int, wanted tensors, tuples or a dict of tensors"):
        named_results((one, 3))
