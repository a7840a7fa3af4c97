"""The Open Inference Protocol without its transports."""

import asyncio
import math
from pathlib import Path

import numpy as np
import pytest
from tidegate.runtime.serving.doors.inference import (
    Call,
    Tensor,
    answers,
    ask,
    request_of,
    signals,
    tensors_of,
    the_model,
)
from tidegate.runtime.serving.engine import Engine
from tidegate.runtime.serving.requests import Limits, Refused, Reply
from tidegate.runtime.serving.served_model import ServedModel
from tidegate.runtime.serving.ticker import Ticker
from tools.onnx_files import write_lstm
from tools.serving import alone, ids_plan, overflowing_plan, signal, small_model

FRAMES = signal(4)
INPUT = Tensor("x", "FP32", (4, 6), FRAMES.tobytes())
SEQUENCE = {"sequence_id": 7, "sequence_start": True}


def test_a_call_of_a_sequence_is_a_chunk_of_a_stream() -> None:
    request = request_of(small_model(), "me", Call(SEQUENCE, [INPUT]))
    assert (request.owner, request.name, request.frame, request.frames) == ("me", "7", None, 4)
    assert (request.start, request.end, request.payload) == (True, False, FRAMES.tobytes())


def test_a_call_without_a_sequence_is_a_stream_of_its_own() -> None:
    one, two = (request_of(small_model(), "", Call({"sequence_id": 0}, [INPUT])) for _ in range(2))
    assert one.start
    assert one.end
    assert one.name != two.name


def test_ids_of_either_type_are_taken_and_one_that_is_no_id_stays_none() -> None:
    served = ServedModel.of(ids_plan())
    for datatype, dtype in (("INT32", "<i4"), ("INT64", "<i8")):
        request = request_of(served, "", Call({}, [Tensor("x", datatype, (2,), np.array([3, 8], dtype).tobytes())]))
        assert request.payload == np.array([3, 8], "<i4").tobytes()
    large = request_of(served, "", Call({}, [Tensor("x", "INT64", (2,), np.array([2**32, -(2**40)], "<i8").tobytes())]))
    assert np.frombuffer(large.payload, "<i4").tolist() == [2**31 - 1, -1]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (Call({}, []), "the inputs are none, wanted x, each once"),
        (Call({}, [INPUT, INPUT]), "the inputs are x, wanted x, each once"),
        (Call({}, [Tensor("z", "FP32", (4, 6), b"")]), "the inputs are z, wanted x"),
        (Call({}, [Tensor("x", "FP64", (4, 6), b"")]), "input 'x' is FP64, wanted FP32"),
        (Call({}, [Tensor("x", "FP32", (1, 4, 6), b"")]), r"has the shape \[1, 4, 6\], wanted \[frames, 6\]"),
        (Call({}, [Tensor("x", "FP32", (), b"")]), r"has the shape \[\], wanted \[frames, 6\]"),
        (Call({}, [Tensor("x", "FP32", (-4, 6), b"")]), r"has the shape \[-4, 6\]"),
        (Call({}, [Tensor("x", "FP32", (2**40, 6), b"")]), "has the shape"),
        (Call({}, [Tensor("x", "FP32", (1,) * 99, b"")]), "has the shape"),
        (Call({}, [Tensor("x", "FP32", (4, 6), b"1234")]), "has 4 bytes, wanted 96"),
        (Call({"sequence_id": 1.5}, [INPUT]), "sequence_id is float, wanted a whole number or a text"),
        (Call({"sequence_id": True}, [INPUT]), "sequence_id is bool"),
        (Call({"sequence_id": 1, "sequence_end": 1}, [INPUT]), "sequence_end is int, wanted true or false"),
        (Call({"timeout": -1}, [INPUT]), "timeout is '-1', wanted a whole number of microseconds from 0 on"),
        (Call({"timeout": True}, [INPUT]), "timeout is 'True'"),
        (Call({}, [INPUT], ["z"]), "output 'z' is not one of the model, which has y"),
    ],
)
def test_what_is_wrong_is_refused_by_name(call: Call, text: str) -> None:
    with pytest.raises(Refused, match=text):
        request_of(small_model(), "", call)


def test_a_timeout_is_the_least_of_what_the_call_and_its_transport_say() -> None:
    patience = [
        request_of(small_model(), "", Call({"timeout": timeout}, [INPUT], patience=3.0)).patience
        for timeout in (0, 2_000_000, 5_000_000, 2**64 - 1)
    ]
    assert patience == [3.0, 2.0, 3.0, 3.0]
    assert request_of(small_model(), "", Call({}, [INPUT])).patience == math.inf


def test_outputs_are_cut_from_an_answer_and_chosen_by_name(tmp_path: Path) -> None:
    two = ServedModel.of(overflowing_plan())
    payload = np.arange(2 * (5 + 6), dtype="<f4").tobytes()
    y, gain = tensors_of(two, Reply(0, 2, payload=payload), [])
    assert (y.shape, gain.shape) == ((2, 5), (2, 6))
    assert y.data + gain.data == payload
    assert tensors_of(two, Reply(0, 2, payload=payload), ["gain"]) == [gain]
    last = ServedModel.of(write_lstm(tmp_path / "m.onnx"))
    assert tensors_of(last, Reply(0, 2, payload=b"x" * 12), [])[0].shape == (3,)
    assert tensors_of(last, Reply(0, 0), [])[0].shape == (0,)


def test_models_are_described_with_a_free_number_of_frames(tmp_path: Path) -> None:
    assert [(tensor.name, tensor.datatype, tensor.shape) for tensor in signals(small_model())] == [
        ("x", "FP32", (-1, 6))
    ]
    assert answers(small_model())[0].shape == (-1, 3)
    assert signals(ServedModel.of(ids_plan()))[0].datatype == "INT32"
    assert answers(ServedModel.of(write_lstm(tmp_path / "m.onnx")))[0].shape == (3,)


def test_a_model_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="there is no model 'other'; there are small"):
        the_model({"small": None}, "other", "")  # type: ignore[dict-item]
    with pytest.raises(Refused, match="model 'small' has no version '2'; it has 1"):
        the_model({"small": None}, "small", "2")  # type: ignore[dict-item]


def test_row_241_a_start_that_waits_is_refused_by_the_next_and_the_server_goes_on() -> None:
    async def run() -> list[Reply | BaseException]:
        ticker = Ticker(Engine(small_model(), Limits(streams=2)))
        tensors = [Tensor("x", "FP32", (4 - n, 6), signal(4)[n:].tobytes()) for n in range(3)]
        calls = [Call({"sequence_id": 5, "sequence_start": True}, [tensor]) for tensor in tensors]
        asked = (ask(ticker, request_of(ticker.engine.served, "", call)) for call in calls)
        found = await asyncio.gather(*asked, return_exceptions=True)
        assert ticker.engine.streams == 1
        assert ticker.engine.waiting_bytes == 0
        return found

    first, second, last = asyncio.run(run())
    for refused in (first, second):
        assert isinstance(refused, Refused)
        assert str(refused) == "stream '5' was started anew"
    assert isinstance(last, Reply)
    assert last.payload == alone(signal(4)[2:])
