"""Signals with all frames in one axis: the Reshape says what a frame is; a frame may be given, and must fit."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from tidegate.export.foreign.flat_frames import unfold_frames
from tidegate.runtime.errors import ContractError
from tools.foreign_files import ForeignFile
from tools.lifting import assert_streams_as, lifted, original


def flat(target: Sequence[int], dims: Sequence[int | str | None]) -> onnx.ModelProto:
    """Return a file that reshapes its flat signal, and answers by the final h of an LSTM."""
    file = ForeignFile(17)
    value = file.add("Reshape", [file.input("x", dims), file.constant(np.array(target, np.int64))])
    value = file.squeezed(value, 1) if len(target) == 4 else value
    if len(target) == 2:
        value = file.add("Unsqueeze", [value, file.axes(1)])
    elif target[0] in (-1, 0, 1):
        value = file.add("Transpose", [value], perm=[1, 0, 2])
    _, h, *_ = file.cell("LSTM", value, target[-1], 6)
    file.output(file.head(file.squeezed(h, 0), 6, 3, "y"), [dims[0], 3])
    return file.model()


TARGETS = {
    "time first": ([20, 1, 5], [1, 100]),
    "batch first": ([1, 20, 5], [1, 100]),
    "frames counted": ([1, -1, 5], [1, 100]),
    "free batch": ([-1, 20, 5], ["batch", 100]),
    "copied batch": ([0, 20, 5], ["batch", 100]),
    "a channel": ([1, 1, 20, 5], [1, 100]),
    "no batch": ([20, 5], [1, 100]),
    "any number of frames": ([1, -1, 5], [1, None]),
    "one value": ([1, 20, 1], [1, 20]),
    "one value, any number": ([1, -1, 1], [1, None]),
}


@pytest.mark.parametrize(("target", "dims"), TARGETS.values(), ids=TARGETS)
def test_row_82_the_reshape_says_what_a_frame_is(
    tmp_path: Path, target: Sequence[int], dims: Sequence[int | str]
) -> None:
    report = lifted(tmp_path, flat(target, dims))
    values = target[-1]
    assert report.done[0] == (
        f"Its input held frames of {values} values in one axis; now frames and values have an axis each."
    )
    x = np.random.default_rng(1).standard_normal((20, values)).astype(np.float32)
    assert_streams_as(tmp_path, x, original(tmp_path, x.reshape(1, -1)))


def test_the_frame_may_be_given_too(tmp_path: Path) -> None:
    assert lifted(tmp_path, flat([1, 20, 5], [1, 100]), frame=5).contract.inputs[0].time_axis == 1


def test_another_frame_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="'x' takes 5 values per frame, but frame 10 and context 0 make 10"):
        lifted(tmp_path, flat([1, 20, 5], [1, 100]), frame=10)


@pytest.mark.parametrize(
    ("target", "dims"),
    [
        ([1, 1, 5], [1, 5]),  # one frame
        ([1, 4, 5, 5], [1, 100]),  # frames with two axes
        ([4, 5, 5], [4, 25]),  # several streams
        ([20, 1, 5], ["batch", 100]),  # no axis of streams
    ],
)
def test_other_signals_stay_as_they_are(target: Sequence[int], dims: Sequence[int | str]) -> None:
    file = ForeignFile(17)
    value = file.add("Reshape", [file.input("x", dims), file.constant(np.array(target, np.int64))])
    y, *_ = file.cell("LSTM", file.add("Reshape", [value, file.constant(np.array([-1, 1, 5]))]), 5, 6)
    file.output(file.add("Identity", [y], "y"), [None] * 4)
    model = file.model()
    before = model.SerializeToString()
    assert unfold_frames(model, "x") == ()
    assert model.SerializeToString() == before
