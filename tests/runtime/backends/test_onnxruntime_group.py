"""A group on onnxruntime belongs to one caller at a time; tests/runtime/test_groups.py has what all groups do."""

from pathlib import Path

import numpy as np
import pytest
from tidegate.runtime.backends.onnxruntime_group import OnnxruntimeGroup
from tidegate.runtime.errors import BackendError
from tidegate.runtime.load import load
from tools.onnx_files import write_lstm


def test_a_group_in_use_refuses_every_call(tmp_path: Path) -> None:
    group = load(write_lstm(tmp_path / "m.onnx"), "onnxruntime").streams(2)
    assert isinstance(group, OnnxruntimeGroup)
    with group._turn():
        for call in (group.frames, group.reset, group.snapshot, group.state):
            with pytest.raises(BackendError, match="group is in use by another thread; give each thread a group"):
                call(0)
    assert group.push(np.zeros((2, 1, 6), np.float32)).shape[0] == 2
