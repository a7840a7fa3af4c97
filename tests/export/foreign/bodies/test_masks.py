"""Masked layers: a mask that lets every frame through is none; any other is refused, and its way out streams."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from tidegate.runtime.errors import UnsupportedError
from tools import loop_files
from tools.lifting import assert_streams_as, lifted, original

X = np.random.default_rng(1).standard_normal((20, loop_files.FEATURES)).astype(np.float32)
REFUSED = (
    r"Loop 'model/layer/while_loop': Where '.*' keeps a state for the frames that '%s' masks, wanted no mask; a stream "
    r"has no padding: export the model without it \(in Keras without Masking, mask_zero and mask\) and push only the "
    r"frames that count"
)


def test_a_mask_of_ones_is_folded(tmp_path: Path) -> None:
    lifted(tmp_path, loop_files.loop(loop_files.rnn, mask="ones", batch=1, frames=20))
    assert_streams_as(tmp_path, X, original(tmp_path, X[None])[0])


FREE: dict[str, None] = {"batch": None, "frames": None}


@pytest.mark.parametrize("form", [{"batch": 1, "frames": 20}, {}, {"batch": 1}, FREE], ids=str)
def test_row_120_a_mask_that_is_an_input_streams_when_it_is_set(tmp_path: Path, form: dict[str, int | None]) -> None:
    model = loop_files.loop(loop_files.lstm, 2, mask="given", **form)
    with pytest.raises(UnsupportedError, match=REFUSED % "unsqueeze.*" + "; or set it, .* no frame: --set mask=1"):
        lifted(tmp_path, model)
    lifted(tmp_path, model, values={"mask": 1})
    session = onnxruntime.InferenceSession(tmp_path / "foreign.onnx")
    assert_streams_as(tmp_path, X, session.run(None, {"x": X[None], "mask": np.ones((1, 20), np.bool_)})[0][0])


def test_row_81_a_mask_of_the_signal_is_refused_and_a_file_without_it_streams_the_frames_that_count(
    tmp_path: Path,
) -> None:
    masked = loop_files.loop(loop_files.rnn, mask="computed")
    with pytest.raises(UnsupportedError, match=REFUSED % "greater.*" + "; or set it, .*--set greater_6=1$"):
        lifted(tmp_path, masked)
    padded = X.copy()
    padded[5:9] = padded[17:] = 0
    counts = np.abs(padded).max(1) > 0
    onnx.save(masked, tmp_path / "foreign.onnx")
    wanted = original(tmp_path, padded[None])[0]
    lifted(tmp_path, loop_files.loop(loop_files.rnn))
    assert_streams_as(tmp_path, padded[counts], wanted[counts])


@pytest.mark.parametrize("sequences", [True, False], ids=["every frame", "last frame"])
@pytest.mark.parametrize("form", [{"batch": 1, "frames": 20}, {}, FREE], ids=str)
@pytest.mark.parametrize("name", loop_files.CELLS)
def test_row_155_a_mask_that_the_file_computes_is_set_by_its_name(
    tmp_path: Path, name: str, form: dict[str, Any], *, sequences: bool
) -> None:
    """A Masking layer, and a layer after it that repeats its answer in masked frames; no frame of noise is masked."""
    model = loop_files.loop(*loop_files.CELLS[name], mask="layer", sequences=sequences, **form)
    with pytest.raises(UnsupportedError, match=REFUSED % ".*" + "; or set it, .* no frame: --set (.*)=1$") as refused:
        lifted(tmp_path, model)
    mask = str(refused.value).rpartition("--set ")[2].removesuffix("=1")
    report = lifted(tmp_path, model, values={mask: 1})
    assert report.done[:2] == (
        "Input model/masking/Any:0 is constant: 1.",
        f"Loop 'model/layer/while_loop' is {name} of all frames now.",
    )
    wanted = original(tmp_path, X[None])
    assert_streams_as(tmp_path, X, wanted[0] if sequences else wanted)
