"""Sessions: one thread, and errors of onnxruntime become errors of tidegate."""

import sys

import numpy as np
import pytest
from onnx import helper
from tidegate.runtime.backends.onnxruntime_session import open_session, run_session, session_options
from tidegate.runtime.errors import BackendError, ModelError
from tools.graphs import model_of

onnxruntime = pytest.importorskip("onnxruntime")
DOUBLED = model_of([helper.make_node("Add", ["x", "x"], ["y"])], {"x": [3]}, ["y"]).SerializeToString()


def test_a_session_has_one_thread_that_does_not_spin() -> None:
    options = session_options(onnxruntime)
    assert (options.intra_op_num_threads, options.inter_op_num_threads) == (1, 1)
    assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_values_come_by_name() -> None:
    found = run_session(open_session(DOUBLED), ["y"], {"x": np.ones(3, np.float32)})
    assert {name: values.tolist() for name, values in found.items()} == {"y": [2, 2, 2]}


def test_a_model_that_onnxruntime_refuses_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="onnxruntime refuses the model: "):
        open_session(b"no model")


def test_a_run_that_fails_is_a_model_error() -> None:
    with pytest.raises(ModelError, match=r"(?s)onnxruntime fails on this chunk: .*; the state is unchanged"):
        run_session(open_session(DOUBLED), ["y"], {"x": np.ones(4, np.float32)})


def test_a_missing_onnxruntime_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(BackendError, match=r"onnxruntime is not installed; pip install 'tidegate\[onnxruntime\]'"):
        open_session(DOUBLED)
