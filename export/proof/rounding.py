"""How far float32 rounding alone moves the answers of a file: its noise floor.

Two valid programs of one model add in different orders. The answers of each are exact for weights and inputs that
differ in their last places. So the file runs again with each weight and input moved by one last place, up or down at
random. Rounding may move an answer as far as this does.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from ...runtime.arrays import Array
from ...runtime.contract import features_of_ids
from .runner import Answers, Runner
from .signals import SEED

DRAWS = 8  # runs with moved weights; the largest change counts. With 3, it was half as large in some models


class Rounding:
    """The changes that rounding makes to the answers of a file.

    Args:
        runner: The file.
    """

    def __init__(self, runner: Runner) -> None:
        self._runner = runner
        self._moved: list[Runner] = []

    def changes(self, x: Array) -> dict[str, Array]:
        """Return the largest change of each output in the answer to a signal from the zero state.

        Args:
            x: A signal with the axes of the file.

        Returns:
            For an output with a time axis float64 `[frames]`, for each frame the largest change up to it. For another
            output float64 `[]`. All are 0 if the file answers at random.
        """
        self._moved = self._moved or list(_moved_files(self._runner))
        random = np.random.default_rng(SEED)
        wanted, again = self._runner.run(x), self._runner.run(x)
        ids = features_of_ids(self._runner.contract.pieces)
        runs = [moved.run(_moved(x, random, ids)) for moved in self._moved]
        axes = {port.name: port.time_axis for port in self._runner.contract.outputs}
        found = {name: _largest(runs, name, value, axes.get(name)) for name, value in wanted.items()}
        alike = all(np.array_equal(again[name], value, equal_nan=True) for name, value in wanted.items())
        return found if alike else {name: np.zeros_like(value) for name, value in found.items()}


def _largest(runs: Sequence[Answers], name: str, wanted: Array, time: int | None) -> Array:
    gap = np.max([np.abs(run[name].astype(np.float64) - wanted) for run in runs], 0)
    if time is None:
        gap = gap.max(initial=0.0)
    else:
        frames = np.moveaxis(gap, time, 0)
        gap = np.maximum.accumulate(frames.reshape(len(frames), -1).max(1, initial=0.0))
    return np.asarray(gap)


def _moved_files(runner: Runner) -> Iterator[Runner]:
    """Yield files with other last places of their weights. A single number stays: it may be an exponent or a bound."""
    for seed in range(DRAWS):
        model, random = onnx.load_from_string(runner.data), np.random.default_rng(seed)
        for tensor in model.graph.initializer:
            if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) > 1:
                tensor.CopyFrom(numpy_helper.from_array(_moved(numpy_helper.to_array(tensor), random), tensor.name))
        yield Runner(model.SerializeToString(), runner.contract)


def _moved(values: Array, random: np.random.Generator, ids: Sequence[int] = ()) -> Array:
    """Return float32 values, each but 0 moved by one last place; ids as they are, also those in some features."""
    if values.dtype != np.float32:
        return values
    ends = np.where(random.random(values.shape) < 0.5, np.float32(-np.inf), np.float32(np.inf))
    moved = np.where(values == 0, values, np.nextafter(values, ends))
    for feature in ids:
        moved[..., feature] = values[..., feature]
    return moved
