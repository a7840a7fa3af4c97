"""Files in onnxruntime, as a proof runs them."""

from collections.abc import Callable

import onnx
import pytest
from tidegate.export.proof.runner import Runner
from tidegate.runtime.contract import Contract, Port
from tidegate.runtime.errors import ExportError

MakeGraph = Callable[..., onnx.ModelProto]

CONTRACT = Contract((Port("x", 0, 1),), (Port("y", 0, 1),), ())


def test_a_file_that_onnxruntime_cannot_load_is_refused(make_graph: MakeGraph) -> None:
    with pytest.raises(ExportError, match="onnxruntime cannot load the file"):
        Runner(
            make_graph(op="NoSuchOperator").SerializeToString(), Contract((Port("x", 0, 1),), (Port("y", 0, 1),), ())
        )
