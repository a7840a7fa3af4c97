"""A foreign file as its author runs it, in onnxruntime: the lifted file is compared with it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx

from ...runtime.arrays import Array
from ...runtime.contract import Contract
from ...runtime.errors import ExportError
from ..graph.axes import set_dims, shape_of
from ..graph.editing import input_named
from ..proof.comparison import UnfiniteError
from ..proof.runner import Runner
from ..proof.signals import cut, time_axis
from ..rewrites.rows import Rows
from .fixed_inputs import FixedInput


@dataclass(frozen=True)
class OriginalFile:
    """A foreign file, and how its author runs it.

    Attributes:
        runner: The file; its contract pairs its state inputs and outputs.
        fixed: Inputs that stay the same.
        frames: Frames per run; None: any number.
        streams: Streams per run; None: any number.
        context: Samples of the frame before that come first in each frame.
        flat: Whether all frames of a run are in one axis.
        rows: The rows of the file that make a frame; None: it takes frames.
    """

    runner: Runner
    fixed: Sequence[FixedInput]
    frames: int | None = None
    streams: int | None = None
    context: int = 0
    flat: bool = False
    rows: Rows | None = None

    @property
    def contract(self) -> Contract:
        """The ports of the file and the pairs of its states."""
        return self.runner.contract

    def feeds(self, frames: Array) -> dict[str, Array]:
        """Return the inputs that stay the same, for the frames of a run."""
        return {one.name: one.of_signal(frames.shape) for one in self.fixed}

    def takes_any_length(self) -> bool:
        """Return whether the file can answer a signal of any length, in one run or frame by frame."""
        return self.frames is None or (self.frames == 1 and bool(self.contract.states))

    def answers(self, x: Array) -> dict[str, Array]:
        """Return the answers to a whole signal; `x` has only the new values of each frame.

        If the file cannot take all frames in one run, there are several runs, and the states are fed back. If it takes
        another number of streams, they run in groups of that number, the last stream as often as it must.
        """
        batch = self.contract.inputs[0].batch_axis
        if batch is None or self.streams is None or x.shape[batch] == self.streams:
            return self._stream(x)
        count = x.shape[batch]
        groups = np.minimum(np.arange(-(-count // self.streams) * self.streams), count - 1).reshape(-1, self.streams)
        parts = [self._stream(np.take(x, group, batch)) for group in groups]
        axes = {port.name: port.batch_axis for port in self.contract.outputs}
        joined = {name: np.concatenate([part[name] for part in parts], axis) for name, axis in axes.items()}
        return {name: np.take(value, range(count), axes[name]) for name, value in joined.items()}

    def _stream(self, x: Array) -> dict[str, Array]:
        """Return the answers to a signal that has as many streams as the file takes."""
        states: dict[str, Array] = {}
        answers: list[dict[str, Array]] = []
        for frames in self._runs(x):
            answers.append(self.runner.run(frames, {**self.feeds(frames), **states}))
            states = self.runner.carried(answers[-1])
        joined = dict(answers[-1])
        for port in self.contract.outputs if len(answers) > 1 else ():
            if port.time_axis is not None:
                joined[port.name] = np.concatenate([answer[port.name] for answer in answers], port.time_axis)
        return joined

    def _runs(self, x: Array) -> Iterator[Array]:
        """Yield the signal of each run, with the context before each frame."""
        axis = time_axis(self.contract.inputs[0])
        length, step = x.shape[axis], self.frames or x.shape[axis]
        before = np.zeros((1, self.context), x.dtype)
        for start in range(0, length, step):
            frames = cut(x, axis, start, start + step)
            if self.context:
                frames = np.concatenate([before, frames], -1)
                before = frames[:, -self.context :]
            frames = frames if self.rows is None else self.rows.taken(frames)
            yield frames.reshape(len(frames), -1) if self.flat else frames


def at_any_length(file: OriginalFile) -> OriginalFile:
    """Return a file that fixes a number of frames as one that takes any number; as it is if it needs its number.

    The file needs it if it has states, fails or answers other frames at another length, or gives other bits at its own
    length if the length is free.
    """
    port, frames = file.contract.inputs[0], file.frames
    if frames is None or file.contract.states or file.context:
        return file
    model, time = onnx.load_from_string(file.runner.data), time_axis(port) if file.rows is None else file.rows.time
    item = input_named(model, port.name)
    dims = shape_of(item)
    set_dims(item, (*dims[:time], "time", *dims[time + 1 :]))
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    kind = onnx.helper.tensor_dtype_to_np_dtype(item.type.tensor_type.elem_type)
    sizes = [size if isinstance(size, int) else 1 for size in dims]
    counts = (n if file.rows is None else n * file.rows.count + file.rows.after for n in (frames, frames + 7))
    own, longer = (np.ones((*sizes[:time], n, *sizes[time + 1 :]), kind) for n in counts)
    try:
        freed = Runner(model.SerializeToString(), file.contract)
        more = freed.run(longer, file.feeds(longer))
        wanted, seen = (runner.run(own, file.feeds(own)) for runner in (file.runner, freed))
    except ExportError:
        return file
    alike = all(np.array_equal(value, seen[name]) for name, value in wanted.items())
    times = {port.name: port.time_axis for port in file.contract.outputs if port.time_axis is not None}
    alike = alike and all(more[name].shape[axis] == frames + 7 for name, axis in times.items())
    return replace(file, runner=freed, frames=None) if alike else file


def finite(answers: dict[str, Array], *, given: bool) -> dict[str, Array]:
    """Return answers of the original; refuse them if they are not finite: they prove nothing.

    Raises:
        UnfiniteError: A value is not finite.
    """
    for name, values in answers.items():
        if not np.isfinite(values).all():
            raise unfinite(f"output {name!r} is not finite", given=given)
    return answers


def unfinite(seen: str, *, given: bool) -> UnfiniteError:
    """Return the error for values that are not finite on the proof's signals."""
    way_out = "" if given else ", or if the file takes only some values, give a signal of yours (data=, --data)"
    return UnfiniteError(f"on {'signals like the data' if given else 'noise'}: {seen}; check its weights{way_out}")
