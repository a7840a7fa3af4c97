"""Calibration streams: check them, and choose the frames that are held out for judging."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from ...runtime.arrays import Array, Floats
from ...runtime.contract import Contract, checked_state
from ...runtime.errors import ChunkError, QuantizationError, StateError
from ...runtime.program import Program
from ...runtime.streams import side_by_side
from .layers import looks_ahead

FEWEST_FRAMES = 50
MOST_FRAMES = 2**19  # 11.9 s at 44.1 kHz, 87 minutes at 10 ms per frame
MOST_PRODUCTS = 2**36  # frames times weights: keeps calibration within two minutes on one core
EVERY_FIFTH, FIRST_HELD = 5, 2  # with five streams or more, the third, the eighth ... are held out
MOST_TOGETHER = 4096  # frames of a stream that looks ahead: all its values are in memory together
SPANS, HELD_SPANS = 10, (2, 7)  # with fewer streams, two of ten equal spans of each


Given = Array | Mapping[str, Array]
Static = Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Streams:
    """Streams to calibrate and to judge on.

    Attributes:
        frames: Each stream, float32 `[frames, features]`; ids are whole floats `[frames, 1]`.
        held: For each stream, which frames are held out: they are for judging only, never for calibration.
        complete: Whether all given frames are used. If not, the first frames are used, up to the limit of two minutes.
        static: For each stream its static inputs by name; empty if the model has none.
    """

    frames: tuple[Floats, ...]
    held: tuple[Array, ...]
    complete: bool
    static: tuple[Static, ...] = ()

    def static_of(self, number: int) -> Static:
        """Return the static inputs of a stream."""
        return self.static[number] if self.static else {}

    @property
    def count(self) -> int:
        """Frames of all streams."""
        return sum(map(len, self.frames))

    @property
    def held_count(self) -> int:
        """Held-out frames of all streams."""
        return int(sum(map(np.sum, self.held)))


def read_streams(given: Iterable[Given], program: Program, contract: Contract) -> Streams:
    """Check streams for a program and choose the frames to hold out.

    With five streams or more, every fifth stream is held out. With fewer, the third and the eighth of ten equal spans
    of each stream are. Streams are read up to the number of frames that two minutes allow for a model of this size. A
    model that looks ahead gets streams of at most MOST_TOGETHER frames, and of its limit: longer ones are cut.

    Args:
        given: Each stream is float32 `[frames, features]`, or with the axes of a frame; integers `[frames]` if the
            model reads ids. For several signals, or with static inputs, it is a dict of these by name.
        program: The model.
        contract: Its contract.

    Raises:
        QuantizationError: A stream has a wrong shape or type, or a value that is not finite; or there are too few
            frames.
    """
    if isinstance(given, np.ndarray):
        raise QuantizationError("calibration is one array, wanted streams: put it into a list, [array]")
    left, most = _most_frames(program), _most_together(program)
    streams, static, complete = list[Floats](), list[Static](), True
    for number, stream in enumerate(given):
        signal, same = _taken_apart(stream, contract, number)
        frames = _checked(np.asarray(signal), program, number)
        complete = len(frames) <= left
        used = frames[:left]
        streams += [used[at : at + most] for at in range(0, max(len(used), 1), most)]
        static += [same] * (len(streams) - len(static))
        left -= len(used)
        if not complete or left == 0:
            break
    if sum(map(len, streams)) < FEWEST_FRAMES:
        raise QuantizationError(
            f"calibration has {sum(map(len, streams))} frames, wanted at least {FEWEST_FRAMES}, like those "
            "that the model will hear"
        )
    return Streams(tuple(streams), tuple(_held(streams)), complete, tuple(static) if any(static) else ())


def _taken_apart(stream: Given, contract: Contract, number: int) -> tuple[Array, Static]:
    """Return the signals of a stream side by side, and its static inputs by name."""
    static = [state.input for state in contract.states if state.kind == "static"]
    parts = stream if isinstance(stream, Mapping) else {}
    for name in static:
        if name not in parts:
            raise QuantizationError(
                f"calibration stream {number} has no static input {name!r}, wanted a dict of "
                f"{', '.join((*contract.signals, *static))}"
            )
    signals = {name: values for name, values in parts.items() if name not in static}
    try:
        same = checked_state(contract, {name: parts[name] for name in static})
        return side_by_side(contract, signals if isinstance(stream, Mapping) else stream), same
    except (ChunkError, StateError) as error:
        raise QuantizationError(f"calibration stream {number}: {error}") from None


def _most_frames(program: Program) -> int:
    weights = sum(matrix.codes.size for op in program.ops for matrix in op.record().matrices)
    return min(MOST_FRAMES, max(MOST_PRODUCTS // max(weights, 1), 2000))


def _most_together(program: Program) -> int:
    """Return the most frames of a stream; a longer stream of a model that looks ahead becomes several."""
    limit = program.blocks.limit if program.blocks is not None else None
    return min(MOST_TOGETHER, limit or MOST_TOGETHER) if looks_ahead(program) else MOST_FRAMES


def _checked(stream: Array, program: Program, number: int) -> Floats:
    """Return a stream as float32 `[frames, features]`; frames of several axes may also come flat."""
    name, shape = f"calibration stream {number}", program.frame or (program.input_width,)
    wanted = "integers [frames]" if program.ids else f"float32 [frames, {', '.join(map(str, shape))}]"
    if program.frame and stream.shape[1:] == program.frame:
        stream = stream.reshape(len(stream), -1)
    if program.ids and stream.ndim == 1 and stream.dtype.kind in "iu":
        return stream.astype(np.float32)[:, None]
    if program.ids or stream.ndim != 2 or stream.shape[1] != program.input_width:
        raise QuantizationError(f"{name} is {stream.dtype} {list(stream.shape)}, wanted {wanted}")
    if not np.can_cast(stream.dtype, np.float32, "same_kind"):
        raise QuantizationError(f"{name} holds {stream.dtype}, wanted {wanted}")
    frames: Floats = np.ascontiguousarray(stream, np.float32)
    bad = np.flatnonzero(~np.all(np.abs(frames) <= 2.0**64, axis=1))
    if bad.size:
        raise QuantizationError(f"{name}, frame {bad[0]}: a value is not finite or above 2^64")
    return frames


def _held(streams: list[Floats]) -> Iterator[Array]:
    for number, frames in enumerate(streams):
        if len(streams) >= EVERY_FIFTH:
            yield np.full(len(frames), number % EVERY_FIFTH == FIRST_HELD)
        else:
            spans = np.arange(len(frames)) * SPANS // max(len(frames), 1)
            yield np.isin(spans, HELD_SPANS)
