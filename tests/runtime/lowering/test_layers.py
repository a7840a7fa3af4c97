"""Values of several layers: what is chosen costs one Last, and what the engine cannot join is refused by name."""

from collections.abc import Callable

import numpy as np
import pytest
from tidegate.runtime.errors import ModelError, UnsupportedError
from tidegate.runtime.operators import Last
from tools.drafts import Build, Draft, refuses


def of_two_layers(head: Callable[[Draft, str], str]) -> Build:
    """A head on the final h of two layers."""

    def build(d: Draft) -> None:
        h, c = d.state(2)
        parts = [d.many("Split", [s, d.tensor([1, 1], np.int64)], [f"{s}{i}" for i in (0, 1)], axis=0) for s in (h, c)]
        y = d.squeeze(d.lstm("x", start=(parts[0][0], parts[1][0]), final=("h_0", "c_0")), 1)
        d.lstm(y, 8, start=(parts[0][1], parts[1][1]), final=("h_1", "c_1"))
        final = d.add("Concat", "h_0", "h_1", to=f"{h}.out", axis=0)
        d.add("Concat", "c_0", "c_1", to=f"{c}.out", axis=0)
        d.answer(head(d, final), None, 0)

    return build


def integers(d: Draft, *values: int) -> str:
    return d.tensor(values, np.int64)


REFUSALS: dict[str, tuple[Build, type[ModelError], str]] = {
    "a layer that is not there": (
        of_two_layers(lambda d, h: d.gather(h, 2)),
        UnsupportedError,
        "it takes layer 2 of 2",
    ),
    "layers after features": (
        of_two_layers(lambda d, h: d.add("Flatten", d.add("Transpose", h, perm=[1, 2, 0]))),
        UnsupportedError,
        "it joins the layers of (batch, feature, layer), wanted features after the layers",
    ),
    "another number of layers": (
        of_two_layers(lambda d, h: d.add("Add", h, d.add("Concat", h, "h_0", axis=0))),
        UnsupportedError,
        "its operands have [2, 3] layers",
    ),
    "removed layers": (
        of_two_layers(lambda d, h: d.squeeze(h, 0)),
        UnsupportedError,
        "it removes axes [0] of (layer, batch, feature)",
    ),
}


@pytest.mark.parametrize("form", REFUSALS)
def test_form_that_the_engine_lacks_is_refused_by_name(form: str) -> None:
    refuses(*REFUSALS[form])


@pytest.mark.parametrize(
    ("head", "count"),
    [
        (lambda d, h: d.gather(h, -1), 1),
        (lambda d, h: d.squeeze(d.add("Slice", h, *(integers(d, v) for v in (1, 2, 0))), 0), 1),
        (lambda d, h: d.add("ReduceMax", h, integers(d, 0), keepdims=0), 2),
    ],
)
def test_only_the_chosen_layers_are_computed(head: Callable[[Draft, str], str], count: int) -> None:
    d = Draft()
    of_two_layers(head)(d)
    assert sum(isinstance(op, Last) for op in d.program().ops) == count
