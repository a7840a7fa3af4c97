"""Streams of a model: all answers to a signal, and the frames that each of them answers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ...runtime.arrays import Answer, Array
from ...runtime.contract import Port
from ...runtime.errors import ExportError
from ...runtime.streams import Model, apart
from .signals import time_axis_of_one


@dataclass(frozen=True)
class Streamed:
    """The answers of one output.

    Attributes:
        values: With a time axis `[frames, ...]`, else `[answers, ...]`.
        ends: For an output without a time axis: for each answer the frames pushed before it, one more for that of
            `finish()`. None for an output with a time axis.
    """

    values: Array
    ends: tuple[int, ...] | None = None


def check_request(signal: Array, chunks: Sequence[object], limit: float | None) -> None:
    """Refuse a signal without frames, sizes of chunks that are none, and a limit that no error meets.

    Raises:
        ExportError: There is one.
    """
    if not len(signal):
        raise ExportError("the data has no frame, wanted at least one")
    if not chunks or any(size != "all" and (not isinstance(size, int) or size < 1) for size in chunks):
        raise ExportError(f"chunks is {chunks!r}, wanted numbers of frames or 'all', e.g. [1, 3, 'all']")
    if limit is not None and not limit >= 0:
        raise ExportError(f"limit is {limit}, wanted a number of 0 or more")


def graph_axes(port: Port, values: Array) -> Array:
    """Return an output of one stream, time first, with the axes that it has in the graph."""
    if port.time_axis is not None:
        values = np.moveaxis(values, 0, time_axis_of_one(port))
    return values if port.batch_axis is None else np.expand_dims(values, port.batch_axis)


def one_of(port: Port, x: Array) -> Array:
    """Return the signal of the first stream of a batch, frames first."""
    one = x if port.batch_axis is None else np.take(x, 0, port.batch_axis)
    return np.moveaxis(one, time_axis_of_one(port), 0)


def stream(
    model: Model,
    signal: Array,
    chunks: Sequence[int],
    *,
    finished: bool = True,
    given: Mapping[str, Array] | None = None,
) -> dict[str, Streamed]:
    """Return all answers to a signal of one stream in chunks, by output.

    Args:
        model: The model.
        signal: `[frames, ...]`; several signals side by side.
        chunks: The frames of each push.
        finished: Whether to finish the stream.
        given: States that the stream starts from.
    """
    timed = {port.name for port in model.contract.outputs if port.time_axis is not None}
    stream, end, pieces = model.stream(given), 0, model.contract.pieces
    values, ends = defaultdict[str, list[Array]](list), defaultdict[str, list[int]](list)

    def keep(answer: Answer) -> None:
        named = answer if isinstance(answer, dict) else {model.contract.outputs[0].name: answer}
        for name, made in named.items():
            if name in timed or len(made):  # an answer that is not complete yet is empty
                values[name].append(np.array(made))
                ends[name].append(end)

    for frames in chunks:
        end += frames
        keep(stream.push(apart(pieces, signal[end - frames : end])))
    if finished and (rest := stream.finish()) is not None:
        end += 1
        keep(rest)
    return {
        port.name: Streamed(np.concatenate(values[port.name]))
        if port.name in timed
        else Streamed(np.array(values[port.name]), tuple(ends[port.name]))
        for port in model.contract.outputs
    }


def common(one: Streamed, other: Streamed) -> tuple[Array, Array, tuple[int, ...] | None]:
    """Return the answers that both streams give, and their ends; None as in `Streamed`."""
    if one.ends is None or other.ends is None:
        return one.values, other.values, None
    ends = tuple(sorted(set(one.ends) & set(other.ends)))
    kept = [np.isin(given, ends) for given in (one.ends, other.ends)]
    return one.values[kept[0]], other.values[kept[1]], ends
