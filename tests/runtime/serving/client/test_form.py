"""The form of frames and answers, as a server says it; hostile servers."""

import json
from typing import Any

import numpy as np
import pytest
from tidegate.runtime.errors import ChunkError, ServerError
from tidegate.runtime.serving.client.form import Form
from tools.serving import HELLO


def form(**fields: object) -> Form:
    return Form.from_json(json.dumps(HELLO | fields))


def test_signals_lie_side_by_side_by_their_names() -> None:
    two = form(signals=[{"name": "a", "shape": [1]}, {"name": "b", "shape": [2]}])
    a, b = np.ones((4, 1), np.float32), np.zeros((4, 2), np.float32)
    np.testing.assert_array_equal(two.frames_of({"b": b, "a": a}), [[1, 0, 0]] * 4)
    with pytest.raises(ChunkError, match="chunk has the signals a, wanted a, b"):
        two.frames_of({"a": a})
    with pytest.raises(ChunkError, match="the signals have 4, 3 frames"):
        two.frames_of({"a": a, "b": b[:3]})
    assert form().frames_of({"x": np.zeros((1, 3))}).dtype == np.float32


@pytest.mark.parametrize(
    ("fields", "chunk", "text"),
    [
        ({}, np.zeros((4, 2)), r"chunk is float64 \(4, 2\), wanted float32 \(frames, 3\)"),
        ({}, np.zeros((4, 3), int), r"chunk is int64 \(4, 3\), wanted float32"),
        ({"type": "int32", "shape": []}, np.zeros(4), r"chunk is float64 \(4,\), wanted int32 \(frames\)"),
        ({}, np.float32(3), r"chunk is float32 \(\)"),
    ],
)
def test_a_chunk_of_another_form_is_refused(fields: dict[str, object], chunk: Any, text: str) -> None:  # noqa: ANN401
    with pytest.raises(ChunkError, match=text):
        form(**fields).frames_of(chunk)


@pytest.mark.parametrize(
    ("hello", "text"),
    [
        ("no", "first message is not that of tidegate"),
        ("[1]", "first message is not that of tidegate"),
        ('{"tidegate": 2, "type": "float32"}', "the server speaks version 2, wanted 1"),
        (json.dumps(HELLO | {"shape": [-3]}), "sizes .* which no model has"),
        (json.dumps(HELLO | {"shape": [2**40]}), "sizes .* which no model has"),
        (json.dumps(HELLO | {"outputs": []}), "which no model has"),
    ],
)
def test_a_hostile_first_message_is_refused(hello: str, text: str) -> None:
    with pytest.raises(ServerError, match=text):
        Form.from_json(hello)
