"""The Open Inference Protocol without its transports: tensors become requests, and replies tensors."""

import asyncio
import math
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..requests import Refused, Reply, Request, Why
from ..served_model import ServedModel
from ..ticker import Ticker
from ..wire import answer_sizes

VERSION = "1"  # of every model
EXTENSIONS = ("sequence", "model_repository", "statistics")
TYPES: dict[str, str] = {"FP32": "<f4", "INT32": "<i4", "INT64": "<i8"}  # those of signals and answers
MOST_AXES = 8


@dataclass(frozen=True)
class Tensor:
    """One input or output.

    Attributes:
        name: Its name.
        datatype: FP32, INT32 or INT64.
        shape: Its sizes.
        data: Its values, little-endian, C order.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: bytes


@dataclass(frozen=True)
class Call:
    """A request as the protocol has it.

    Attributes:
        parameters: `sequence_id`, `sequence_start`, `sequence_end`, `timeout`; others are not read.
        inputs: The signals.
        outputs: The names of the outputs that are wanted; empty: all.
        patience: Seconds that its client waits.
    """

    parameters: Mapping[str, object]
    inputs: Sequence[Tensor]
    outputs: Sequence[str] = ()
    patience: float = math.inf


def the_model(tickers: Mapping[str, Ticker], name: str, version: str) -> Ticker:
    """Return the engine of a model.

    Raises:
        Refused: There is no such model, or no such version of it.
    """
    if name not in tickers:
        raise Refused(Why.missing, f"there is no model {name!r}; there are {', '.join(tickers)}")
    if version not in ("", VERSION):
        raise Refused(Why.missing, f"model {name!r} has no version {version!r}; it has {VERSION}")
    return tickers[name]


def request_of(served: ServedModel, owner: str, call: Call) -> Request:
    """Return the request of a call, without its reply; a call without a sequence is a stream of one chunk.

    Raises:
        Refused: A tensor or a parameter is missing, unknown, or of another form.
    """
    known = [output.name for output in served.outputs]
    for name in call.outputs:
        if name not in known:
            raise Refused(Why.format, f"output {name!r} is not one of the model, which has {', '.join(known)}")
    frames, payload = _frames(served, call.inputs)
    name = _sequence(call.parameters.get("sequence_id", 0))
    alone = not name
    start, end = (alone or _flag(call.parameters, f"sequence_{which}") for which in ("start", "end"))
    patience = min(call.patience, _timeout(call.parameters.get("timeout", 0)))
    named = name or uuid.uuid4().hex
    return Request(owner, named, _nobody, None, frames, payload, start=start, end=end, patience=patience)


async def ask(ticker: Ticker, request: Request) -> Reply:
    """Give a request to an engine, and return the reply.

    Raises:
        Refused: The engine refuses it.
    """
    reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()

    def take(_request: Request, found: Reply) -> None:
        if not reply.done():
            reply.set_result(found)

    submit(ticker, request, take)
    found = await reply
    if found.refused is not None:
        raise found.refused
    return found


def submit(ticker: Ticker, request: Request, take: Any) -> None:  # noqa: ANN401  the type of Request.reply
    """Give a request to an engine; a start drops what was there, and leaves nothing if it is refused."""

    def answer(answered: Request, reply: Reply) -> None:
        if reply.refused is not None and answered.start:
            ticker.engine.drop(answered.owner, answered.name)
        take(answered, reply)

    request.reply = answer
    if request.start:
        ticker.engine.drop(request.owner, request.name)
    ticker.submit(request)


def tensors_of(served: ServedModel, reply: Reply, wanted: Sequence[str]) -> list[Tensor]:
    """Return the outputs of a reply, all or those that are wanted."""
    found, at = [], 0
    for output in served.outputs:
        shape = answer_sizes(reply.frames, output.shape, timed=output.timed)
        size = 4 * math.prod(shape)
        if not wanted or output.name in wanted:
            found.append(Tensor(output.name, "FP32", shape, reply.payload[at : at + size]))
        at += size
    return found


def signals(served: ServedModel) -> list[Tensor]:
    """Return name, type and sizes of the inputs; -1 is the number of frames."""
    pieces = served.model.contract.pieces
    shapes = [(piece.name, piece.shape) for piece in pieces] or [(served.model.contract.signals[0], served.shape)]
    return [Tensor(name, "INT32" if served.ids else "FP32", (-1, *shape), b"") for name, shape in shapes]


def answers(served: ServedModel) -> list[Tensor]:
    """Return name, type and sizes of the outputs; -1 is the number of frames."""
    return [
        Tensor(output.name, "FP32", (-1, *output.shape) if output.timed else output.shape, b"")
        for output in served.outputs
    ]


def _frames(served: ServedModel, inputs: Sequence[Tensor]) -> tuple[int, bytes]:
    """Return the number of frames of a call and their bytes, several signals side by side."""
    wanted = {signal.name: signal.shape[1:] for signal in signals(served)}
    given = {tensor.name: tensor for tensor in inputs}
    if set(given) != set(wanted) or len(inputs) != len(wanted):
        raise Refused(Why.format, f"the inputs are {', '.join(given) or 'none'}, wanted {', '.join(wanted)}, each once")
    values = [_values(served, given[name], shape) for name, shape in wanted.items()]
    frames = len(values[0])
    if any(len(one) != frames for one in values):
        counts = ", ".join(str(len(one)) for one in values)
        raise Refused(Why.size, f"the signals have {counts} frames, wanted the same number of each")
    if len(values) == 1:
        return frames, values[0].tobytes()
    return frames, np.concatenate([one.reshape(frames, -1) for one in values], 1).tobytes()


def _values(served: ServedModel, tensor: Tensor, shape: tuple[int, ...]) -> Any:  # noqa: ANN401  an array
    allowed = ("INT32", "INT64") if served.ids else ("FP32",)
    if tensor.datatype not in allowed:
        raise Refused(Why.format, f"input {tensor.name!r} is {tensor.datatype}, wanted {' or '.join(allowed)}")
    dtype = np.dtype(TYPES[tensor.datatype])
    given = tensor.shape
    if not 0 < len(given) <= MOST_AXES or given[1:] != shape or not 0 <= given[0] < 2**31:
        sizes = ", ".join(map(str, ("frames", *shape)))
        raise Refused(Why.size, f"input {tensor.name!r} has the shape {list(given)[:MOST_AXES]}, wanted [{sizes}]")
    size = math.prod(given) * dtype.itemsize
    if len(tensor.data) != size:
        raise Refused(Why.size, f"input {tensor.name!r} has {len(tensor.data)} bytes, wanted {size}")
    values = np.frombuffer(tensor.data, dtype).reshape(given)
    return np.clip(values, -1, 2**31 - 1).astype("<i4") if served.ids else values  # -1 is no id, and is refused


def _sequence(given: object) -> str:
    """Return the name of a sequence; empty for none."""
    if isinstance(given, bool) or not isinstance(given, int | str):
        raise Refused(Why.format, f"sequence_id is {type(given).__name__}, wanted a whole number or a text")
    return "" if given == 0 else str(given)


def _timeout(given: object) -> float:
    """Return the seconds of a timeout in microseconds; 0 is none."""
    if isinstance(given, bool) or not isinstance(given, int) or given < 0:
        raise Refused(Why.format, f"timeout is {str(given)[:64]!r}, wanted a whole number of microseconds from 0 on")
    return min(given, 2**53) / 1e6 or math.inf


def _flag(parameters: Mapping[str, object], name: str) -> bool:
    given = parameters.get(name, False)
    if not isinstance(given, bool):
        raise Refused(Why.format, f"{name} is {type(given).__name__}, wanted true or false")
    return given


def _nobody(_request: Request, _reply: Reply) -> None:
    """Take no reply; `submit` sets who does."""
