"""tract: its ONNX file has a fixed size on every axis."""

from pathlib import Path

import onnx
from tidegate.benchmarks.measuring.jobs import stack_job
from tidegate.benchmarks.nets import stacks
from tidegate.benchmarks.peers import tract


def test_every_free_axis_gets_the_size_of_the_job(tmp_path: Path) -> None:
    job = stack_job(tmp_path, stacks.Case("small", 3, 4, 1), 5)
    (variant,) = tract.VARIANTS

    tract.prepare(job, variant)

    (path,) = tract.files(job, variant)
    inputs = {value.name: value.type.tensor_type.shape.dim for value in onnx.load(path).graph.input}
    assert path.name == "tract.5.onnx"
    assert {name: [dim.dim_value for dim in dims] for name, dims in inputs.items()} == {
        "x": [5, 1, 3],
        "lstm0.h_in": [1, 1, 4],
        "lstm0.c_in": [1, 1, 4],
    }
