"""Selections and joins that the engine does not have are refused by name."""

import numpy as np
import pytest
from tidegate.runtime.errors import ModelError, UnsupportedError
from tools.drafts import Build, Draft, part, refuses


def concat_of_states_by_batch(d: Draft) -> None:
    d.lstm("x", final=("hn", "cn"))
    d.answer(d.add("Concat", "hn", "cn", axis=1), None, 1)


def split_by_two(d: Draft) -> None:
    h, _ = d.state(4)
    d.answer(d.many("Split", [h, d.tensor([2, 2], np.int64)], ["a", "b"], axis=0)[0])


def gather_computed(d: Draft) -> None:
    d.answer(d.add("Gather", d.layer("x"), "x"))


def layer_that_is_not_there(d: Draft) -> None:
    d.lstm("x")
    d.answer(d.gather(d.states[0].output, 1), None, 0)


REFUSALS: dict[str, tuple[Build, type[ModelError], str]] = {
    "Gather of the first frame": (
        lambda d: d.answer(d.gather(d.layer("x"), 0), None, 0),
        UnsupportedError,
        "it takes index 0 of the time axis, wanted the last frame (-1)",
    ),
    "Gather of a list": (
        lambda d: d.answer(d.gather(d.layer("x"), [-2, -1])),
        UnsupportedError,
        "takes 2 indices of the time axis",
    ),
    "Gather computed": (gather_computed, UnsupportedError, "Gather 'gather': the engine takes constant indices"),
    "Gather of no layer": (layer_that_is_not_there, UnsupportedError, "it takes index 1 of the one axis, wanted 0"),
    "Split by two": (part(split_by_two), UnsupportedError, "it splits 4 layers into [2, 2], wanted one each"),
    "Concat by batch": (
        part(concat_of_states_by_batch),
        UnsupportedError,
        "it joins along axis 1 of (one, batch, feature)",
    ),
}


@pytest.mark.parametrize("form", REFUSALS)
def test_form_that_the_engine_lacks_is_refused_by_name(form: str) -> None:
    refuses(*REFUSALS[form])
