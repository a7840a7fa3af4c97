"""A group on onnxruntime belongs to one caller at a time; tests/runtime/test_groups.py has what all groups do."""

from pathlib import Path

import numpy as np
import pytest
from tidegate.runtime.backends.onnxruntime_group import OnnxruntimeGroup
from tidegate.runtime.errors import BackendError, ChunkError, RefusedRowsError
from tidegate.runtime.load import load
from tools.onnx_files import write_ids, write_lstm


def test_a_group_in_use_refuses_every_call(tmp_path: Path) -> None:
    group = load(write_lstm(tmp_path / "m.onnx"), "onnxruntime").streams(2)
    assert isinstance(group, OnnxruntimeGroup)
    with group._turn():
        for call in (group.frames, group.reset, group.snapshot, group.state):
            with pytest.raises(BackendError, match="group is in use by another thread; give each thread a group"):
                call(0)
    assert group.push(np.zeros((2, 1, 6), np.float32)).shape[0] == 2


def test_an_id_that_no_table_has_refuses_its_row_and_the_other_row_is_answered(tmp_path: Path) -> None:
    """It is onnxruntime that finds such an id, after the row before was streamed."""
    model = load(write_ids(tmp_path / "ids.onnx"), "onnxruntime")
    group, alone = model.streams(2), model.stream()
    with pytest.raises(
        RefusedRowsError, match=r"1 of 2 rows refused, .*row 1: onnxruntime fails on this chunk"
    ) as caught:
        group.push(np.array([[3], [9]]))
    np.testing.assert_array_equal(caught.value.answers[0], alone.push(np.array([3])))
    assert [group.frames(row) for row in (0, 1)] == [1, 0]
    assert [group.refused(row) for row in (0, 1)] == [0, 1]
    with pytest.raises(ChunkError, match=r"onnxruntime fails on this chunk: .*; the state is unchanged"):
        alone.push(np.array([9]))
    assert (alone.frames, alone.refused) == (1, 1)
